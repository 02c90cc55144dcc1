"""The reconciler, with a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from service.embedded import Supervisor
from service.feeds.follow_up import FollowUps
from service.feeds.tables import FeedRun, RegisteredFeed, RunState
from service.jobs.database import writing
from service.jobs.heartbeat import live_workers, remove_heartbeat, send_heartbeat
from service.jobs.job import Job, JobInput, JobStatus
from service.jobs.queue import FEEDS_QUEUE, FOLLOW_UPS_QUEUE, NOWCASTS_QUEUE, redis_client
from service.store import job_prefix, result_key
from workers import reconcile
from workers.context import WorkerContext, open_context

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def upload() -> Job:
    return Job(model="auto", steps=1, inputs=[JobInput(name="a", key="k", size=1)])


def feed_job() -> Job:
    return Job(kind="feed", model="auto", steps=1, inputs=[], feed="north")


@pytest.fixture
def queued(supervisor: Supervisor, lab) -> Iterator[WorkerContext]:
    """A context with a Redis behind it, and no worker."""
    context = open_context(supervisor.settings.model_copy(update={"requeue_seconds": 3600.0}))
    supervisor.start()
    lab.wait_until(lambda: _answers(context), "Redis")
    yield context
    context.ledger.close()


def _answers(context: WorkerContext) -> bool:
    try:
        with redis_client(context.settings) as redis:
            return bool(redis.ping())
    except RedisError:
        return False


def lengths(context: WorkerContext) -> tuple[int, int]:
    with redis_client(context.settings) as redis:
        return redis.llen(NOWCASTS_QUEUE), redis.llen(FEEDS_QUEUE)


def lose(context: WorkerContext, job: Job) -> None:
    taken = context.ledger.claim(job.id, 60)
    assert taken is not None
    assert context.ledger.renew_lease(taken, -1)


def test_jobs_that_the_queue_does_not_hold_are_queued_and_no_others(queued: WorkerContext) -> None:
    jobs = [queued.ledger.create(upload()) for _ in range(3)]
    feed = queued.ledger.create(feed_job())
    assert queued.queue.enqueue(jobs[0].id)
    assert lengths(queued) == (1, 0)
    for _ in range(2):
        reconcile.reconcile(queued)
        assert lengths(queued) == (3, 1)
    queued.ledger.dismiss(feed.id)
    with redis_client(queued.settings) as redis:
        redis.flushall()
    reconcile.reconcile(queued)
    assert lengths(queued) == (0, 0), "they were queued less than an hour ago"
    soon = queued.settings.model_copy(update={"requeue_seconds": 0.001})
    reconcile.reconcile(type(queued)(**{**queued.__dict__, "settings": soon}))
    assert lengths(queued) == (3, 0)


def test_a_job_whose_worker_died_is_queued_until_it_died_too_often(queued: WorkerContext) -> None:
    job = queued.ledger.create(upload())
    for attempt in range(1, queued.settings.max_attempts):
        lose(queued, job)
        reconcile.reconcile(queued)
        now = queued.ledger.get(job.id)
        assert (now.status, now.attempt) == (JobStatus.ACCEPTED, attempt)
    lose(queued, job)
    reconcile.reconcile(queued)
    failed = queued.ledger.get(job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == "worker-lost"


def test_a_job_that_waits_too_long_fails_with_its_files_deleted(queued: WorkerContext, lab, tmp_path: Path) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    waiting, tried = (lab.upload(queued.ledger, queued.store, frames) for _ in range(2))
    taken = queued.ledger.claim(tried.id, 60)
    assert taken is not None
    assert queued.ledger.release(taken)
    feed = queued.ledger.create(feed_job())
    reconcile.reconcile(queued)
    assert queued.ledger.get(waiting.id).status is JobStatus.ACCEPTED
    hasty = queued.settings.model_copy(update={"queue_time_limit_seconds": 0.001})
    reconcile.reconcile(replace(queued, settings=hasty))
    failed = queued.ledger.get(waiting.id)
    assert failed.problem is not None
    assert (failed.status, failed.problem["code"]) == (JobStatus.FAILED, "queue-deadline")
    assert not queued.store.exists(failed.inputs[0]["key"])
    assert {queued.ledger.get(job.id).status for job in (tried, feed)} == {JobStatus.ACCEPTED}


def test_jobs_older_than_the_retention_are_deleted(
    context: WorkerContext, lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, fresh = context.ledger.create(upload()), context.ledger.create(upload())
    for made in (job, fresh):
        context.store.put(result_key(made.id), b"x")
    context.ledger.dismiss(job.id)
    reconcile.expire(context)
    assert context.store.exists(result_key(job.id))
    later = datetime.now(UTC) + timedelta(days=31)
    monkeypatch.setattr(reconcile, "datetime", type("Later", (), {"now": staticmethod(lambda zone: later)}))
    reconcile.expire(context)
    assert not context.store.exists(result_key(job.id))
    assert [left.id for left in lab.jobs(context.ledger)] == [fresh.id]
    assert context.store.exists(f"{job_prefix(fresh.id)}/result.nc")


def test_a_worker_is_alive_until_it_stops_or_its_heartbeat_expires(queued: WorkerContext, lab) -> None:
    send_heartbeat(queued.settings, "host:1")
    brief = queued.settings.model_copy(update={"worker_stale_seconds": 0.2})
    send_heartbeat(brief, "host:2")
    assert "host:1" in live_workers(queued.settings)
    lab.wait_until(lambda: live_workers(queued.settings) == ["host:1"], "the second worker to be forgotten")
    remove_heartbeat(queued.settings, "host:1")
    assert live_workers(queued.settings) == []


def test_what_follows_a_publication_is_queued_again_unless_a_process_is_at_it(queued: WorkerContext) -> None:
    job = queued.ledger.create(feed_job())
    claimed = queued.ledger.claim(job.id, 60)
    assert claimed is not None
    assert queued.ledger.succeed(claimed, result_key=result_key(job.id), input_key="i")
    run = FeedRun(feed="north", reference_time=NOON, model="auto", state=RunState.SUBMITTED, job_id=job.id)
    with writing(queued.ledger.engine) as session:
        session.merge(RegisteredFeed(name="north", folder="/radar"))
        session.add(run)

    def waiting() -> int:
        reconcile.requeue_follow_ups(queued)
        with redis_client(queued.settings) as redis:
            messages = redis.llen(FOLLOW_UPS_QUEUE)
            redis.delete(FOLLOW_UPS_QUEUE)
        return messages

    follow_ups = FollowUps(queued.ledger.engine)
    with follow_ups.lease("north") as lease:
        assert lease.held
        assert waiting() == 0
    assert waiting() == 1, "the message was lost"
    with writing(queued.ledger.engine) as session:
        feed = session.get_one(RegisteredFeed, "north")
        feed.follow_up_until = datetime.now(UTC) - timedelta(seconds=1)
    assert waiting() == 1, "the process was killed, and its lease is over"
    follow_ups.record_done(run, [])
    assert waiting() == 0
