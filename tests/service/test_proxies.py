"""The service behind nginx and Caddy with TLS, by the examples of deploy/."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until

NAME = "nowcast.example.org"
SAMPLE = "service/web/sample/sample.nc"


def needs(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def free_ports() -> tuple[int, int]:
    """Two ports, probed at the same time: one after the other, the second may be the first."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"]
    subprocess.run([needs("openssl"), "req", *kind, *files, *names], check=True, capture_output=True)
    return folder


def client(port: int, certificate: Path) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=WAIT_SECONDS, trust_env=False)


def started(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    def listens() -> bool:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the proxy")


@pytest.fixture
def nginx(project: Path, tmp_path: Path, certificate: Path, stack) -> Iterator[httpx.Client]:
    """A client of nginx in front of the running service: the example, with other ports and this certificate."""
    text = (project / "deploy" / "nginx" / "echocast.conf").read_text()
    plain, secure = free_ports()
    for old, new in (
        ("127.0.0.1:8000", stack.url.removeprefix("http://")),
        ("/etc/ssl/echocast", str(certificate)),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{secure} ssl"),
    ):
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r"^    listen \[::\].*\n", "", text, flags=re.MULTILINE)
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in folders)
    user = "user root;\n" if os.getuid() == 0 else ""
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nworker_processes 1;\n{user}pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    )
    command = [needs("nginx"), "-e", str(tmp_path / "log"), "-c", str(configuration)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    server = subprocess.Popen(command)
    try:
        started(server, secure, tmp_path / "log")
        with client(secure, certificate) as proxied:
            yield proxied
    finally:
        server.terminate()
        server.wait(WAIT_SECONDS)


def nowcast(proxied: httpx.Client, project: Path) -> None:
    """Upload the bundled sample, wait for its nowcast, and fetch the file."""
    with (project / SAMPLE).open("rb") as file:
        answer = proxied.post(
            "/v1/nowcasts", files={"files": file}, data={"model": "extrapolation"}, headers={"Prefer": "wait=60"}
        )
    assert answer.status_code in (200, 201, 202), answer.text
    address = f"/v1/nowcasts/{answer.json()['id']}"

    def successful() -> bool:
        status = proxied.get(address).json()["status"]
        assert status in ("accepted", "running", "successful")
        return bool(status == "successful")

    wait_until(successful, "the nowcast")
    result = proxied.get(f"{address}/result?format=netcdf")
    assert result.status_code == 200
    assert result.content[1:4] == b"HDF"


def test_a_nowcast_through_nginx_with_tls(nginx: httpx.Client, project: Path) -> None:
    nowcast(nginx, project)
    page = nginx.get("/")
    assert page.status_code == 200
    assert "max-age" in page.headers["Strict-Transport-Security"]


def test_nginx_bounds_bodies_and_uploads(nginx: httpx.Client) -> None:
    large = nginx.post("/v1/models", content=bytes(2_000_000))
    assert large.status_code == 413
    answers = [nginx.post("/v1/nowcasts").status_code for _ in range(100)]
    assert set(answers[:20]) == {answers[0]}
    assert 429 in answers
    assert nginx.get("/healthz").status_code == 200, "reading goes on"


def test_both_examples_let_the_largest_upload_pass(project: Path) -> None:
    """nginx counts MB of 2^20 bytes, Caddy and Echocast of 10^6."""
    limit = Settings.model_fields["max_upload_mb"].default * 10**6
    text = (project / "deploy" / "nginx" / "echocast.conf").read_text()
    upload = text.split("location = /v1/nowcasts {")[1].split("}")[0]
    size = int(re.search(r"client_max_body_size (\d+)m;", upload)[1]) * 2**20
    assert limit < size < 1.1 * limit
    caddy = (project / "deploy" / "caddy" / "Caddyfile").read_text()
    size = int(re.search(r"request_body @uploads \{\s+max_size (\d+)MB", caddy)[1]) * 10**6
    assert limit < size < 1.1 * limit
    for name in ("proxy_buffering off", "proxy_request_buffering off"):
        assert name in text
    assert "flush_interval -1" in caddy


def test_a_nowcast_through_caddy_with_tls(project: Path, tmp_path: Path, certificate: Path, stack) -> None:
    program = needs("caddy")
    text = (project / "deploy" / "caddy" / "Caddyfile").read_text()
    port, _ = free_ports()
    for old, new in (
        ("127.0.0.1:8000", stack.url.removeprefix("http://")),
        ("{\n\tservers {", "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {"),
        (
            f"{NAME} {{",
            f"https://127.0.0.1:{port} {{\n\ttls {certificate}/fullchain.pem {certificate}/privkey.pem",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    configuration = tmp_path / "Caddyfile"
    configuration.write_text(text)
    command = [program, "run", "--adapter", "caddyfile", "--config", str(configuration)]
    log = tmp_path / "log"
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with log.open("wb") as output:
        server = subprocess.Popen(command, stderr=output, env=environment)
    try:
        started(server, port, log)
        with client(port, certificate) as proxied:
            nowcast(proxied, project)
            assert proxied.get("/").headers.get("Server") is None
    finally:
        server.terminate()
        server.wait(WAIT_SECONDS)
