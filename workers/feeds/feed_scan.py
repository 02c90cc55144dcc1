"""One round of a scan over one feed: read some of its new and changed files, those that were written last."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

from service.feeds.arrivals import BACKLOG
from service.feeds.config import Feed
from service.feeds.products import products_prefix
from service.feeds.tables import ArrivedFile, FileState, KnownFile
from service.jobs.job import Problem
from service.store import frame_prefix
from workers.context import WorkerContext
from workers.feeds.ingest import ingest
from workers.feeds.runs import files_to_read_first, frame_count, submit_runs
from workers.feeds.sources import open_source

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FILE_RETENTION_DAYS: Final = 30
"""Records of files that have left the source are deleted after this time."""

log = logging.getLogger(__name__)


class Left(Enum):
    """What a round leaves: nothing, files that it did not read, or only such as are still being written."""

    NOTHING = auto()
    FILES = auto()
    UNSETTLED = auto()


def scan_feed(feed: Feed, context: WorkerContext, tried: set[ArrivedFile]) -> tuple[Left, Problem | None]:
    """Read as many files as the model reads frames, those that were written last, and submit runs.

    As long as files are left, only the newest frame gets its run: what is left is context of the others. At the first
    scan of a feed all are read, and only the newest frame gets one.

    Parameters
    ----------
    feed, context
        The feed, and where frames and runs are recorded.
    tried
        Files that earlier rounds of the scan have read; those of this round are added.

    Returns
    -------
    left : Left
        What another round has to do.
    problem : Problem or None
        Why another model than the feed's runs.

    Raises
    ------
    InputError
        The model of the feed cannot give the field or members that the feed names.
    StoreUnavailable
        Frames cannot be stored; their files are read again at the next scan.
    """
    ledger, source = context.feed_ledger, open_source(feed, context)
    registered = ledger.registered(feed.name)
    is_first = registered is None or registered.first_reference_time is None
    listing = source.list()
    known = ledger.known_files(feed.name)
    new = [file for file in listing.files if _is_new(file, known.get(file.name))]
    kept = _skip_old(feed, new, context, is_first=is_first)
    source.done(new[: len(new) - len(kept)])
    batch = set(kept if is_first else kept[-files_to_read_first(feed, context) :])
    files_are_left = len(kept) > len(batch)
    if not files_are_left:
        batch |= {file for file in listing.files if _may_be_readable(file, known, feed)} - tried
    in_order = [file for file in listing.files if file in batch]
    arrived = [time for file in in_order for time in ingest(feed, file, source, context)]
    source.done(in_order)
    tried.update(batch)
    newest = ledger.newest_time(feed.name)
    if is_first:
        ledger.record_first_reference_time(feed.name, newest or EPOCH)
    left = Left.FILES if files_are_left else Left.UNSETTLED if listing.others_are_being_written else Left.NOTHING
    if newest is None:
        return left, None
    try:
        problem = submit_runs(feed, context, arrived, newest_only=files_are_left)
        if arrived:
            context.queue.enqueue_scoring(feed.name)
        return left, problem
    finally:
        if not files_are_left:
            _expire(feed, listing.files, known, newest, context)


def _is_new(file: ArrivedFile, known: KnownFile | None) -> bool:
    """Return whether a file is new, has changed, or was received and waits to be read."""
    return known is None or known.state is FileState.RECEIVED or not file.is_unchanged_since(known)


def _may_be_readable(file: ArrivedFile, known: Mapping[str, KnownFile], feed: Feed) -> bool:
    """Return whether a file could not be used a short time ago, and may be usable by now."""
    recorded = known.get(file.name)
    if recorded is None or recorded.state not in (FileState.UNREADABLE, FileState.REFUSED):
        return False
    is_recent = datetime.now(UTC) - recorded.arrived < timedelta(minutes=feed.max_age)
    return is_recent and file.is_unchanged_since(recorded)


def _skip_old(
    feed: Feed, new: Sequence[ArrivedFile], context: WorkerContext, *, is_first: bool
) -> Sequence[ArrivedFile]:
    """Skip all but the files that were written last: older ones are of no use. Return those to be read."""
    most = frame_count(feed, context.catalog)
    reason = BACKLOG
    if not is_first:
        most = max(most, feed.max_behind + 1)
        reason = f"there are more than {most} newer files"
    old, kept = new[:-most], new[-most:]
    if old:
        context.feed_ledger.skip_files(feed.name, old, reason)
        log.warning("feed %s: %d files are skipped: %s", feed.name, len(old), reason)
    return kept


def _expire(
    feed: Feed,
    files: Sequence[ArrivedFile],
    known: Mapping[str, KnownFile],
    newest: datetime,
    context: WorkerContext,
) -> None:
    """Delete frames and products older than the feed's retention, and records of files that left long ago."""
    ledger = context.feed_ledger
    before = newest - timedelta(days=feed.retention)
    if times := ledger.times_before(feed.name, before):
        for valid_time in times:  # before the ledger forgets them
            context.store.delete_prefix(frame_prefix(feed.name, valid_time))
            context.store.delete_prefix(products_prefix(feed.name, valid_time))
        ledger.delete_frames(feed.name, before)
    old = datetime.now(UTC) - timedelta(days=FILE_RETENTION_DAYS)
    present = {file.name for file in files}
    gone = [name for name, file in known.items() if name not in present and file.arrived < old]
    if gone:
        ledger.delete_files(feed.name, gone)
