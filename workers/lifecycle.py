"""What happens when a worker starts and stops. Each process of the worker imports it before its first task.

A worker is one process that talks to the queue and one, or several, that run jobs. Each of those announces itself once
its model is loaded and warm.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from types import FrameType
from typing import Any, Final

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown, worker_ready
from celery.worker import state
from redis.exceptions import RedisError

from model.core.errors import DeviceLost, InputError
from service.jobs.heartbeat import remove_heartbeat, send_heartbeat
from service.jobs.queue import RECONCILE, SCAN_FEEDS
from service.log import log_to_stderr
from service.settings import Settings, load_settings

LEAVE: Final = {signal.SIGUSR2: 1, signal.SIGURG: 2}
"""How a process that runs jobs tells its worker to leave, and the worker's exit code then: 1, as the device is lost and
a new start may hint it; 2, as a setting must change."""

log = logging.getLogger(__name__)
_stopping = threading.Event()


def configure_logging(settings: Settings) -> None:
    """One line per record on stderr; Celery's own chatter only from warnings on."""
    log_to_stderr(settings.log_level)
    for name in ("celery", "kombu", "multiprocessing"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery warns of root because of pickle, which no message of ours may be.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # A job goes on while the broker is away: that Celery will change its default does not touch us.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def worker_name() -> str:
    """Host and process: unique among the living."""
    return f"{socket.gethostname()}:{os.getpid()}"


@setup_logging.connect(weak=False)
def _log(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    configure_logging(load_settings())


@worker_process_init.connect(weak=False)
def _begin(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Import what every job needs, load and warm the model, and only then announce this process."""
    import workers.batch
    import workers.frames
    import workers.nowcast  # noqa: F401
    from workers.context import process_context

    context = process_context()
    try:
        model = context.models.start()
    except InputError as error:
        log.error("%s", error)
        leave(signal.SIGURG)
        return
    except DeviceLost as error:
        log.error("the device does not answer: %s", error)
        leave()
        return
    for target in (_keep_announcing, context.models.watch):
        threading.Thread(target=target, daemon=True).start()
    log.info("worker %s is ready: %s, %s", worker_name(), model.info.reference, model.variant)


@worker_process_shutdown.connect(weak=False)
def _depart(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    _stopping.set()
    try:
        remove_heartbeat(load_settings(), worker_name())
    except (RedisError, OSError):
        log.debug("no broker to say goodbye to")


@worker_ready.connect(weak=False)
def _look_around(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    for task in (RECONCILE, SCAN_FEEDS):
        sender.app.send_task(task)


def leave(why: signal.Signals = signal.SIGUSR2) -> None:
    """This process can run no job any more: it is announced no longer, and its worker ends once the others are done."""
    _depart()
    os.kill(os.getppid(), why)


def leave_when_told() -> None:
    """In the process that talks to the queue: end as `leave` asks, with the exit code that belongs to it."""

    def end(number: int, frame: FrameType | None) -> None:
        state.should_stop = LEAVE[signal.Signals(number)]

    for number in LEAVE:
        signal.signal(number, end)


def _keep_announcing() -> None:
    settings = load_settings()
    while not _stopping.is_set():
        try:
            send_heartbeat(settings, worker_name())
        except (RedisError, OSError) as error:
            log.warning("heartbeat: %s", error)
        _stopping.wait(settings.worker_stale_seconds / 3)
