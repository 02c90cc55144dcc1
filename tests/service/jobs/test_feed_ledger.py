"""Runs of feeds, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs.feed_ledger import FeedLedger, Frame, RunState
from service.jobs.ledger import JobStatus, Ledger, NewJob, Problem

NEW = NewJob(kind="feed", model="auto", steps=1, inputs=(), feed="north")
PROBLEM = Problem(code="x", what="w", where="h", mend="m")


def frame(name: str, size: int = 1) -> Frame:
    return Frame(name=name, size=size, modified_ns=1_780_000_000_123_456_789)


@pytest.fixture
def feeds(ledger: Ledger) -> FeedLedger:
    return FeedLedger(ledger)


def test_a_feed_begins_once_and_skips_its_backlog(feeds: FeedLedger) -> None:
    assert not feeds.seen("north")
    with ThreadPoolExecutor(4) as pool:
        began = list(pool.map(lambda _: feeds.begin("north", "/f", [frame("a"), frame("b")]), range(6)))
    assert sum(began) == 1
    assert feeds.seen("north")
    assert {(run.frame, run.state, run.status) for run in feeds.runs("north")} == {
        ("a", RunState.SKIPPED, None),
        ("b", RunState.SKIPPED, None),
    }
    feeds.scanned("north", PROBLEM)


def test_a_frame_becomes_one_job_however_many_ask(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [job for job in pool.map(lambda _: feeds.submit(frame("a"), NEW), range(8)) if job]
    assert len(made) == 1
    assert [job.id for job in all_jobs(ledger)] == made
    [run] = feeds.runs("north")
    assert (run.job_id, run.status, run.state) == (made[0], JobStatus.ACCEPTED, RunState.SUBMITTED)
    assert run.is_of(frame("a"))
    assert not run.is_of(frame("a", size=2))


def test_a_frame_that_waited_is_tried_again_once(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    first = feeds.submit(frame("a"), NEW)
    assert first is not None
    feeds.close(first, RunState.WAITING, "two frames more")
    [waiting] = feeds.runs("north")
    assert waiting.state is RunState.WAITING
    second = feeds.submit(frame("a"), NEW, waiting)
    assert second is not None
    assert feeds.submit(frame("a"), NEW, waiting) is None
    assert [run.job_id for run in feeds.runs("north")] == [second]
    assert {job.id for job in all_jobs(ledger)} == {first, second}


def test_a_run_outlives_its_job_and_is_forgotten_apart(feeds: FeedLedger, ledger: Ledger) -> None:
    job_id = feeds.submit(frame("a"), NEW)
    assert job_id is not None
    feeds.skip("north", [frame("b")], "no need")
    feeds.skip("north", [frame("b")], "no need")
    ledger.dismiss(job_id)
    ledger.delete([job_id])
    [run_b, run_a] = feeds.runs("north")
    assert (run_a.frame, run_a.job_id, run_b.frame) == ("a", None, "b")
    feeds.forget("north", ["a"])
    assert [run.frame for run in feeds.runs("north")] == ["b"]
