"""The tasks by name. What they do lies in modules that know nothing of Celery's application."""

from __future__ import annotations

import logging

from celery import shared_task

from model.core.errors import DeviceLost
from service.jobs.queue import MAKE_TILE, RECONCILE, RUN_NOWCAST, SCAN_FEEDS
from workers.context import process_context
from workers.lifecycle import leave

log = logging.getLogger(__name__)


@shared_task(name=RUN_NOWCAST)
def run_nowcast(job_id: str) -> None:
    """Run the job of that id, and others with it."""
    from workers.batch import run

    try:
        run(job_id, process_context())
    except DeviceLost as error:
        log.error("the device does not answer any more: %s", error)
        leave()


@shared_task(name=MAKE_TILE)
def make_tile(job_id: str, attempt: int, tile: str, reference: str, variant: str) -> None:
    """Make a tile of a nowcast that another worker runs."""
    from workers.tiles import compute_tile

    try:
        compute_tile(job_id, attempt, tile, reference, variant, process_context())
    except DeviceLost as error:
        log.error("the device does not answer any more: %s", error)
        leave()


@shared_task(name=RECONCILE)
def reconcile() -> None:
    """Make the queue agree with the ledger."""
    from workers import reconcile as reconciler

    reconciler.reconcile(process_context())


@shared_task(name=SCAN_FEEDS)
def scan_feeds() -> None:
    """Look for new frames."""
    from workers.feeds import scan

    scan(process_context())
