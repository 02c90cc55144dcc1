"""The reconciler: queues again what the queue has lost, fails what keeps killing its worker, deletes what is old."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from service.jobs.job import JobKind, Problem
from service.jobs.queue import FEEDS_QUEUE, NOWCASTS_QUEUE, redis_client
from service.store import job_prefix
from workers.context import WorkerContext
from workers.tiles import forget_tiles

BATCH: Final = 500

log = logging.getLogger(__name__)


def reconcile(context: WorkerContext) -> None:
    """Make the queue agree with the ledger, and the store with the retention."""
    take_back(context)
    queue_again(context)
    expire(context)


def take_back(context: WorkerContext) -> None:
    """Jobs whose worker is gone: accepted again, or failed where that happened too often."""
    for job in context.ledger.lost():
        if job.attempt >= context.settings.max_attempts:
            log.warning("job %s: its worker died %d times", job.id, job.attempt)
            if not context.ledger.fail_lost(job, _worker_lost(job.attempt)):
                continue
        elif context.ledger.requeue_lost(job):
            log.warning("job %s: its worker is gone, attempt %d", job.id, job.attempt)
        else:
            continue
        forget_tiles(context.store, job.id)


def queue_again(context: WorkerContext) -> None:
    """Queue accepted jobs that the queue does not hold.

    The queue is first in, first out, so where it holds fewer messages than there are accepted jobs, it is those
    queued longest ago that it has lost. A job that is queued twice runs once: the second finds it claimed.
    """
    kinds: tuple[tuple[JobKind, str], ...] = (("feed", FEEDS_QUEUE), ("upload", NOWCASTS_QUEUE))
    before = datetime.now(UTC) - timedelta(seconds=context.settings.requeue_seconds)
    with redis_client(context.settings) as redis:
        held = {kind: int(redis.llen(queue)) for kind, queue in kinds}
    for kind, _ in kinds:
        missing = min(context.ledger.count_accepted(kind) - held[kind], BATCH)
        if missing <= 0:
            continue
        for job in context.ledger.unqueued(kind, before, missing):
            log.info("job %s is queued again", job.id)
            if not context.queue.enqueue(job.id, feed=kind == "feed"):
                return


def expire(context: WorkerContext) -> None:
    """Delete what finished longer ago than the retention."""
    days = context.settings.retention_days
    if days == 0:
        return
    old = context.ledger.finished_before(datetime.now(UTC) - timedelta(days=days), BATCH)
    for job in old:
        context.store.delete_prefix(job_prefix(job.id))
    if old:
        context.ledger.delete([job.id for job in old])
        log.info("deleted %d nowcasts older than %g days", len(old), days)


def _worker_lost(attempts: int) -> Problem:
    return Problem(
        code="worker-lost",
        what=f"the worker died {attempts} times while it ran this nowcast",
        where="worker",
        hint="Give the worker more memory, or ask for a smaller grid or fewer steps",
    )
