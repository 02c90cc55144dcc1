"""Start and stop of a worker. Each process of the worker imports this module before its first task.

A worker is one process that consumes the queue, and one or several child processes that run jobs. Each child sends
heartbeats once its model is loaded and warm.
"""

from __future__ import annotations

import gc
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
from sqlalchemy.exc import SQLAlchemyError

from model.core.errors import DeviceLost, InputError
from service.jobs.heartbeat import remove_heartbeat, send_heartbeat
from service.jobs.queue import RECONCILE, SCAN_FEEDS
from service.log import log_to_stderr
from service.metrics.folder import register_process
from service.metrics.instruments import WORKER_HEARTBEAT_TIME
from service.settings import Settings, load_settings
from service.store import StoreUnavailable
from service.tracing import start_tracing, stop_tracing
from workers.process_privacy import close_process_without_landlock
from workers.temporary_files import delete_own_folder, use_own_folder

EXIT_CODES: Final = {signal.SIGUSR2: 1, signal.SIGURG: 2}
"""Signals by which a child process shuts its worker down, and the worker's exit code: 1, the device is lost or the
ledger does not respond, and a restart may help; 2, a setting must be changed."""

log = logging.getLogger(__name__)
_stopping = threading.Event()


def configure_logging(settings: Settings) -> None:
    """Log one line per record to stderr; records of Celery itself from warnings on."""
    log_to_stderr(settings)
    for name in ("celery", "kombu", "multiprocessing"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery warns of running as root because of pickle, and all messages are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # Celery announces another default for jobs that run while the broker is away; ours continue either way.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def worker_name() -> str:
    """Return host and process, which are unique among live workers."""
    return f"{socket.gethostname()}:{os.getpid()}"


@setup_logging.connect(weak=False)
def _log(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    configure_logging(load_settings())


@worker_process_init.connect(weak=False)
def _start(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Import what every job needs, load readers and model, warm the model up, and only then send heartbeats."""
    close_process_without_landlock()
    register_process("worker-child")
    use_own_folder()
    start_tracing("worker")
    import workers.batch
    import workers.frames
    import workers.nowcast_job  # noqa: F401
    from service.web_push.vapid_key import VapidKey
    from workers import sandbox
    from workers.alert_sender import AlertSender
    from workers.context import process_context
    from workers.outbox_sender import OutboxSender
    from workers.push_sender import PushSender
    from workers.webhooks import WebhookSender

    readers = threading.Thread(target=sandbox.start, daemon=True)
    readers.start()
    try:
        context = process_context()
        push_key = VapidKey.of_settings(context.settings)
        model = context.models.start()
    except InputError as error:
        log.error("%s", error)
        shut_down(signal.SIGURG)
        return
    except DeviceLost as error:
        log.error("the device does not respond: %s", error)
        shut_down()
        return
    except (SQLAlchemyError, StoreUnavailable, OSError) as error:
        log.error("the worker cannot start now: %s", error)  # it would run jobs, without heartbeats and webhooks
        shut_down()
        return
    readers.join()
    gc.collect()
    gc.freeze()  # what is loaded now stays: a full collection during a nowcast need not visit it
    for target in (_send_heartbeats, context.models.watch):
        threading.Thread(target=target, daemon=True).start()
    senders: list[OutboxSender[Any]] = [AlertSender(context.settings, context.ledger)]
    if context.settings.webhooks:
        senders.append(WebhookSender(context.settings, context.ledger))
    if push_key is not None:
        senders.append(PushSender(context.settings, context.ledger, push_key))
    for sender in senders:
        threading.Thread(target=sender.run, args=(_stopping,), daemon=True).start()
    log.info("worker %s is ready: %s, %s", worker_name(), model.info.reference, model.variant)


@worker_process_shutdown.connect(weak=False)
def _end(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    _stop()
    delete_own_folder()


def _stop() -> None:
    _stopping.set()
    stop_tracing()
    try:
        remove_heartbeat(load_settings(), worker_name())
    except (RedisError, OSError):
        log.debug("no broker, the heartbeat expires")


@worker_ready.connect(weak=False)
def _run_schedule(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    for task in (RECONCILE, SCAN_FEEDS):
        sender.app.send_task(task)


def shut_down(why: signal.Signals = signal.SIGUSR2) -> None:
    """Stop the heartbeats of this process, which can run no job, and make its worker exit after the running jobs."""
    _stop()
    os.kill(os.getppid(), why)


def exit_on_signal() -> None:
    """Make the process that consumes the queue exit when `shut_down` signals it, with the exit code of the signal."""

    def end(number: int, frame: FrameType | None) -> None:
        state.should_stop = EXIT_CODES[signal.Signals(number)]

    for number in EXIT_CODES:
        signal.signal(number, end)


def _send_heartbeats() -> None:
    from workers.device_memory import DeviceMemory

    settings = load_settings()
    devices = DeviceMemory()
    while not _stopping.is_set():
        devices.report()
        try:
            send_heartbeat(settings, worker_name())
            WORKER_HEARTBEAT_TIME.labels("worker-child").set_to_current_time()
        except (RedisError, OSError) as error:
            log.warning("heartbeat: %s", error)
        _stopping.wait(settings.worker_stale_seconds / 3)
