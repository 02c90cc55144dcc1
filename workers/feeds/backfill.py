"""Nowcasts from frames of the past, one after the other, so that no live run waits for many of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from model.core.errors import InputError
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.tables import FeedFrame, FeedRun, FileState
from service.jobs.job import Job, JobStatus
from workers.context import WorkerContext
from workers.feeds.ingest import ingest
from workers.feeds.runs import submit_backfill
from workers.feeds.sources import list_settled, open_source
from workers.feeds.sources.object_store import LEAST_SPAN, ListedTimes

POLL_SECONDS: Final = 0.2

log = logging.getLogger(__name__)


class Backfilled(NamedTuple):
    """The outcome of one run: its reference time, the status of its job, and why it has no nowcast."""

    reference_time: datetime
    status: JobStatus
    note: str


def read_left_files(feed: Feed, since: datetime, until: datetime, context: WorkerContext) -> Iterator[str]:
    """Read the files of the source that were not read, such as those before the first scan; yield their names.

    Of an object store whose prefix has times, those of the period and of what its first nowcast needs.
    """
    source = open_source(feed, context, ListedTimes(since - LEAST_SPAN, until))
    known = context.feed_ledger.known_files(feed.name)
    for file in list_settled(source, context.settings.feed_settle_seconds):
        recorded = known.get(file.name)
        if recorded is None or recorded.state is FileState.SKIPPED:
            ingest(feed, file, source, context)
            source.done([file])
            yield file.name


def frames_without_nowcast(
    feed: Feed, since: datetime, until: datetime, context: WorkerContext
) -> list[tuple[FeedFrame, FeedRun | None]]:
    """Return the frames of a period, the oldest first, from which there is no nowcast, with the run that has none.

    Raises
    ------
    InputError
        The period begins before the feed's retention.
    """
    ledger = context.feed_ledger
    newest = ledger.newest_time(feed.name)
    if newest is not None and since < newest - timedelta(days=feed.retention):
        raise InputError(
            f"frames are kept for {feed.retention:g} days",
            where=f"feed {feed.name}, retention",
            hint="Begin later, or raise the feed's retention while its nowcasts are made",
        )
    runs = {run.reference_time: run for run in ledger.runs(feed.name, since=since) if run.model == feed.model}
    frames = [frame for frame in ledger.frames(feed.name, since=since)[::-1] if frame.valid_time <= until]
    found = [(frame, runs.get(frame.valid_time)) for frame in frames]
    return [(frame, run) for frame, run in found if run is None or run.lacks_nowcast]


def backfill(
    feed: Feed, frames: list[tuple[FeedFrame, FeedRun | None]], context: WorkerContext
) -> Iterator[Backfilled]:
    """Submit a run from each frame, wait until a worker has ended it, and yield the outcome.

    Raises
    ------
    InputError
        The model of the feed cannot give the field or members that the feed names.
    """
    for frame, earlier in frames:
        job_id = submit_backfill(feed, frame, earlier, context)
        if job_id is None:
            continue
        context.queue.enqueue(job_id, "feed")
        job = _ended(job_id, context)
        note = job.problem["what"] if job.problem else job.note
        yield Backfilled(frame.valid_time, job.status, note)


def repeat_run(name: str, reference_time: datetime, context: WorkerContext) -> None:
    """Submit a run from a frame again that has no nowcast, and is not about to have one."""
    feed = read_feeds(context.settings.feeds_path, check_folders=False).find(name)
    if feed is None:
        return
    try:
        frames = frames_without_nowcast(feed, reference_time, reference_time, context)
        submitted = [submit_backfill(feed, frame, earlier, context) for frame, earlier in frames]
    except InputError as error:
        log.warning("feed %s: the run from %s is not made again: %s", name, reference_time, error)
        return
    for job_id in filter(None, submitted):
        log.info("feed %s: the run from %s is made again, as job %s", name, reference_time, job_id)
        context.queue.enqueue(job_id, "feed")


def _ended(job_id: str, context: WorkerContext) -> Job:
    """Return a job once it has ended."""
    while not (job := context.ledger.get(job_id)).status.finished:
        time.sleep(POLL_SECONDS)
    return job
