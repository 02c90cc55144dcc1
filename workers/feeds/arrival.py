"""Whether the valid time of a frame can be right, by when the frame arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from model.core.errors import FutureFrame, InputError
from model.core.times import utc_text
from model.readers.observation_times import CLOCK_TOLERANCE
from service.feeds.config import Feed
from service.feeds.intervals import common_interval_minutes
from service.feeds.tables import ArrivedFile, FileState
from workers.context import WorkerContext

WINDOW: Final = 13
"""As many of the newest frames tell how long frames take to arrive."""

FEWEST: Final = 3
"""With fewer frames it is not known."""


class TooSoon(InputError):
    """A frame has arrived so soon after its valid time as none has before: the valid time is too late."""


def check_arrival(feed: Feed, file: ArrivedFile, valid_time: datetime, context: WorkerContext) -> None:
    """Check that a frame took about as long to arrive as those before it, at least: nobody sends the future.

    A frame that is too late by more than the interval of the frames, and the time between two scans, is refused; one
    that is too late by less is soon replaced by the right one of that time. That is for feeds that are live, and gives
    in to the second such file in a row, as the radar may have become faster. Of a feed that is replayed, the clock of
    the replay counts; whoever read the file has compared it with that of the machine.

    Raises
    ------
    FutureFrame
        It is ahead of the clock of the replay, by more than `CLOCK_TOLERANCE`.
    TooSoon
        The frame's valid time is too late.
    """
    clock = feed.replay_clock
    now = valid_time if clock is None else clock.now()
    if valid_time > now + CLOCK_TOLERANCE.item():
        raise FutureFrame(
            f"the time {utc_text(valid_time)} is ahead of the clock of the replay, {utc_text(now)}",
            where=file.name,
            hint="Replay it with the others, or correct its time",
        )
    frames = context.feed_ledger.frames(feed.name, limit=WINDOW)
    if feed.clock != "system" or len(frames) < FEWEST:
        return
    usual = min(frame.arrived - frame.valid_time for frame in frames)
    interval = feed.interval or common_interval_minutes([frame.valid_time for frame in reversed(frames)])
    age = datetime.fromtimestamp(file.modified_ns / 1e9, UTC) - valid_time
    if usual > timedelta(minutes=feed.max_age) or interval is None:
        return
    if usual - age <= timedelta(minutes=interval, seconds=context.settings.feed_scan_seconds):
        return
    files = context.feed_ledger.newest_files(feed.name, 2)
    before = next((one for one in files if one.name != file.name), None)
    if before is not None and before.state is FileState.REFUSED and before.valid_time is not None:
        return
    raise TooSoon(
        f"its valid time {utc_text(valid_time)} is too late: it arrived {age.total_seconds() / 60:.0f} min after "
        f"that, the ones before {usual.total_seconds() / 60:.0f} min or more",
        where=file.name,
        hint="Correct the clock of the radar",
    )
