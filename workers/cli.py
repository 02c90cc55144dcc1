"""`echocast worker` and `echocast beat`."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from model.core.settings import BadSetting
from service.settings import Settings, load_settings


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Nowcasts at a time.")
def worker(concurrency: int) -> None:
    """Take jobs from the queue and run them. One process per GPU: start one worker for each."""
    settings = _with_broker()
    from workers.app import worker_app
    from workers.lifecycle import configure_logging, exit_on_signal

    configure_logging(settings)
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
    sys.exit(process.exitcode)


@click.command()
def beat() -> None:
    """Send the schedule's tasks: the reconciler and the scan of the feeds. One is enough; two do no harm."""
    settings = _with_broker()
    from celery.beat import Service

    from workers.app import worker_app
    from workers.lifecycle import configure_logging
    from workers.scheduler import HeartbeatScheduler

    configure_logging(settings)
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
