"""The scheduler of `echocast beat`, which sends heartbeats as long as it runs tasks."""

from __future__ import annotations

import logging
from typing import Final

from celery.beat import Scheduler
from redis.exceptions import RedisError

from service.jobs.heartbeat import send_heartbeat
from service.settings import load_settings
from workers.lifecycle import worker_name

HEARTBEAT_SECONDS: Final = 5.0
"""The scheduler wakes up at least this often."""

log = logging.getLogger(__name__)


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's scheduler in memory, with a heartbeat after each round: a loop that hangs is seen, too."""

    def tick(self, *args: object, **kwargs: object) -> float:
        """Send what is due; return the time until the next round (s)."""
        delay = float(super().tick(*args, **kwargs))
        settings = load_settings()
        try:
            send_heartbeat(settings, worker_name(), "beat", settings.worker_stale_seconds + HEARTBEAT_SECONDS)
        except (RedisError, OSError) as error:
            log.warning("heartbeat: %s", error)
        return min(delay, HEARTBEAT_SECONDS)  # Celery sleeps up to 300 s
