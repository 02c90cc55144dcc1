"""Files, frames and runs of feeds, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from service.feeds.arrivals import BACKLOG, DecodedFrame
from service.feeds.ledger import FeedLedger
from service.feeds.tables import ArrivedFile, FeedFrame, FeedRun, FileState, RunState
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger

PROBLEM = Problem(code="x", what="w", where="h", hint="m")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def new_job(feed: str = "north") -> Job:
    return Job(kind="feed", model="auto", steps=1, inputs=[], feed=feed)


def arrived(name: str, size: int = 1, written: int = 0) -> ArrivedFile:
    return ArrivedFile(name=name, size=size, modified_ns=1_780_000_000_123_456_789 + written)


def decoded(minutes: float, content: str = "a") -> DecodedFrame:
    return DecodedFrame(
        valid_time=NOON + timedelta(minutes=minutes),
        key=f"{minutes}-{content}",
        digest=content,
        grid="g",
        pixels=4,
        size=1,
        coverage=1.0,
    )


@pytest.fixture
def feeds(ledger: Ledger) -> FeedLedger:
    return FeedLedger(ledger)


def frame(feeds: FeedLedger, minutes: float, feed: str = "north", content: str = "a") -> FeedFrame:
    """Record a frame that has arrived in a file of its own."""
    feeds.record_frames(feed, arrived(f"{minutes}-{content}"), [decoded(minutes, content)])
    return next(one for one in feeds.frames(feed) if one.valid_time == NOON + timedelta(minutes=minutes))


def submit(feeds: FeedLedger, of: FeedFrame, earlier: FeedRun | None = None) -> str | None:
    return feeds.submit(new_job(of.feed), of, earlier, model="auto")


def test_a_feed_is_registered_once(feeds: FeedLedger) -> None:
    assert feeds.registered("north") is None
    with ThreadPoolExecutor(4) as pool:
        began = list(pool.map(lambda _: feeds.register("north", "/f"), range(6)))
    assert sum(began) == 1
    for minutes in (5, 0):
        feeds.record_first_reference_time("north", NOON + timedelta(minutes=minutes))
    feeds.record_scan("north", PROBLEM)
    feed = feeds.registered("north")
    assert feed is not None
    assert (feed.first_reference_time, feed.problem) == (NOON + timedelta(minutes=5), PROBLEM)


def test_frames_are_known_by_time_and_content(feeds: FeedLedger) -> None:
    def record(name: str, *frames: DecodedFrame) -> FileState:
        return feeds.record_frames("north", arrived(name, written=ord(name)), frames)

    assert record("a", decoded(0), decoded(5)) is FileState.ACCEPTED
    assert record("b", decoded(5)) is FileState.DUPLICATE
    assert record("c", decoded(10)) is FileState.ACCEPTED
    assert record("d", decoded(-5)) is FileState.LATE
    assert record("e", decoded(5, "other")) is FileState.REISSUED
    assert record("a", decoded(0), decoded(5, "other")) is FileState.DUPLICATE
    assert record("c", decoded(10)) is FileState.ACCEPTED, "the same file, read twice"
    files = {file.name: file for file in feeds.newest_files("north", 10)}
    assert (files["b"].reason, files["a"].reason) == ("a has the same frame", "e has the same frame")
    assert files["e"].valid_time == NOON + timedelta(minutes=5)
    assert [(one.digest, one.revision, one.file) for one in feeds.frames("north")] == [
        ("a", 0, "c"),
        ("other", 1, "e"),
        ("a", 0, "a"),
        ("a", 0, "d"),
    ]
    assert feeds.newest_time("north") == NOON + timedelta(minutes=10)
    assert [one.file for one in feeds.frames_before("north", NOON + timedelta(minutes=5), 5)] == ["d", "a"]
    assert feeds.frames("south") == []


def test_what_a_file_is_does_not_depend_on_when_it_is_read(feeds: FeedLedger) -> None:
    def record(name: str, written: int, frame: DecodedFrame) -> FileState:
        return feeds.record_frames("north", arrived(name, written=written), [frame])

    assert record("correction", 4, decoded(5, "other")) is FileState.ACCEPTED
    assert record("original", 2, decoded(5)) is FileState.DUPLICATE
    assert record("earlier", 1, decoded(0)) is FileState.ACCEPTED
    assert record("late", 3, decoded(-5)) is FileState.LATE
    assert [one.digest for one in feeds.frames("north")] == ["other", "a", "a"]
    files = {file.name: file for file in feeds.newest_files("north", 10)}
    assert files["original"].reason == "correction has the same frame in a later issue"


def test_one_frame_that_is_recorded_by_many_at_once_is_one(feeds: FeedLedger) -> None:
    def record(number: int) -> FileState | None:
        with suppress(IntegrityError):  # the caller tries again
            return feeds.record_frames("north", arrived(f"f{number}"), [decoded(0)])
        return None

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(record, range(8)))
    assert states.count(FileState.ACCEPTED) == 1
    assert len(feeds.frames("north")) == 1


def test_outcomes_of_files_without_frames_are_kept(feeds: FeedLedger) -> None:
    feeds.skip_files("north", [arrived("a"), arrived("b")], BACKLOG)
    feeds.record_outcome("north", arrived("c"), FileState.UNREADABLE, "half a file")
    feeds.record_outcome("north", arrived("a", size=2), FileState.REFUSED, "ahead of the clock")
    files = {file.name: file for file in feeds.newest_files("north", 10)}
    assert {name: (file.state, file.reason) for name, file in files.items()} == {
        "a": (FileState.REFUSED, "ahead of the clock"),
        "b": (FileState.SKIPPED, BACKLOG),
        "c": (FileState.UNREADABLE, "half a file"),
    }
    known = feeds.known_files("north")
    assert arrived("a", size=2).is_unchanged_since(known["a"])
    assert not arrived("a").is_unchanged_since(known["a"])
    feeds.record_outcome("north", arrived("a", size=2), FileState.REFUSED, "still")
    assert feeds.known_files("north")["a"].arrived == known["a"].arrived, "it was read again"
    feeds.delete_files("north", ["a", "c"])
    assert [file.name for file in feeds.newest_files("north", 5)] == ["b"]


def test_concurrent_scans_make_one_job_of_a_run(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    of = frame(feeds, 0)
    with ThreadPoolExecutor(4) as pool:
        made = [job for job in pool.map(lambda _: submit(feeds, of), range(8)) if job]
    assert len(made) == 1
    assert [job.id for job in all_jobs(ledger)] == made
    [run] = feeds.runs("north")
    assert (run.job_id, run.status, run.state) == (made[0], JobStatus.ACCEPTED, RunState.SUBMITTED)


def test_a_run_that_waited_is_tried_again_once(feeds: FeedLedger, ledger: Ledger, all_jobs) -> None:
    of = frame(feeds, 0)
    first = submit(feeds, of)
    assert first is not None
    feeds.record_run(first, RunState.WAITING, "two frames more")
    [waiting] = feeds.runs("north")
    second = submit(feeds, of, waiting)
    assert second is not None
    assert submit(feeds, of, waiting) is None
    assert [run.job_id for run in feeds.runs("north")] == [second]
    assert {job.id for job in all_jobs(ledger)} == {first, second}


def test_a_run_outlives_its_job_and_goes_with_its_frame(feeds: FeedLedger, ledger: Ledger) -> None:
    job_id = submit(feeds, frame(feeds, 0))
    assert job_id is not None
    later = frame(feeds, 5)
    feeds.skip(later, "auto", "no need")
    feeds.skip(later, "auto", "no need")
    ledger.dismiss(job_id)
    ledger.delete([job_id])
    assert [(run.job_id, run.reason) for run in feeds.runs("north")] == [(None, "no need"), (None, "")]
    assert feeds.times_before("north", NOON + timedelta(minutes=5)) == [NOON]
    feeds.delete_frames("north", NOON + timedelta(minutes=5))
    assert [run.reference_time for run in feeds.runs("north")] == [NOON + timedelta(minutes=5)]


def test_the_newest_reference_time_that_waits_comes_first(feeds: FeedLedger, ledger: Ledger) -> None:
    made = {minutes: submit(feeds, frame(feeds, minutes)) for minutes in (5, 10, 0, 7)}
    other = submit(feeds, frame(feeds, 60, "south"))
    assert None not in made.values()
    assert other is not None
    assert {feeds.newest_waiting_job(str(job)) for job in made.values()} == {made[10]}
    assert feeds.newest_waiting_job(other) == other
    newest = ledger.claim(str(made[10]), 60)
    assert newest is not None
    assert feeds.newest_waiting_job(str(made[0])) == made[7]
    assert ledger.release(newest)  # it failed once: only its own message claims it before the reconciler queues it
    assert feeds.newest_waiting_job(str(made[0])) == made[7]
    assert feeds.newest_waiting_job(newest.id) == newest.id
    assert feeds.newest_waiting_job(ledger.create(Job(model="auto", steps=1, inputs=[])).id) is None


def succeed(ledger: Ledger, job_id: str) -> None:
    job = ledger.claim(job_id, 60)
    assert job is not None
    assert ledger.succeed(job, result_key="r", input_key="i")


def test_the_newest_run_with_a_nowcast_is_found(feeds: FeedLedger, ledger: Ledger) -> None:
    jobs = {minutes: str(submit(feeds, frame(feeds, minutes))) for minutes in (0, 5, 10)}
    assert feeds.find_run("north", "auto") is None
    for minutes in (5, 0):
        succeed(ledger, jobs[minutes])
    newest = feeds.find_run("north", "auto")
    assert newest is not None
    assert (newest.served_job_id, newest.reference_time) == (jobs[5], NOON + timedelta(minutes=5))
    assert feeds.find_run("north", "auto", NOON + timedelta(minutes=1)) is None
    assert feeds.find_run("north", "another model than before") == newest
    assert feeds.find_run("south", "auto") is None


def test_a_nowcast_is_served_until_that_of_the_frame_issued_again_is_there(feeds: FeedLedger, ledger: Ledger) -> None:
    first = str(submit(feeds, frame(feeds, 0)))
    succeed(ledger, first)
    run = feeds.find_run("north", "auto")
    second = str(submit(feeds, frame(feeds, 0, content="b"), run))
    waiting = feeds.find_run("north", "auto")
    assert waiting is not None
    assert (waiting.job_id, waiting.served_job_id) == (second, first)
    succeed(ledger, second)
    again = feeds.find_run("north", "auto")
    assert again is not None
    assert again.served_job_id == second


def test_when_a_run_was_first_published_is_kept(feeds: FeedLedger, ledger: Ledger) -> None:
    job = new_job()
    job.output = "/out/latest.h5.nowcast.nc"
    assert feeds.newest_published_to(job.output) is None
    assert feeds.submit(job, frame(feeds, 5), model="auto")
    feeds.record_published(job.id)
    [first] = feeds.runs("north")
    feeds.record_published(job.id)
    [again] = feeds.runs("north")
    assert first.published is not None
    assert again.published == first.published
    assert feeds.newest_published_to(job.output) == NOON + timedelta(minutes=5)
