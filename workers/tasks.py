"""Celery tasks by name. They call modules that do not depend on Celery."""

from __future__ import annotations

import logging
import time
from datetime import datetime

from celery import shared_task

from model.core.errors import DeviceLost
from service.jobs.queue import (
    ARCHIVE_FEEDS,
    CHECK_ALERTS,
    COMPUTE_TILE,
    FOLLOW_UP,
    LOAD_MODEL,
    RECONCILE,
    REPEAT_RUN,
    RUN_NOWCAST,
    SCAN_FEED,
    SCAN_FEEDS,
    SCORE_FEED,
)
from service.metrics.instruments import SCHEDULE_RUN_TIME
from workers.context import process_context
from workers.lifecycle import shut_down

log = logging.getLogger(__name__)

_scan_ended = float("-inf")
"""When this process last ended a scan (s, monotonic)."""


@shared_task(name=RUN_NOWCAST)
def run_nowcast(job_id: str) -> None:
    """Run a job, and others as one batch with it."""
    from workers.batch import run

    try:
        run(job_id, process_context())
    except DeviceLost as error:
        log.error("the device stopped responding: %s", error)
        shut_down()


@shared_task(name=COMPUTE_TILE)
def compute_tile(job_id: str, attempt: int, tile: str, reference: str, variant: str) -> None:
    """Compute a tile of a nowcast that another worker runs."""
    from workers import offered_tiles

    try:
        offered_tiles.compute_tile(job_id, attempt, tile, reference, variant, process_context())
    except DeviceLost as error:
        log.error("the device stopped responding: %s", error)
        shut_down()


@shared_task(name=RECONCILE)
def reconcile() -> None:
    """Make the queue agree with the ledger."""
    from workers import reconcile as reconciler

    reconciler.reconcile(process_context())
    SCHEDULE_RUN_TIME.labels("reconcile").set_to_current_time()


@shared_task(name=SCAN_FEEDS)
def scan_feeds() -> None:
    """Submit jobs for new frames of all feeds, unless a scan has just ended.

    While a scan takes longer than `feed_scan_seconds`, further messages queue up, and they come before nowcasts.
    """
    from workers.feeds.scan import scan

    global _scan_ended
    context = process_context()
    if time.monotonic() - _scan_ended < context.settings.feed_scan_seconds / 2:
        return
    try:
        scan(context)
    finally:
        _scan_ended = time.monotonic()
    SCHEDULE_RUN_TIME.labels("scan-feeds").set_to_current_time()


@shared_task(name=FOLLOW_UP)
def follow_up(feed: str) -> None:
    """Judge the alerts by a feed's newest run, make its products, and do whatever else follows its publication."""
    from workers.feeds.published import follow_up as follow

    follow(feed, process_context())


@shared_task(name=ARCHIVE_FEEDS)
def archive_feeds() -> None:
    """Archive frames of days that are complete."""
    from workers.feeds import archive

    archive.archive_feeds(process_context())


@shared_task(name=SCORE_FEED)
def score_feed(feed: str) -> None:
    """Score the forecasts of a feed by one of the frames that have arrived since."""
    from workers.feeds.skill.score import score_next

    score_next(feed, process_context())


@shared_task(name=CHECK_ALERTS)
def check_alerts() -> None:
    """Judge the rules of alerts that no nowcast has judged."""
    from workers.feeds import alerts

    alerts.check_alerts(process_context())
    SCHEDULE_RUN_TIME.labels("check-alerts").set_to_current_time()


@shared_task(name=SCAN_FEED)
def scan_feed(feed: str) -> None:
    """Submit jobs for new frames of one feed, which have just been sent."""
    from workers.feeds.scan import scan

    scan(process_context(), [feed])


@shared_task(name=LOAD_MODEL)
def load_model(reference: str, digest: str, answer_key: str) -> None:
    """Load a model for a gateway that is to promote it."""
    from workers import model_load

    try:
        model_load.load_model(reference, digest, answer_key, process_context())
    except DeviceLost as error:
        log.error("the device stopped responding: %s", error)
        shut_down()


@shared_task(name=REPEAT_RUN)
def repeat_run(feed: str, reference_time: str) -> None:
    """Make a run of a feed again that has no nowcast."""
    from workers.feeds import backfill

    backfill.repeat_run(feed, datetime.fromisoformat(reference_time), process_context())
