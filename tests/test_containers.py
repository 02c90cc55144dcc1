"""Containers against the code: their settings, commands and paths exist, and none runs as root."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import COMMANDS
from service.settings import Settings

FILES = ("docker/gateway.Dockerfile", "docker/worker.Dockerfile")
SETTINGS = {f"ECHOCAST_{name}".upper() for name in Settings.model_fields}


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (line.split(None, 1)[0].upper(), line.split(None, 1)[1].strip()) for line in text.splitlines() if line.strip()
    ]


def last_stage(path: Path) -> list[tuple[str, str]]:
    """The instructions of the stage that ships."""
    found = instructions(path)
    start = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


@pytest.fixture(params=FILES)
def dockerfile(request: pytest.FixtureRequest, project: Path) -> Path:
    return project / request.param


@pytest.fixture(scope="module")
def compose(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / "docker-compose.yml").read_text())


def test_the_image_does_not_run_as_root_and_has_a_health_check(dockerfile: Path) -> None:
    stage = dict(last_stage(dockerfile))
    assert stage["USER"].isdecimal()
    assert int(stage["USER"]) > 0
    assert "CMD [" in stage["HEALTHCHECK"]
    assert json.loads(stage["ENTRYPOINT"]) == ["echocast"]  # exec form: signals reach the process
    assert json.loads(stage["CMD"])[0] in COMMANDS


def test_everything_copied_exists_and_is_not_ignored(dockerfile: Path, project: Path) -> None:
    let_through = {line[1:] for line in (project / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, rest in instructions(dockerfile):
        if name != "COPY" or "--from=" in rest:
            continue
        for source in shlex.split(rest)[:-1]:
            assert (project / source).exists(), source
            assert source in let_through


def test_images_are_built_under_the_constraints(dockerfile: Path) -> None:
    installs = [rest for name, rest in instructions(dockerfile) if name == "RUN" and "pip install" in rest]
    assert installs
    assert all("-c constraints.txt" in rest for rest in installs)
    assert not any(re.search(r"\btrain\b|torch", rest) for rest in installs)


def test_stages_that_are_named_exist(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    stages = {rest.split(" AS ")[1] for name, rest in found if name == "FROM" and " AS " in rest}
    for name, rest in found:
        for stage in re.findall(r"--from=(\S+)", rest) if name == "COPY" else ():
            assert stage in stages
    if "worker" in dockerfile.name:
        assert {"base-cpu", "base-gpu", "build"} <= stages


def test_every_service_has_a_health_check_and_waits_for_its_dependencies(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"gateway", "worker", "beat", "redis", "postgres"}
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        if name in ("gateway", "worker", "beat"):
            assert service["command"][0] in COMMANDS
            assert {need["condition"] for need in service["depends_on"].values()} == {"service_healthy"}
            assert set(service["depends_on"]) == {"redis", "postgres"}


def test_every_volume_and_file_that_compose_names_exists(compose: dict[str, Any], project: Path) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith(("$", "./")) or source in compose["volumes"]
        if "build" in service:
            assert (project / service["build"]["dockerfile"]).exists()


def test_the_gateway_is_not_open_to_the_network_by_default(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_named_setting_exists(project: Path) -> None:
    named: set[str] = set()
    deploy = [path for path in (project / "deploy").iterdir() if path.is_file()]
    for path in (*FILES, "docker-compose.yml", "docker-compose.gpu.yml", *deploy):
        named |= set(re.findall(r"ECHOCAST_[A-Z_]+", (project / path).read_text()))
    assert named
    assert named <= SETTINGS


def test_the_gpu_override_changes_only_existing_services(compose: dict[str, Any], project: Path) -> None:
    override = yaml.safe_load((project / "docker-compose.gpu.yml").read_text())
    assert set(override["services"]) <= set(compose["services"])
    assert override["services"]["worker"]["build"]["args"] == {"DEVICE": "gpu"}


def test_units_start_existing_commands_and_not_as_root(project: Path) -> None:
    units = list((project / "deploy").glob("*.service"))
    assert units
    for unit in units:
        text = unit.read_text()
        assert re.findall(r"^ExecStart=/opt/echocast/bin/echocast (\w+)$", text, flags=re.MULTILINE)[0] in COMMANDS
        assert "User=echocast\n" in text
