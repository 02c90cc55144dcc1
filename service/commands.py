"""`echocast serve`: the gateway, and with no broker set also everything behind it."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from service.embedded import CannotStart, FolderLock, Supervisor
from service.jobs.feeds import read_feeds
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from uvicorn import Server

STOP_SECONDS = 2
"""How long open requests, event streams among them, may take to end when the gateway stops."""

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="Address to listen on (ECHOCAST_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one (ECHOCAST_PORT).")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR).")
@click.option("--open", "open_browser", is_flag=True, help="Open the map in a browser.")
def serve(host: str | None, port: int | None, data_dir: Path | None, open_browser: bool) -> None:
    """Run the gateway. With no ECHOCAST_BROKER_URL also a private Redis, a worker and the schedule."""
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        if settings.embedded:
            settings = _embed(settings, stack)
        address = f"http://{_name(settings.host)}:{listener.getsockname()[1]}"
        for problem in read_feeds(settings.feeds_path).problems:
            log.error("%s: %s. %s", problem["where"], problem["what"], problem["mend"])
        _run(settings, listener, address, stack, open_browser)


def _embed(settings: Settings, stack: ExitStack) -> Settings:
    """Start what stands behind the gateway; the settings with its broker."""
    lock = FolderLock(settings.data_dir)
    stack.callback(lock.release)
    supervisor = Supervisor(settings)
    stack.callback(supervisor.stop)
    if settings.database_url is None:
        from service.jobs.ledger import open_ledger

        ledger = open_ledger(settings)
        begun = ledger.release_all()
        ledger.close()
        if begun:
            log.info("%d unfinished nowcasts of the last run go on", begun)
    supervisor.start()
    # The gateway answers first: on a small machine the worker's imports would take its turn.
    timer = threading.Timer(1.0, supervisor.go_on)
    timer.daemon = True
    timer.start()
    return supervisor.settings


def _run(settings: Settings, listener: socket.socket, address: str, stack: ExitStack, open_browser: bool) -> None:
    import uvicorn

    from service.api.app import create_app

    config = uvicorn.Config(
        create_app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=STOP_SECONDS
    )
    server = uvicorn.Server(config)
    click.echo(f"Echocast serves {address} (data in {settings.data_dir})", err=True)
    if open_browser:
        timer = threading.Timer(1.0, click.launch, args=(address,))
        timer.daemon = True
        timer.start()
    with _signals(server):
        server.run(sockets=[listener])
    if not server.started:
        raise CannotStart("the gateway did not start", where=address, mend="The log above has the reason")


@contextmanager
def _signals(server: Server) -> Iterator[None]:
    """Let SIGTERM and ctrl-C end the server, and only it: uvicorn would raise them again afterwards."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.handle_exit(number, frame)

    @contextmanager
    def none() -> Iterator[None]:
        yield

    server.capture_signals = none  # type: ignore[method-assign]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    yield


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """The gateway's socket.

    Raises:
        CannotStart: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    with listener:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotStart(
                f"cannot listen on {settings.host} port {settings.port} ({error.strerror})",
                where="echocast serve",
                mend="Choose another with --port (0 takes a free one) and --host",
            ) from None
        yield listener


def _name(host: str) -> str:
    return f"[{host}]" if ":" in host else host
