"""The ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.jobs.job import IdempotencyConflict, Job, JobInput, JobStatus, Problem, Timings, UnknownJob
from service.jobs.ledger import Ledger

INPUTS = [JobInput(name="a.npz", key="k/0", size=7)]
PROBLEM = Problem(code="not-a-radar-file", what="it is empty", where="a.npz", hint="Send the file again")


def new_job(**columns: Any) -> Job:
    return Job(model="auto", steps=12, inputs=INPUTS, zr="hko7", **columns)


def expire_lease(ledger: Ledger, job: Job) -> None:
    assert ledger.renew_lease(job, -1)


def finished(ledger: Ledger, jobs: list[Job]) -> list[str]:
    """The ids of those that have ended."""
    versions = ledger.versions([job.id for job in jobs])
    return sorted(job_id for job_id, version in versions.items() if version.status.finished)


def test_a_job_is_accepted_then_runs_then_is_successful(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    assert (made.status, made.inputs, made.zr, made.progress_total) == (JobStatus.ACCEPTED, INPUTS, "hko7", 12)
    assert made.created.tzinfo is UTC
    job = ledger.claim(made.id, 60)
    assert job is not None
    assert ledger.get(made.id).status is JobStatus.RUNNING
    assert ledger.record_model(job, model_used="extrapolation@1", note="too short")
    assert ledger.renew_lease(job, 60, progress_done=5)
    assert ledger.get(made.id).progress_done == 5
    assert ledger.succeed(job, result_key="r", input_key="i")
    done = ledger.get(made.id)
    assert (done.status, done.result_key, done.input_key, done.progress_done) == (JobStatus.SUCCESSFUL, "r", "i", 12)
    assert (done.model_used, done.note, done.attempt) == ("extrapolation@1", "too short", 1)
    assert done.started is not None
    assert done.finished is not None
    assert made.created <= done.started <= done.finished


def test_one_of_many_claims_wins(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: ledger.claim(made.id, 60), range(16)))
    assert Counter(claim is not None for claim in claims) == {True: 1, False: 15}


def test_an_expired_lease_goes_to_another_worker_and_only_that_worker_can_finish(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    first = ledger.claim(made.id, 60)
    assert first is not None
    assert ledger.claim(made.id, 60) is None
    expire_lease(ledger, first)
    second = ledger.claim(made.id, 60)
    assert second is not None
    assert second.attempt == 2
    assert not ledger.renew_lease(first, 60)
    assert not ledger.succeed(first, result_key="r", input_key="i")
    assert not ledger.fail(first, PROBLEM)
    assert ledger.succeed(second, result_key="r", input_key="i")
    assert not ledger.succeed(second, result_key="again", input_key="again")
    assert ledger.get(made.id).result_key == "r"


def test_a_job_has_no_more_attempts_than_allowed(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    for _ in range(2):
        job = ledger.claim(made.id, 60, max_attempts=2)
        assert job is not None
        expire_lease(ledger, job)
    assert ledger.claim(made.id, 60, max_attempts=2) is None


def test_a_dismissed_job_can_be_neither_finished_nor_claimed(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    job = ledger.claim(made.id, 60)
    assert job is not None
    assert ledger.dismiss(made.id)
    assert not ledger.dismiss(made.id)
    assert not ledger.renew_lease(job, 60)
    assert not ledger.succeed(job, result_key="r", input_key="i")
    assert ledger.claim(made.id, 60) is None
    assert ledger.get(made.id).status is JobStatus.DISMISSED


def test_a_failed_job_keeps_its_problem(ledger: Ledger) -> None:
    job = ledger.claim(ledger.create(new_job()).id, 60)
    assert job is not None
    assert ledger.fail(job, PROBLEM)
    failed = ledger.get(job.id)
    assert (failed.status, failed.problem) == (JobStatus.FAILED, PROBLEM)


def test_the_same_idempotency_key_gives_the_same_job(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ledger.create(new_job(idempotency_key="k", request_digest="d")).id, range(8)))
    assert len(set(made)) == 1
    assert ledger.find_by_idempotency_key("anonymous", "k", "d") == ledger.get(made[0])
    assert ledger.find_by_idempotency_key("anonymous", "other", "d") is None
    with pytest.raises(IdempotencyConflict, match="another request"):
        ledger.create(new_job(idempotency_key="k", request_digest="other"))


def test_an_unknown_job_raises_unknown_job(ledger: Ledger) -> None:
    with pytest.raises(UnknownJob, match="no nowcast 'nope'"):
        ledger.get("nope")


def test_accepted_jobs_are_counted_by_kind(ledger: Ledger) -> None:
    made = [ledger.create(Job(kind=kind, model="auto", steps=1, inputs=[])) for kind in ("upload", "feed", "feed")]
    ledger.dismiss(made[1].id)
    assert (ledger.count_accepted("upload"), ledger.count_accepted("feed")) == (1, 1)
    ledger.check()


def test_unqueued_and_lost_jobs_are_found(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    queued, never, running, lost = (ledger.create(new_job()) for _ in range(4))
    ledger.mark_queued(queued.id)
    assert ledger.claim(running.id, 60) is not None
    taken = ledger.claim(lost.id, 60)
    assert taken is not None
    expire_lease(ledger, taken)
    assert [job.id for job in ledger.unqueued("upload", now, 10)] == [never.id]
    later = now + timedelta(minutes=5)
    assert {job.id for job in ledger.unqueued("upload", later, 10)} == {queued.id, never.id}
    [found] = ledger.lost()
    assert found.id == lost.id
    assert ledger.requeue_lost(found)
    assert not ledger.requeue_lost(found)
    assert ledger.get(lost.id).attempt == 1
    assert {job.id for job in ledger.unqueued("upload", now, 10)} == {never.id, lost.id}


def test_a_clean_restart_does_not_count_as_an_attempt(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    for _ in range(5):
        assert ledger.claim(made.id, 60, max_attempts=1) is not None
        assert ledger.release_all() == 1
    assert ledger.get(made.id).status is JobStatus.ACCEPTED


def test_a_start_after_a_crash_counts_the_attempts_that_it_interrupted(ledger: Ledger) -> None:
    made = ledger.create(new_job())
    for _ in range(2):
        assert ledger.claim(made.id, 60, max_attempts=2) is not None
        assert ledger.recover() == 1
        assert [lost.id for lost in ledger.lost()] == [made.id]
    assert ledger.get(made.id).attempt == 2
    assert ledger.claim(made.id, 60, max_attempts=2) is None
    waiting = ledger.create(new_job())
    ledger.mark_queued(waiting.id)
    ledger.recover()
    assert ledger.get(waiting.id).queued is None, "its message was lost with the private Redis"


def test_a_released_job_has_used_an_attempt_and_is_not_queued_at_once(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    job = ledger.claim(ledger.create(new_job()).id, 60)
    assert job is not None
    assert ledger.renew_lease(job, 60, progress_done=5)
    assert ledger.release(job)
    assert not ledger.release(job)
    given_back = ledger.get(job.id)
    assert (given_back.status, given_back.attempt, given_back.progress_done) == (JobStatus.ACCEPTED, 1, 0)
    assert not ledger.unqueued("upload", before, 10)
    assert [found.id for found in ledger.unqueued("upload", datetime.now(UTC), 10)] == [job.id]
    assert ledger.claim(job.id, 60, max_attempts=1) is None


def test_timings_are_stored_and_finished_jobs_are_found(ledger: Ledger) -> None:
    made = [ledger.create(new_job()) for _ in range(3)]
    timings = Timings(queue_seconds=0.5, read_seconds=1.0, compute_seconds=2.0, write_seconds=0.25)
    done, failed = (ledger.claim(job.id, 60) for job in made[:2])
    assert done is not None
    assert failed is not None
    assert finished(ledger, made) == []
    ledger.succeed(done, result_key="r", input_key="i", timings=timings)
    ledger.fail(failed, PROBLEM, timings)
    for job in map(ledger.get, (done.id, failed.id)):
        assert (job.queue_seconds, job.read_seconds, job.compute_seconds, job.write_seconds) == (0.5, 1.0, 2.0, 0.25)
    assert finished(ledger, made) == sorted([done.id, failed.id])


def test_only_finished_jobs_are_deleted(ledger: Ledger, all_jobs) -> None:
    old, still_open = ledger.create(new_job()), ledger.create(new_job())
    ledger.dismiss(old.id)
    assert [job.id for job in ledger.finished_before(datetime.now(UTC) + timedelta(seconds=1))] == [old.id]
    ledger.delete([old.id, still_open.id])
    assert [job.id for job in all_jobs(ledger)] == [still_open.id]


def test_jobs_stay_readable_without_a_session_and_no_connection_stays_open(ledger: Ledger) -> None:
    made = ledger.create(new_job(idempotency_key="k", request_digest="d"))
    again = ledger.create(new_job(idempotency_key="k", request_digest="d"))
    claimed = ledger.claim(made.id, 60)
    with pytest.raises(UnknownJob):
        ledger.get("nope")
    assert ledger.engine.pool.checkedout() == 0
    ledger.close()
    assert claimed is not None
    for job in (made, again, claimed):
        assert (job.id, job.inputs, job.progress_total, job.note) == (made.id, INPUTS, 12, "")
    assert claimed.lease is not None
