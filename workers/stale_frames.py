"""Check that a feed's frame is newer than the frames before it, by the valid time in the file and not by its name.

A server that hangs continues to publish its last frame under new names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from model.core.errors import InputError
from service.jobs.feed_ledger import FeedLedger
from service.jobs.feed_run import FeedRun
from service.jobs.feeds import Feed, read_feeds
from service.jobs.job import Job
from workers.context import WorkerContext


class StaleFrame(InputError):
    """A frame with a new name is no newer than an earlier one."""

    code = "stale-frame"


class OutOfDate(Exception):
    """A frame is valid, but too old for its nowcast to be of use."""


def check_valid_time(job: Job, valid_time: np.datetime64, context: WorkerContext) -> None:
    """Check the valid time of the newest frame of a feed's job.

    Raises
    ------
    StaleFrame
        A nowcast was published from a frame that is as new, and whose name is older.
    OutOfDate
        A nowcast was published from a frame that is newer by more than the feed's `max_age`.
    """
    run = context.feed_ledger.run_of_job(job.id)
    if run is not None:
        _check_published(run, utc(valid_time), context.feed_ledger, _max_age(context, run.feed))


def stale_frame(name: str, valid_time: datetime, other: str, time_of_other: datetime) -> StaleFrame:
    """Return the error of a frame that is no newer than an earlier one."""
    return StaleFrame(
        f"its valid time {valid_time:%Y-%m-%dT%H:%M:%SZ} is not later than that of {other}, {time_of_other:%H:%M:%SZ}"
        + (f" on {time_of_other:%Y-%m-%d}" if time_of_other.date() != valid_time.date() else ""),
        where=name,
        hint="There is no nowcast from it; find out why the source of the feed repeats or reorders frames",
    )


def utc(time: np.datetime64) -> datetime:
    """Return a numpy time as a timezone-aware datetime."""
    seconds = int(time.astype("datetime64[s]").astype("int64"))
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _check_published(run: FeedRun, own: datetime, ledger: FeedLedger, max_age: timedelta) -> None:
    published = [(frame, time) for frame, time in ledger.published(run.feed) if frame != run.frame]
    for frame, time in published:
        if time == own or (time > own and frame < run.frame):
            raise stale_frame(run.frame, own, frame, time)
    if published:
        frame, newest = published[0]
        if newest - own > max_age:
            behind, limit = ((span.total_seconds() / 60) for span in (newest - own, max_age))
            raise OutOfDate(f"it is {behind:g} min older than {frame}, which has a nowcast; max_age is {limit:g} min")


def _max_age(context: WorkerContext, name: str) -> timedelta:
    feed = read_feeds(context.settings.feeds_path).find(name)
    return timedelta(minutes=Feed.model_fields["max_age"].default if feed is None else feed.max_age)
