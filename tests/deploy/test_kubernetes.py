"""The Kubernetes manifests: built by kustomize, validated by the schemas of Kubernetes, and held to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import create_engine, text

from service.cli import COMMANDS
from service.jobs.job import Job, JobStatus, new_job_id
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.patience import WAIT_SECONDS

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")

OVERLAYS = ("cpu", "gpu")
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest Kubernetes that the manifests are validated for."""

Manifests = list[dict[str, Any]]


def kustomize() -> list[str]:
    """The command that builds a kustomization."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    pytest.skip("neither kustomize nor kubectl is installed")


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    """Each overlay with all components, as a cluster would get it."""
    command = kustomize()
    made = {}
    for overlay in OVERLAYS:
        root = tmp_path_factory.mktemp("kubernetes")
        shutil.copytree(project / "deploy" / "kubernetes", root, dirs_exist_ok=True)
        whole = {"resources": [f"../overlays/{overlay}"], "components": ["../components/keda", "../components/ingress"]}
        (root / "whole").mkdir()
        (root / "whole" / "kustomization.yaml").write_text(yaml.safe_dump(whole | {"namespace": "echocast"}))
        for folder in (f"overlays/{overlay}", "whole"):
            done = subprocess.run(
                [*command, root / folder], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
        made[overlay] = list(yaml.safe_load_all(done.stdout))
    return made


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, built: dict[str, Manifests]) -> Manifests:
    return built[request.param]


def of_kind(manifests: Manifests, kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: Manifests) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Name, labels, pod and its only container, of each Deployment."""
    for name, deployment in of_kind(manifests, "Deployment").items():
        template = deployment["spec"]["template"]
        [container] = template["spec"]["containers"]
        yield name, template["metadata"]["labels"], template["spec"], container


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_valid(manifests: Manifests, version: str) -> None:
    standard = [one for one in manifests if not one["apiVersion"].startswith("keda.sh/")]
    assert len(manifests) - len(standard) == 2
    for one in standard:
        kubernetes_validate.validate(one, version, strict=True)


def test_pods_start_existing_commands_with_existing_settings(manifests: Manifests) -> None:
    settings = {f"ECHOCAST_{name}".upper() for name in Settings.model_fields}
    started = set()
    for _, _, pod, container in pods(manifests):
        assert container["args"][0] in COMMANDS
        started.add(container["args"][0])
        assert pod["enableServiceLinks"] is False, "ECHOCAST_PORT would be that of the Service"
    assert started == {"serve", "worker", "beat"}
    text_of_all = yaml.safe_dump_all(manifests)
    assert set(re.findall(r"ECHOCAST_[A-Z_]*[A-Z]", text_of_all)) <= settings


def test_no_pod_has_more_rights_or_resources_than_it_needs(manifests: Manifests) -> None:
    [namespace] = of_kind(manifests, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, _, pod, container in pods(manifests):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/data", "/tmp"} <= mounts, "the root is read-only"


def test_images_have_a_registry_and_a_version(manifests: Manifests) -> None:
    for name, _, _, container in pods(manifests):
        assert re.fullmatch(r"registry\.example\.org/echocast-\w+:\d+\.\d+\.\d+(-gpu)?", container["image"]), name


def test_there_is_one_beat_and_it_is_replaced_not_doubled(manifests: Manifests) -> None:
    beat = of_kind(manifests, "Deployment")["echocast-beat"]["spec"]
    assert beat["replicas"] == 1
    assert beat["strategy"] == {"type": "Recreate"}


def test_probes_ask_what_the_gateway_answers(manifests: Manifests, tmp_path: Path) -> None:
    from service.api.app import create_app

    app = create_app(Settings(data_dir=tmp_path))
    routes = set(app.openapi()["paths"])
    app.state.context.close()
    gateway = next(container for name, _, _, container in pods(manifests) if name == "echocast-gateway")
    probes = {name: probe["httpGet"]["path"] for name, probe in gateway.items() if name.endswith("Probe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert set(probes.values()) <= routes


def test_every_selector_selects_pods_and_every_reference_exists(manifests: Manifests) -> None:
    labels = [labels for _, labels, _, _ in pods(manifests)]

    def selects(selector: dict[str, Any]) -> bool:
        wanted = selector.get("matchLabels", selector)
        return any(wanted.items() <= one.items() for one in labels)

    policies = of_kind(manifests, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        assert selects(policy["spec"]["podSelector"])
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        for one in of_kind(manifests, kind).values():
            assert selects(one["spec"]["selector"])
    [config] = of_kind(manifests, "ConfigMap")
    for _, _, pod, container in pods(manifests):
        assert pod["serviceAccountName"] in of_kind(manifests, "ServiceAccount")
        assert container["envFrom"] == [{"configMapRef": {"name": config}}, {"secretRef": {"name": "echocast"}}]
    [ingress] = of_kind(manifests, "Ingress").values()
    [rule] = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] in of_kind(manifests, "Service")


def test_every_pod_may_leave_for_names_redis_postgresql_and_the_bucket(manifests: Manifests) -> None:
    egress = of_kind(manifests, "NetworkPolicy")["to-names-redis-postgresql-and-bucket"]["spec"]
    for _, labels, _, _ in pods(manifests):
        assert egress["podSelector"]["matchLabels"].items() <= labels.items()
    ports = {port["port"] for rule in egress["egress"] for port in rule["ports"]}
    assert ports == {53, 6379, 5432, 443}


def test_the_number_of_workers_follows_the_ledger(manifests: Manifests, postgres_url: str) -> None:
    """The query of KEDA's trigger counts the nowcasts that wait or run, on a real ledger."""
    [scaled] = of_kind(manifests, "ScaledObject").values()
    worker = of_kind(manifests, "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in worker["spec"]
    assert scaled["spec"]["minReplicaCount"] >= 1
    [trigger] = scaled["spec"]["triggers"]
    authentication = of_kind(manifests, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
    [secret] = authentication["spec"]["secretTargetRef"]
    assert secret == {"parameter": "connection", "name": "echocast", "key": "ECHOCAST_DATABASE_URL"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    ledger = Ledger(postgres_url)
    for status in (JobStatus.ACCEPTED, JobStatus.RUNNING, JobStatus.SUCCESSFUL, JobStatus.FAILED, JobStatus.DISMISSED):
        ledger.create(Job(id=new_job_id(), model="auto", steps=3, inputs=[], status=status))
    ledger.close()
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.execute(text(trigger["metadata"]["query"])).scalar() == 2
    engine.dispose()


def test_workers_of_the_gpu_overlay_have_one_gpu_each(built: dict[str, Manifests]) -> None:
    for overlay, count in (("gpu", 1), ("cpu", None)):
        worker = next(container for name, _, _, container in pods(built[overlay]) if name == "echocast-worker")
        assert worker["resources"]["limits"].get("nvidia.com/gpu") == count
        assert "memory" in worker["resources"]["limits"], "the patch keeps the other limits"
        assert ({"name": "ECHOCAST_DEVICE", "value": "cuda"} in worker["env"]) == (overlay == "gpu")
        assert "ECHOCAST_THREADS" in [variable["name"] for variable in worker["env"]]
