"""What `make run` does: start the service, nowcast the bundled sample or your radar files over HTTP, show the result.

`python -m service.demo [--once] [FILES...]`. Settings are the service's own (ECHOCAST_*); the data folder is
./.data where none is set. It talks to the service as any client would, so it shows that the service works.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from model.core.errors import InputError
from model.core.units import DRY_RAIN_RATE_MM_H
from service.render.rainfile import RainFile
from service.settings import load_settings

SAMPLE: Final = Path(__file__).parent / "web" / "sample" / "sample.nc"
READY_SECONDS: Final = 300.0
NOWCAST_SECONDS: Final = 900.0
STOP_SECONDS: Final = 30.0


class DemoFailed(Exception):
    """The service did not do what the demo asks of it: one line says what."""


def multipart(files: Sequence[Path], fields: dict[str, str]) -> tuple[bytes, str]:
    """A multipart/form-data body of `files` and `fields`, and its content type."""
    boundary = uuid.uuid4().hex
    parts: list[bytes] = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for file in files:
        safe_name = file.name.replace('"', "%22").replace("\r", "").replace("\n", "")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{safe_name}"\r\n\r\n'
        parts += [head.encode(), file.read_bytes(), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


class Client:
    """The little of HTTP that the demo needs."""

    def __init__(self, base: str) -> None:
        self.base = base

    def call(self, path: str, body: bytes | None = None, content_type: str = "") -> bytes:
        """GET, or POST where there is a body.

        Raises
        ------
        DemoFailed
            The service refused; its problem's words are passed on.
        """
        headers = {"Content-Type": content_type} if content_type else {}
        request = urllib.request.Request(self.base + path, data=body, headers=headers)  # noqa: S310  (http only)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise DemoFailed(_detail(error.read()) or f"{path} answered {error.code}") from None
        except OSError as error:
            raise DemoFailed(f"the service does not answer at {self.base}{path}: {error}") from None

    def json(self, path: str, body: bytes | None = None, content_type: str = "") -> dict[str, Any]:
        """The same, the answer being a JSON object."""
        answer: dict[str, Any] = json.loads(self.call(path, body, content_type))
        return answer


def _detail(body: bytes) -> str:
    """The words of a problem, or the bad parts of /readyz."""
    try:
        answer = json.loads(body)
        if "detail" in answer:
            return str(answer["detail"])
        return "; ".join(f"{part['name']}: {part['detail']}" for part in answer["parts"] if part["state"] == "bad")
    except (ValueError, KeyError, TypeError):
        return ""


def start(port: int) -> subprocess.Popen[bytes]:
    """`echocast serve` as a child, in the data folder of the settings or in ./.data."""
    environment = {"ECHOCAST_DATA_DIR": str(Path(".data").absolute()), **os.environ, "ECHOCAST_PORT": str(port)}
    return subprocess.Popen([sys.executable, "-P", "-m", "service.cli", "serve"], env=environment)


def stop(service: subprocess.Popen[bytes]) -> None:
    """Ask the service to end, and see that it does."""
    if service.poll() is None:
        service.send_signal(signal.SIGTERM)
    try:
        service.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def wait_until_ready(service: subprocess.Popen[bytes], client: Client) -> None:
    """Return when /readyz says that the service can really serve.

    Raises
    ------
    DemoFailed
        It ended, or was not ready in time.
    """
    until = time.monotonic() + READY_SECONDS
    reason = ""
    while time.monotonic() < until:
        if service.poll() is not None:
            raise DemoFailed(f"the service ended with exit code {service.returncode}; see above")
        try:
            client.call("/readyz")
        except DemoFailed as not_yet:
            reason = str(not_yet)
            time.sleep(0.3)
        else:
            return
    raise DemoFailed(f"the service was not ready within {READY_SECONDS:g} s: {reason}")


def nowcast(client: Client, files: Sequence[Path]) -> dict[str, Any]:
    """Upload `files`, follow the nowcast until it ends, and return its last status.

    Raises
    ------
    DemoFailed
        It failed; the problem's words are passed on.
    """
    body, content_type = multipart(files, {})
    status = client.json("/v1/nowcasts", body, content_type)
    until = time.monotonic() + NOWCAST_SECONDS
    while status["status"] in ("accepted", "running"):
        if time.monotonic() > until:
            raise DemoFailed(f"the nowcast was not finished within {NOWCAST_SECONDS:g} s")
        time.sleep(0.2)
        status = client.json(f"/v1/nowcasts/{status['id']}")
    if status["status"] != "successful":
        raise DemoFailed((status.get("problem") or {}).get("detail") or f"the nowcast is {status['status']}")
    return status


def table(forecast: RainFile) -> Table:
    """One row per lead time: where it rains, how hard at most, and how much is not known."""
    rows = Table(box=None, pad_edge=False)
    for heading in ("lead, min", "valid, UTC", "area with rain", "heaviest, mm/h", "not known"):
        rows.add_column(heading, justify="right")
    for number, (valid, lead) in enumerate(zip(forecast.times, forecast.lead_minutes, strict=True)):
        rain = forecast.frame(number)
        known = np.isfinite(rain)
        wet = (rain >= DRY_RAIN_RATE_MM_H)[known].mean() if known.any() else float("nan")
        peak = np.nanmax(rain) if known.any() else float("nan")
        rows.add_row(f"{lead:g}", f"{valid:%H:%M}", f"{wet:.1%}", f"{peak:.1f}", f"{1 - known.mean():.1%}")
    return rows


def named(files: Sequence[str]) -> str:
    """File names as a person would say them: all of a few, else the first and the last."""
    return ", ".join(files) if len(files) <= 3 else f"{len(files)} files, {files[0]} to {files[-1]}"


def show(console: Console, client: Client, status: dict[str, Any]) -> None:
    """Print the result's table, and where to look at it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nowcast.nc"
        path.write_bytes(client.call(f"/v1/nowcasts/{status['id']}/result?format=netcdf"))
        forecast = RainFile.open(path)
        console.print(f"\nNowcast by [bold]{status['model_used']}[/] from {named(status['files'])}", soft_wrap=True)
        if status.get("note"):
            console.print(f"Note: {status['note']}", markup=False)
        console.print(table(forecast))
    console.print(f"\nOn the map:  {client.base}/?nowcast={status['id']}", soft_wrap=True, markup=False)
    console.print(f"As a file:   {client.base}/v1/nowcasts/{status['id']}/result", soft_wrap=True, markup=False)


def _port(host: str, wanted: int) -> int:
    """The port of the settings, or a free one where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed(f"no port is free on {host}")


@click.command()
@click.option("--once", is_flag=True, help="Stop after the nowcast.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(once: bool, files: tuple[Path, ...]) -> None:
    """Start the service, nowcast FILES (the bundled sample where none are named), and keep serving."""
    console = Console()
    try:
        settings = load_settings()
        port = _port(settings.host, settings.port)
        reachable = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        client = Client(f"http://{reachable}:{port}")
        service = start(port)
    except (DemoFailed, InputError) as failure:
        raise click.ClickException(str(failure)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wait_until_ready(service, client)
        show(console, client, nowcast(client, files or (SAMPLE,)))
        if not once:
            console.print(f"\nServing at {client.base}/ until Ctrl-C.", markup=False)
            service.wait()
    except DemoFailed as failure:
        raise click.ClickException(str(failure)) from None
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        stop(service)


if __name__ == "__main__":
    main()
