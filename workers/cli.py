"""`echocast worker` and `echocast beat`."""

from __future__ import annotations

import atexit
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

from model.core.settings import BadSetting
from service.metrics.folder import metrics_folder, register_process
from service.settings import Settings, load_settings
from workers.process_privacy import close_process_without_landlock
from workers.temporary_files import CONSUMER, delete_own_folder, use_own_folder


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Nowcasts at a time.")
def worker(concurrency: int) -> None:
    """Take jobs from the queue and run them. One process per GPU: start one worker for each."""
    settings = _with_broker()
    use_own_folder(CONSUMER)
    atexit.register(delete_own_folder)  # runs after billiard's own function, which deletes its folder in there
    with metrics_folder():
        sys.exit(_consume(settings, concurrency))


def _consume(settings: Settings, concurrency: int) -> int | None:
    """Run the process that consumes the queue; return its exit code."""
    from workers.app import worker_app
    from workers.lifecycle import configure_logging, exit_on_signal

    configure_logging(settings)
    close_process_without_landlock()
    register_process("worker")
    _serve_metrics(settings)
    app = worker_app(settings)
    exit_on_signal()
    process = app.Worker(
        concurrency=concurrency,
        pool="prefork",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    process.start()
    exit_code: int | None = process.exitcode
    return exit_code


def _serve_metrics(settings: Settings) -> None:
    if settings.metrics_port is None:
        return
    from service.metrics.disks import DiskMetrics
    from service.metrics.exposition import serve_metrics

    folders = {"temporary": Path(tempfile.gettempdir())}
    serve_metrics(settings.metrics_host, settings.metrics_port, DiskMetrics(folders))


@click.command()
def beat() -> None:
    """Send the schedule's tasks: the reconciler and the scan of the feeds. One is enough; two do no harm."""
    settings = _with_broker()
    with metrics_folder():
        _send_schedule(settings)


def _send_schedule(settings: Settings) -> None:
    """Run beat until a signal ends it."""
    from celery.beat import Service

    from workers.app import worker_app
    from workers.lifecycle import configure_logging
    from workers.scheduler import HeartbeatScheduler

    configure_logging(settings)
    close_process_without_landlock()
    register_process("beat")
    service = Service(worker_app(settings), scheduler_cls=HeartbeatScheduler)

    def stop(number: int, frame: FrameType | None) -> None:
        service.stop()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    service.start()


def _with_broker() -> Settings:
    settings = load_settings()
    if settings.broker_url is None:
        raise BadSetting(
            "no broker is set",
            where="ECHOCAST_BROKER_URL",
            hint="Set it to the queue's Redis, as in redis://redis:6379/0; `echocast serve` alone needs none",
        )
    return settings
