"""The demo behind `make run`: starts the service, nowcasts the bundled sample or your radar files, shows the result.

Then a feed of synthetic storms arrives, and a line tells of each nowcast (`service.demo_feed`).
`python -m service.demo [--once] [--no-feed] [FILES...]` uses the settings of the service (ECHOCAST_*), with ./.data
as the default data folder. It is an HTTP client like any other, and so shows that the service works.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from model.core.errors import InputError
from model.core.units import DRY_RAIN_RATE_MM_H
from service.demo_feed import HOURS, NAME, SPEED, DemoFeed
from service.render.forecast_reader import RainFile
from service.settings import Settings, load_settings

SAMPLE: Final = Path(__file__).parent / "web" / "sample" / "sample.nc"
READY_SECONDS: Final = 300.0
NOWCAST_SECONDS: Final = 900.0
STOP_SECONDS: Final = 30.0


class DemoFailed(Exception):
    """The service did not do what the demo needs; the text says why in one line."""


def request(client: httpx.Client, method: str, path: str, files: Sequence[Path] = ()) -> httpx.Response:
    """Send a request, with radar files as a multipart form.

    Raises
    ------
    DemoFailed
        There is no response, or the service refused the request, with the detail of its problem.
    """
    try:
        with ExitStack() as stack:
            parts = [("files", (file.name, stack.enter_context(file.open("rb")))) for file in files]
            response = client.request(method, path, files=parts or None)
    except httpx.TransportError as error:
        raise DemoFailed(f"the service does not respond at {client.base_url}{path}: {error}") from None
    if response.is_error:
        raise DemoFailed(_detail(response) or f"{path} responded with status {response.status_code}")
    return response


def _detail(response: httpx.Response) -> str:
    """Return the detail of a problem, or the bad parts of /readyz."""
    try:
        body = response.json()
        if "detail" in body:
            return str(body["detail"])
        return "; ".join(f"{part['name']}: {part['detail']}" for part in body["parts"] if part["state"] == "bad")
    except (ValueError, KeyError, TypeError):
        return ""


def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `echocast serve` as a child process."""
    return subprocess.Popen([sys.executable, "-P", "-m", "service.cli", "serve"], env=dict(environment))


def stop(service: subprocess.Popen[bytes]) -> None:
    """Terminate the service; kill it where it does not end in time."""
    if service.poll() is None:
        service.send_signal(signal.SIGTERM)
    try:
        service.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def wait_until_ready(service: subprocess.Popen[bytes], client: httpx.Client) -> None:
    """Wait until /readyz reports that the service can really serve.

    Raises
    ------
    DemoFailed
        The service ended, or was not ready in time.
    """
    deadline = time.monotonic() + READY_SECONDS
    reason = ""
    while time.monotonic() < deadline:
        if service.poll() is not None:
            raise DemoFailed(f"the service ended with exit code {service.returncode}; see above")
        try:
            request(client, "GET", "/readyz")
        except DemoFailed as not_yet:
            reason = str(not_yet)
            time.sleep(0.3)
        else:
            return
    raise DemoFailed(f"the service was not ready within {READY_SECONDS:g} s: {reason}")


def nowcast(client: httpx.Client, files: Sequence[Path]) -> dict[str, Any]:
    """Upload `files`, follow the nowcast until it is finished, and return its last status.

    Raises
    ------
    DemoFailed
        The nowcast failed, with the detail of its problem.
    """
    status: dict[str, Any] = request(client, "POST", "/v1/nowcasts", files).json()
    deadline = time.monotonic() + NOWCAST_SECONDS
    while status["status"] in ("accepted", "running"):
        if time.monotonic() > deadline:
            raise DemoFailed(f"the nowcast was not finished within {NOWCAST_SECONDS:g} s")
        time.sleep(0.2)
        status = request(client, "GET", f"/v1/nowcasts/{status['id']}").json()
    if status["status"] != "successful":
        raise DemoFailed((status.get("problem") or {}).get("detail") or f"the nowcast is {status['status']}")
    return status


