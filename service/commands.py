"""`echocast serve`: the gateway and, where no broker is set, all that it needs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from service.embedded import CannotStart, FolderLock, Supervisor
from service.feeds.feeds_file import read_feeds
from service.locked_folder import own_temporary_folder
from service.log import log_to_stderr
from service.metrics.folder import metrics_folder, register_process
from service.settings import Settings, load_settings

STOP_SECONDS = 2
"""How long open requests may take to end when the gateway stops."""

TEMPORARY = "echocast-gateway-"
"""Prefix of the folder of the gateway's temporary files."""

BACKLOG = 1024
"""Connections that may wait to be accepted."""

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="Address to listen on (ECHOCAST_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free one (ECHOCAST_PORT).")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR).")
@click.option("--open", "open_browser", is_flag=True, help="Open the map in a browser.")
def serve(host: str | None, port: int | None, data_dir: Path | None, open_browser: bool) -> None:
    """Run the gateway and, without ECHOCAST_BROKER_URL, a private Redis, a worker and the scheduler."""
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    log_to_stderr(settings)
    with ExitStack() as stack:
        stack.enter_context(metrics_folder())
        stack.enter_context(own_temporary_folder(TEMPORARY))
        register_process("gateway")
        listener = stack.enter_context(_listen(settings))
        supervisor = _embed(settings, stack) if settings.embedded else None
        for problem in read_feeds(settings.feeds_path).problems:
            log.error("%s: %s. %s", problem["where"], problem["what"], problem["hint"])
        host_in_url = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host_in_url}:{listener.getsockname()[1]}"

        def on_started() -> None:
            click.echo(f"Echocast serves {address} (data in {settings.data_dir})", err=True)
            if supervisor is not None:
                supervisor.start_workers()
            if open_browser:
                click.launch(address)

        _run(supervisor.settings if supervisor is not None else settings, listener, on_started)


def _embed(settings: Settings, stack: ExitStack) -> Supervisor:
    """Lock the data folder and start the private Redis; return the supervisor of the child processes."""
    lock = FolderLock(settings.data_dir)
    stack.callback(lock.release)
    supervisor = Supervisor(settings)
    if settings.database_url is None:
        from service.jobs.ledger import Ledger

        ledger = Ledger(settings.database)
        stack.callback(ledger.close)
        if interrupted := ledger.recover():
            log.warning("the last run did not stop by itself; %d unfinished nowcasts are tried again", interrupted)
        stack.callback(ledger.release_all)
    stack.callback(supervisor.stop)
    supervisor.start()
    return supervisor


def _run(settings: Settings, listener: socket.socket, on_started: Callable[[], None]) -> None:
    import uvicorn

    from service.api.app import create_app
    from service.server import GatewayServer, gateway_protocol

    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=gateway_protocol(settings),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = GatewayServer(config, on_started, app.state.context.end_streams)
    server.run(sockets=[listener])
    if not server.started:
        raise CannotStart("the gateway did not start", where="echocast serve", hint="The log above has the reason")


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """Open the gateway's socket.

    Raises
    ------
    CannotStart
        The address is not available.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is given because asyncio sets TCP_NODELAY only on sockets that name it. Without TCP_NODELAY the last
    # part of a response waits 40 ms for the client's acknowledgement of the first.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)
        except OSError as error:
            raise CannotStart(
                f"cannot listen on {settings.host} port {settings.port} ({error.strerror})",
                where="echocast serve",
                hint="Choose another with --port (0 chooses a free one) and --host",
            ) from None
        yield listener
