"""Containers against the code: their settings, commands and paths exist, and none runs as root."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError

from service.cli import COMMANDS
from service.embedded import find_redis_server
from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until

FILES = ("docker/gateway.Dockerfile", "docker/worker.Dockerfile")
FIXED = {
    "ECHOCAST_DATA_DIR": "where the volume is mounted",
    "ECHOCAST_FEEDS_FILE": "in the folder that FEEDS names",
    "ECHOCAST_BROKER_URL": "the Redis of compose, with REDIS_PASSWORD",
    "ECHOCAST_DATABASE_URL": "the PostgreSQL of compose, with POSTGRES_PASSWORD",
    "ECHOCAST_HOST": "reached from outside of the container",
    "ECHOCAST_PORT": "the port of the host is published to it",
    "ECHOCAST_METRICS_HOST": "reached from outside of the container",
    "ECHOCAST_METRICS_PORT": "where Prometheus looks",
}
"""Settings that are not the operator's in compose, and why."""
SYSTEM_PACKAGES = {"libexpat.so.1": "libexpat1"}
"""What rasterio needs beside `IN_EVERY_IMAGE`, by the package that has it."""
IN_EVERY_IMAGE = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"),
    *("libz.so.1", "libstdc++.so.6", "libgcc_s.so.1"),
}
"""Of Debian's essential packages and of apt."""
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


def test_images_install_nothing_without_a_hash(dockerfile: Path) -> None:
    """Each package from a list with hashes, and Echocast itself from the wheel that was built beside it."""
    commands = [rest for name, rest in instructions(dockerfile) if name == "RUN" and "pip " in rest]
    installs = re.findall(r"pip (?:install|wheel)[^&]*", " && ".join(commands))
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or ("--no-deps" in install and "--no-" in install.replace("--no-deps", ""))


def test_images_make_geotiff_files(dockerfile: Path, project: Path) -> None:
    """rasterio is installed, and what its libraries need of the system is in the image."""
    lists = re.findall(r"requirements/((?:gateway|worker)[\w{}$-]*\.txt)", dockerfile.read_text())
    for name in (each.replace("${DEVICE}", device) for each in lists for device in ("cpu", "gpu")):
        assert "\nrasterio==" in (project / "deploy" / "requirements" / name).read_text(), name
    found = importlib.util.find_spec("rasterio")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    programs = [*folder.glob("*.so"), *folder.with_name("rasterio.libs").iterdir()]
    needed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"(\S+) => /(?:usr/)?lib", needed)) - IN_EVERY_IMAGE
    assert names == set(SYSTEM_PACKAGES)
    for stage in (rest for name, rest in instructions(dockerfile) if name == "RUN" and "apt-get" in rest):
        assert set(SYSTEM_PACKAGES.values()) <= set(stage.split())
    assert "apt-get" in dockerfile.read_text()


def test_base_images_can_be_pinned_by_digest(dockerfile: Path, compose: dict[str, Any]) -> None:
    """Every image that is not built here is an argument or a variable, so that .env may name its digest."""
    found = instructions(dockerfile)
    arguments = {rest.partition("=")[0] for name, rest in found if name == "ARG"}
    stages = {rest.split(" AS ")[1] for name, rest in found if name == "FROM" and " AS " in rest}
    for base in (rest.split(" AS ")[0] for name, rest in found if name == "FROM"):
        assert base in stages or base == "base-${DEVICE}" or base.strip("${}") in arguments
    for name in ("redis", "postgres"):
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z]+:[\w.-]+\}", compose["services"][name]["image"])


def test_no_service_has_more_rights_or_resources_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert any(mount.startswith("/tmp") for mount in (*service.get("tmpfs", ()), *service.get("volumes", ()))), name
    for name in ("redis", "postgres", "beat"):
        assert compose["services"][name]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"] is True


def test_the_redis_of_compose_asks_for_its_password(compose: dict[str, Any], tmp_path: Path) -> None:
    """Its command and its health check, run here: without the password there is no answer."""
    service = compose["services"]["redis"]
    socket_path = tmp_path / "redis.sock"
    shell = (
        service["command"][-1]
        .replace("$$", "$")
        .replace("redis-server -", f"{find_redis_server()} - --port 0 --unixsocket {socket_path}")
    )
    environment = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": "secret"}
    server = subprocess.Popen(["sh", "-c", shell], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until(socket_path.exists, "Redis")
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"redis-server" in arguments, "the shell is replaced by Redis, which gets the signals"
        assert b"secret" not in arguments
        with Redis(unix_socket_path=str(socket_path)) as redis, pytest.raises(AuthenticationError):
            redis.ping()
        with Redis(unix_socket_path=str(socket_path), password="secret") as redis:
            assert redis.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
            assert redis.config_get("appendonly")["appendonly"] == "no"
    finally:
        server.terminate()
        server.wait(WAIT_SECONDS)


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


def test_every_setting_reaches_the_containers_of_compose(compose: dict[str, Any]) -> None:
    """By .env: as it is, or as the variable that compose puts in its place; but for what the containers fix."""
    passed = 0
    for name in ("gateway", "worker", "beat"):
        service = compose["services"][name]
        assert service["env_file"] == [{"path": ".env", "required": False}], name
        replaced = {key for key, value in service["environment"].items() if f"${{{key}:-" not in str(value)}
        assert replaced & SETTINGS <= set(FIXED), f"{name}: .env cannot set {replaced & SETTINGS - set(FIXED)}"
        passed += len(SETTINGS - replaced)
    assert passed > 2 * len(SETTINGS)


def test_every_volume_and_file_that_compose_names_exists(compose: dict[str, Any], project: Path) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith(("$", "./", "/tmp")) or source in compose["volumes"]
        if "build" in service:
            assert (project / service["build"]["dockerfile"]).exists()


def test_the_gateway_is_not_open_to_the_network_by_default(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_named_setting_exists(project: Path) -> None:
    named: set[str] = set()
    deploy = [path for path in (project / "deploy").rglob("*") if path.is_file()]
    for path in (*FILES, "docker-compose.yml", "docker-compose.gpu.yml", *deploy):
        named |= set(re.findall(r"ECHOCAST_[A-Z_]+", (project / path).read_text()))
    assert named
    assert named <= SETTINGS


def test_the_gpu_override_changes_only_existing_services(compose: dict[str, Any], project: Path) -> None:
    override = yaml.safe_load((project / "docker-compose.gpu.yml").read_text())
    assert set(override["services"]) <= set(compose["services"])
    assert override["services"]["worker"]["build"]["args"]["DEVICE"] == "gpu"