def table(forecast: RainFile) -> Table:
    """Return a table with a row for each lead time: area with rain, heaviest rain, area without data."""
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


def file_list(files: Sequence[str]) -> str:
    """Return the names of a few files, or the number of files with the first and the last name."""
    return ", ".join(files) if len(files) <= 3 else f"{len(files)} files, {files[0]} to {files[-1]}"


def show(console: Console, client: httpx.Client, status: dict[str, Any]) -> None:
    """Print a table of the result and the addresses of the map and the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nowcast.nc"
        path.write_bytes(request(client, "GET", f"/v1/nowcasts/{status['id']}/result?format=netcdf").content)
        forecast = RainFile.open(path)
        console.print(f"\nNowcast by [bold]{status['model_used']}[/] from {file_list(status['files'])}", soft_wrap=True)
        if status.get("note"):
            console.print(f"Note: {status['note']}", markup=False)
        console.print(table(forecast))
    base = str(client.base_url).rstrip("/")
    console.print(f"\nOn the map:  {base}/?nowcast={status['id']}", soft_wrap=True, markup=False)
    console.print(f"As a file:   {base}/v1/nowcasts/{status['id']}/result", soft_wrap=True, markup=False)


def _free_port(host: str, preferred: int) -> int:
    """Return the preferred port, or another free one where it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed(f"no port is free on {host}")


def demo_feed(settings: Settings) -> DemoFeed | None:
    """Return the feed of the demo; None where the service has feeds of its own."""
    return None if settings.feeds_path.exists() else DemoFeed(settings.data_dir.absolute() / "demo-feed")


def serve_until_stopped(
    console: Console, client: httpx.Client, service: subprocess.Popen[bytes], feed: DemoFeed | None
) -> None:
    """Wait for the end of the service, and tell of the feed meanwhile."""
    if feed is None:
        service.wait()
        return
    console.print(
        f"\nThe feed {NAME!r} is synthetic: {HOURS} hours of storms, {SPEED} times as fast as radar frames come "
        f"(make run FEED=0: without it). See {client.base_url}/v1/feeds/{NAME}\n",
        markup=False,
        soft_wrap=True,
    )
    while service.poll() is None:
        feed.tell(client, console)
        time.sleep(1)


@click.command()
@click.option("--once", is_flag=True, help="Stop after the nowcast.")
@click.option("--feed/--no-feed", "with_feed", default=True, help="Whether a feed of synthetic storms arrives.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(once: bool, with_feed: bool, files: tuple[Path, ...]) -> None:
    """Start the service, nowcast FILES (the bundled sample where none are named), and keep serving."""
    console = Console()
    try:
        os.environ.setdefault("ECHOCAST_DATA_DIR", str(Path(".data").absolute()))
        settings = load_settings()
        port = _free_port(settings.host, settings.port)
        feed = demo_feed(settings) if with_feed and not once else None
        quiet = {"ECHOCAST_LOG_LEVEL": "WARNING"} if feed else {}  # lines of its own tell of the feed
        environment = {**quiet, **os.environ, **(feed.environment if feed else {}), "ECHOCAST_PORT": str(port)}
        reachable = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
        # The service runs on this machine: no proxy of the environment is between it and the client.
        client = httpx.Client(base_url=f"http://{reachable}:{port}", timeout=60, trust_env=False)
        service = start(environment)
    except (DemoFailed, InputError) as failure:
        raise click.ClickException(str(failure)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with client:
            wait_until_ready(service, client)
            show(console, client, nowcast(client, files or (SAMPLE,)))
            if not once:
                console.print(f"\nServing at {client.base_url} until Ctrl-C.", markup=False)
                if feed is not None:
                    feed.start(environment)
                serve_until_stopped(console, client, service, feed)
    except DemoFailed as failure:
        raise click.ClickException(str(failure)) from None
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        if feed is not None:
            feed.stop()
        stop(service)


if __name__ == "__main__":
    main()
