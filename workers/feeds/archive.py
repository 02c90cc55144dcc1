"""A feed's frames become an archive for training, in HKO-7's layout, day by day.

A day is complete once it is over by more than the feed's `max_age`: what arrives later gets no nowcast either. Frames
that are missing are missing in the archive, and pixels without data are so in its masks. `feed_frames.jsonl` in the
archive records the content of each frame, so that none is read twice, and one that was issued again is replaced.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.data.archive_import import FILE_ATTRIBUTES
from model.data.archive_writer import ArchiveWriter, encode_frame
from model.data.line_file import LineFile
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.intervals import common_interval_minutes
from service.feeds.tables import FeedFrame
from service.store import MissingObject
from workers import sandbox
from workers.context import WorkerContext

RECORD: Final = "feed_frames.jsonl"

FRAMES_AT_ONCE: Final = 30
"""So many frames are written by one task, so that no nowcast waits for longer than these take."""

INTERVAL_FRAMES: Final = 100
"""The interval of a new archive is that of as many of the newest frames."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ArchiveCounts:
    """Frames that were written, those left out as they are on another grid, and those that are still to be written."""

    written: int = 0
    other_grid: int = 0
    left: int = 0


def archive_feeds(context: WorkerContext) -> None:
    """Write a few frames of each feed that has an `archive`; an error of one does not stop the others."""
    for feed in read_feeds(context.settings.feeds_path, check_folders=False).feeds:
        if feed.archive is None:
            continue
        try:
            frames = frames_to_archive(feed, context, feed.archive)
            counts = archive_frames(feed, frames, context, feed.archive, attributes={}, most=FRAMES_AT_ONCE)
        except InputError as error:
            log.error("feed %s: its archive: %s", feed.name, error)
        except Exception:
            log.exception("feed %s: its archive", feed.name)
        else:
            if counts.written:
                log.info("feed %s: %d frames archived, %d to come", feed.name, counts.written, counts.left)


def complete_until(feed: Feed, newest: datetime) -> datetime:
    """Return the midnight (UTC) before which the days of a feed are complete; `newest` is its newest frame."""
    settled = newest - timedelta(minutes=feed.max_age)
    return settled.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def frames_to_archive(
    feed: Feed, context: WorkerContext, root: Path, *, unfinished_day: bool = False
) -> Sequence[FeedFrame]:
    """Return the frames of complete days that the archive does not have, or has with other content, the oldest first.

    `unfinished_day`: those of the newest day, too, of which more will come.
    """
    newest = context.feed_ledger.newest_time(feed.name)
    if newest is None:
        return []
    before = None if unfinished_day else complete_until(feed, newest)
    known = _known(root)
    return [
        frame
        for frame in reversed(context.feed_ledger.frames(feed.name))
        if (before is None or frame.valid_time < before) and known.get(_text(frame.valid_time)) != frame.digest
    ]


def archive_frames(
    feed: Feed,
    frames: Sequence[FeedFrame],
    context: WorkerContext,
    root: Path,
    *,
    attributes: Mapping[str, str],
    most: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> ArchiveCounts:
    """Write frames to an archive; a new one takes the grid and the attributes of the first of them.

    Parameters
    ----------
    feed, frames
        The feed, and what `frames_to_archive` gave.
    context
        Where the frames are stored.
    root
        The folder of the archive.
    attributes
        Attributes of a new archive, such as `source` and `licence`.
    most
        At most so many frames.
    on_frame
        Called after each frame.

    Raises
    ------
    InputError
        The interval of the frames is not known, or the archive cannot be written.
    """
    counts = ArchiveCounts(left=len(frames))
    if not frames:
        return counts
    record = LineFile(root / RECORD)
    writer: ArchiveWriter | None = None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="echocast-")))
        for frame in islice(frames, most):
            try:
                content = _read(frame, context, folder)
            except MissingObject:  # its retention is over, or it was issued again
                counts.left -= 1
                continue
            if writer is None:
                writer = stack.enter_context(_writer(feed, content, context, root, attributes))
            if writer.grid.matches(content.grid):
                writer.put(encode_frame(content.times[0], content.rain_rate[0]))
                counts.written += 1
            else:
                counts.other_grid += 1
            record.append([json.dumps({"time": _text(frame.valid_time), "digest": frame.digest})])
            counts.left -= 1
            on_frame()
    return counts


def _writer(
    feed: Feed, first: FrameSequence, context: WorkerContext, root: Path, attributes: Mapping[str, str]
) -> ArchiveWriter:
    """Return a writer of the archive that is there, whatever the first frame's grid, or of a new one.

    Raises
    ------
    InputError
        There is one frame only, and the interval is not known.
    """
    from model.data.archive import Archive
    from model.readers.hko7 import DESCRIPTION

    if (root / DESCRIPTION).exists():
        existing = Archive(root)
        return ArchiveWriter(root, existing.grid, existing.step_minutes, existing.attributes)
    newest = context.feed_ledger.frames(feed.name, limit=INTERVAL_FRAMES)
    interval = feed.interval or common_interval_minutes([frame.valid_time for frame in reversed(newest)])
    if interval is None:
        raise InputError("one frame has no interval", where=f"feed {feed.name}", hint="Wait for more, or set interval")
    of_reader = {name: value for name, value in first.attributes.items() if name not in FILE_ATTRIBUTES}
    return ArchiveWriter(root, first.grid, interval, {"source": f"feed {feed.name}", **of_reader, **attributes})


def _read(frame: FeedFrame, context: WorkerContext, folder: Path) -> FrameSequence:
    path = context.store.fetch(frame.key, folder / "frame.nc")
    try:
        return sandbox.read([path], **context.limits._asdict())
    finally:
        path.unlink()


def _known(root: Path) -> dict[str, str]:
    """Return the digest of each frame of the feed that the archive has, by its time."""
    known = {}
    for line in LineFile(root / RECORD).read():
        try:
            entry = json.loads(line)
            known[entry["time"]] = entry["digest"]
        except (ValueError, KeyError, TypeError):
            continue  # a damaged line: its frame is written again
    return known


def _text(time: datetime) -> str:
    return str(np.datetime64(time.replace(tzinfo=None), "s"))
