"""The shipped limits of containers hold what Echocast's own limits allow a worker to take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.doctor.machine import WORKER_MB, readers_mb
from service.settings import Settings

LIMITS = ("ECHOCAST_READ_MEMORY_MB", "ECHOCAST_WORKER_MAX_MEMORY_MB")


def default(value: str) -> str:
    """What compose takes where `.env` does not have the variable."""
    found = re.fullmatch(r"\$\{\w+:-(\w+)\}", value)
    assert found
    return found[1]


def megabytes(limit: str) -> int:
    found = re.fullmatch(r"(\d+)(?:g|Gi)", limit)
    assert found
    return 1024 * int(found[1])


def compose(project: Path, *names: str) -> tuple[dict[str, str], str]:
    """Environment and limit of memory of the worker."""
    worker: dict[str, Any] = {"environment": {}}
    for name in names:
        service = yaml.safe_load((project / name).read_text())["services"]["worker"]
        worker |= service | {"environment": worker["environment"] | service["environment"]}
    return {name: default(worker["environment"][name]) for name in LIMITS}, default(worker["mem_limit"])


def kubernetes(project: Path, *names: str) -> tuple[dict[str, str], str]:
    folder, limit = project / "deploy" / "kubernetes", ""
    [generated] = yaml.safe_load((folder / "base" / "kustomization.yaml").read_text())["configMapGenerator"]
    environment = dict(line.split("=", 1) for line in generated["literals"])
    for name in names:
        deployment = next(yaml.safe_load_all((folder / name / "worker.yaml").read_text()))
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        environment |= {each["name"]: each["value"] for each in container["env"] if "value" in each}
        limit = container["resources"]["limits"]["memory"]
    return {name: environment[name] for name in LIMITS}, limit


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (compose, ["docker-compose.yml"]),
        (compose, ["docker-compose.yml", "docker-compose.gpu.yml"]),
        (kubernetes, ["base"]),
        (kubernetes, ["base", "overlays/gpu"]),
    ],
    ids=["compose", "compose-gpu", "kubernetes", "kubernetes-gpu"],
)
def test_a_worker_and_its_read_fit_its_container(project: Path, read: Any, names: list[str]) -> None:
    environment, limit = read(project, *names)
    values = {name.removeprefix("ECHOCAST_").lower(): int(value) for name, value in environment.items()}
    settings = Settings(**values)
    assert settings.worker_max_memory_mb >= WORKER_MB + settings.memory_mb, "a usual nowcast would replace the process"
    assert settings.worker_max_memory_mb + readers_mb(settings) <= megabytes(limit)
