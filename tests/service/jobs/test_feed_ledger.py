"""Runs of feeds, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from service.jobs.feed_ledger import FeedLedger
from service.jobs.feed_run import FrameFile, RunState
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger

PROBLEM = Problem(code="x", what="w", where="h", hint="m")


def new_job(feed: str = "north") -> Job:
    return Job(kind="feed", model="auto", steps=1, inputs=[], feed=feed)


def frame(name: str, size: int = 1) -> FrameFile:
    return FrameFile(name=name, size=size, modified_ns=1_780_000_000_123_456_789)


@pytest.fixture
def feeds(ledger: Ledger) -> FeedLedger:
    return FeedLedger(ledger)


def test_a_feed_is_registered_once_and_skips_its_backlog(feeds: FeedLedger) -> None:
    assert not feeds.is_registered("north")
    with ThreadPoolExecutor(4) as pool:
        began = list(pool.map(lambda _: feeds.register("north", "/f", [frame("a"), frame("b")]), range(6)))
    assert sum(began) == 1
    assert feeds.is_registered("north")
    assert {(run.frame, run.state, run.status) for run in feeds.runs("north")} == {
        ("a", RunState.SKIPPED, None),
        ("b", RunState.SKIPPED, None),
    }
    feeds.record_scan("north", PROBLEM)


def test_concurrent_scans_make_one_job_of_a_frame(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [job for job in pool.map(lambda _: feeds.submit(frame("a"), new_job()), range(8)) if job]
    assert len(made) == 1
    assert [job.id for job in all_jobs(ledger)] == made
    [run] = feeds.runs("north")
    assert (run.job_id, run.status, run.state) == (made[0], JobStatus.ACCEPTED, RunState.SUBMITTED)
    assert run.matches(frame("a"))
    assert not run.matches(frame("a", size=2))


def test_a_frame_that_waited_is_tried_again_once(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    first = feeds.submit(frame("a"), new_job())
    assert first is not None
    feeds.record_outcome(first, RunState.WAITING, "two frames more")
    [waiting] = feeds.runs("north")
    assert waiting.state is RunState.WAITING
    second = feeds.submit(frame("a"), new_job(), waiting)
    assert second is not None
    assert feeds.submit(frame("a"), new_job(), waiting) is None
    assert [run.job_id for run in feeds.runs("north")] == [second]
    assert {job.id for job in all_jobs(ledger)} == {first, second}


def test_a_run_outlives_its_job_and_is_deleted_separately(feeds: FeedLedger, ledger: Ledger) -> None:
    job_id = feeds.submit(frame("a"), new_job())
    assert job_id is not None
    feeds.skip("north", [frame("b")], "no need")
    feeds.skip("north", [frame("b")], "no need")
    ledger.dismiss(job_id)
    ledger.delete([job_id])
    [run_b, run_a] = feeds.runs("north")
    assert (run_a.frame, run_a.job_id, run_b.frame) == ("a", None, "b")
    feeds.delete_runs("north", ["a"])
    assert [run.frame for run in feeds.runs("north")] == ["b"]


def test_the_newest_waiting_frame_comes_first(feeds: FeedLedger, ledger: Ledger) -> None:
    made = {name: feeds.submit(frame(name), new_job()) for name in ("f2", "f10", "F9", "f3")}
    other = feeds.submit(frame("z"), new_job("south"))
    assert None not in made.values()
    assert other is not None
    assert {feeds.newest_waiting_job(str(job)) for job in made.values()} == {made["f3"]}
    assert feeds.newest_waiting_job(other) == other
    newest = ledger.claim(str(made["f3"]), 60)
    assert newest is not None
    assert feeds.newest_waiting_job(str(made["F9"])) == made["f2"]
    assert ledger.release(newest)  # it failed once: only its own message claims it before the reconciler queues it
    assert feeds.newest_waiting_job(str(made["F9"])) == made["f2"]
    assert feeds.newest_waiting_job(newest.id) == newest.id
    assert feeds.newest_waiting_job(ledger.create(Job(model="auto", steps=1, inputs=[])).id) is None


def test_valid_times_of_published_nowcasts_are_listed_latest_first(feeds: FeedLedger) -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for minutes, name in ((0, "a"), (10, "b"), (5, "c")):
        feeds.record_published(str(feeds.submit(frame(name), new_job())), noon + timedelta(minutes=minutes))
    feeds.submit(frame("d"), new_job())
    assert feeds.published("north") == [
        (name, noon + timedelta(minutes=m)) for name, m in (("b", 10), ("c", 5), ("a", 0))
    ]
    [before] = [run for run in feeds.runs("north") if run.frame == "a"]
    again = feeds.submit(frame("a", size=2), new_job(), before)
    run = feeds.run_of_job(str(again))
    assert run is not None
    assert (run.replaces, run.valid_time) == (True, noon)
