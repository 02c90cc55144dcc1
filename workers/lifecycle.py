"""What happens when a worker starts and stops. Each process of the worker imports it before its first task."""

from __future__ import annotations

import logging
import os
import socket
import threading
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_ready, worker_shutdown
from redis.exceptions import RedisError

from service.jobs.live import beat_heart, stop_heart
from service.jobs.queue import RECONCILE, SCAN_FEEDS
from service.log import log_to_stderr
from service.settings import Settings, load_settings

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
def _load(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Import what every job needs before the first one asks for it."""
    import workers.frames
    import workers.nowcast  # noqa: F401


@worker_ready.connect(weak=False)
def _announce(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    settings = load_settings()
    threading.Thread(target=_keep_announcing, args=(settings,), name="heartbeat", daemon=True).start()
    for task in (RECONCILE, SCAN_FEEDS):
        sender.app.send_task(task)
    log.info("worker %s is ready", worker_name())


@worker_shutdown.connect(weak=False)
def _depart(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    _stopping.set()
    try:
        stop_heart(load_settings(), worker_name())
    except (RedisError, OSError):
        log.debug("no broker to say goodbye to")


def _keep_announcing(settings: Settings) -> None:
    while not _stopping.is_set():
        try:
            beat_heart(settings, worker_name())
        except (RedisError, OSError) as error:
            log.warning("heartbeat: %s", error)
        _stopping.wait(settings.worker_stale_seconds / 3)
