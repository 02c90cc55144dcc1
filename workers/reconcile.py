"""The reconciler: requeues lost jobs, fails jobs that kill their workers, and deletes expired ones and leftovers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from service.feeds.follow_up import FollowUps
from service.jobs.job import Problem
from service.jobs.queue import FOLLOW_UPS_QUEUE, QUEUE_OF_KIND, redis_client
from service.store import delete_uploads, job_prefix
from workers.context import WorkerContext
from workers.offered_tiles import delete_tiles
from workers.sweep import sweep_when_due

BATCH: Final = 500

log = logging.getLogger(__name__)


def reconcile(context: WorkerContext) -> None:
    """Make the queue agree with the ledger, and the store with the retention."""
    requeue_lost(context)
    fail_overdue(context)
    requeue_accepted(context)
    requeue_follow_ups(context)
    expire(context)
    sweep_when_due(context)


def requeue_lost(context: WorkerContext) -> None:
    """Requeue jobs whose worker is gone, or fail them after their last attempt."""
    for job in context.ledger.lost():
        if job.attempt >= context.settings.max_attempts:
            log.warning("job %s: its worker died %d times", job.id, job.attempt)
            if not context.ledger.fail_lost(job, _worker_lost(job.attempt)):
                continue
            delete_uploads(context.store, job.id)
        elif context.ledger.requeue_lost(job):
            log.warning("job %s: its worker is gone, attempt %d", job.id, job.attempt)
        else:
            continue
        delete_tiles(context.store, job.id)


def fail_overdue(context: WorkerContext) -> None:
    """Fail uploads that waited longer than `queue_time_limit_seconds`."""
    limit = context.settings.queue_time_limit_seconds
    if limit == 0:
        return
    for job in context.ledger.overdue(datetime.now(UTC) - timedelta(seconds=limit)):
        if context.ledger.fail_overdue(job, _queue_deadline(limit)):
            log.warning("job %s: waited longer than %g s", job.id, limit)
            delete_uploads(context.store, job.id)
            context.queue.notify_completed(job.id)


def requeue_accepted(context: WorkerContext) -> None:
    """Enqueue accepted jobs whose message the queue has lost.

    The queue is first in, first out. So if it holds fewer messages than there are accepted jobs, the lost messages are
    those of the jobs that were enqueued first. A job that is enqueued twice runs once: the second message is ignored.
    """
    before = datetime.now(UTC) - timedelta(seconds=context.settings.requeue_seconds)
    with redis_client(context.settings) as redis:
        queued = {kind: int(redis.llen(queue)) for kind, queue in QUEUE_OF_KIND.items()}
    for kind in QUEUE_OF_KIND:
        missing = min(context.ledger.count_accepted(kind) - queued[kind], BATCH)
        if missing <= 0:
            continue
        for job in context.ledger.unqueued(kind, before, missing):
            log.info("job %s is enqueued again", job.id)
            if not context.queue.enqueue(job.id, kind):
                return


def requeue_follow_ups(context: WorkerContext) -> None:
    """Enqueue what follows publications, where the message was lost or the process that did it."""
    with redis_client(context.settings) as redis:
        if redis.llen(FOLLOW_UPS_QUEUE):
            return
    for feed in FollowUps(context.ledger.engine).feeds():
        context.queue.enqueue_follow_up(feed)


def expire(context: WorkerContext) -> None:
    """Delete jobs that finished before the retention period."""
    days = context.settings.retention_days
    if days == 0:
        return
    old = context.ledger.finished_before(datetime.now(UTC) - timedelta(days=days), BATCH)
    for job in old:
        context.store.delete_prefix(job_prefix(job.id))
    if old:
        context.ledger.delete([job.id for job in old])
        log.info("deleted %d nowcasts older than %g days", len(old), days)


def _queue_deadline(limit: float) -> Problem:
    return Problem(
        code="queue-deadline",
        what=f"the nowcast waited longer than {limit:g} s for a worker",
        where="queue",
        hint="Send the newest frames; more workers or a higher ECHOCAST_QUEUE_TIME_LIMIT_SECONDS prevent this",
    )


def _worker_lost(attempts: int) -> Problem:
    return Problem(
        code="worker-lost",
        what=f"the worker died {attempts} times while it ran this nowcast",
        where="worker",
        hint="Give the worker more memory, or request a smaller grid or fewer steps",
    )
