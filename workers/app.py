"""The worker's Celery application: its tasks, and their schedule."""

from __future__ import annotations

from celery import Celery

from service.jobs.queue import ARCHIVE_FEEDS, CHECK_ALERTS, RECONCILE, SCAN_FEEDS, celery_app
from service.settings import Settings

TASKS = ("workers.lifecycle", "workers.tasks")

ARCHIVE_SECONDS = 600.0
"""How often some frames of complete days are archived: a day of 5-minute frames is done in two hours."""


def worker_app(settings: Settings) -> Celery:
    """Return the Celery application; the schedule is kept in memory, since a restart runs it from the beginning."""
    app = celery_app(settings)
    app.conf.update(
        include=TASKS,
        worker_proc_alive_timeout=600,
        worker_max_memory_per_child=settings.worker_max_memory_mb * 1024 or None,
        beat_scheduler="celery.beat:Scheduler",
        beat_schedule={
            task: {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 5.0)}}
            for task, seconds in (
                (RECONCILE, settings.reconcile_seconds),
                (SCAN_FEEDS, settings.feed_scan_seconds),
                (ARCHIVE_FEEDS, ARCHIVE_SECONDS),
                (CHECK_ALERTS, settings.alert_check_seconds),
            )
        },
    )
    return app
