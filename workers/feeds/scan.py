"""Scan the folders of the feeds: read the files that have arrived, and submit the runs that start from their frames."""

from __future__ import annotations

import fnmatch
import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from model.core.errors import InputError
from service.feeds.config import NOWCAST_SUFFIX, Feed, read_feeds
from service.feeds.ledger import BACKLOG
from service.feeds.products import products_prefix
from service.feeds.tables import ArrivedFile, FileState, KnownFile
from service.jobs.job import Problem, problem_of
from service.store import StoreUnavailable, frame_prefix
from workers.context import WorkerContext
from workers.feeds.ingest import ingest
from workers.feeds.runs import frame_count, submit_runs

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FILE_RETENTION_DAYS: Final = 30
"""Records of files that have left the folder are deleted after this time."""

KEEP_SCORES: Final = timedelta(days=90)
"""The counts of live verification are kept for this time."""

log = logging.getLogger(__name__)


def scan(context: WorkerContext) -> None:
    """Scan every feed; an error of one does not stop the others."""
    config = read_feeds(context.settings.feeds_path)
    for problem in config.problems:
        _log_once(problem["where"], problem["what"], problem["hint"])
    for feed in config.feeds:
        try:
            problem_of_runs = scan_feed(feed, context)
        except InputError as error:
            _log_once(error.where, error.what, error.hint)
            context.feed_ledger.record_scan(feed.name, problem_of(error))
        except StoreUnavailable as error:
            log.warning("feed %s: the store does not respond: %s", feed.name, error)
            context.feed_ledger.record_scan(feed.name, _store_down(feed))
        except Exception:
            log.exception("feed %s", feed.name)
            context.feed_ledger.record_scan(feed.name, _internal(feed))
        else:
            if problem_of_runs is not None:
                _log_once(*(problem_of_runs[key] for key in ("where", "what", "hint")))
            context.feed_ledger.record_scan(feed.name, problem_of_runs)


def scan_feed(feed: Feed, context: WorkerContext) -> Problem | None:
    """Read new and changed files, and submit a run for each new frame; in a new folder, for the newest frame only.

    Returns
    -------
    Problem or None
        Why another model than the feed's runs.

    Raises
    ------
    InputError
        The model of the feed cannot give the field or members that the feed names.
    StoreUnavailable
        Frames cannot be stored; their files are read again at the next scan.
    """
    ledger = context.feed_ledger
    registered = ledger.registered(feed.name)
    if registered is None:
        ledger.register(feed.name, str(feed.folder))
    is_first = registered is None or registered.first_reference_time is None
    files = settled_files(feed, context.settings.feed_settle_seconds)
    known = ledger.known_files(feed.name)
    changed = [file for file in files if _is_to_be_read(file, known.get(file.name), feed)]
    new = _skip_old(feed, changed, context, is_first=is_first)
    newest_before = ledger.newest_time(feed.name)
    arrived = [time for file in new for time in ingest(feed, file, context, newest_before)]
    newest = ledger.newest_time(feed.name)
    if is_first:
        ledger.record_first_reference_time(feed.name, newest or EPOCH)
    try:
        problem = submit_runs(feed, context, arrived) if newest is not None else None
        if arrived:
            context.queue.enqueue_scoring(feed.name)
        return problem
    finally:
        _expire(feed, files, known, newest, context)


def _is_to_be_read(file: ArrivedFile, known: KnownFile | None, feed: Feed) -> bool:
    """Return whether a file is new or has changed, or could not be used, and may be readable by now."""
    if known is None or not file.is_unchanged_since(known):
        return True
    is_recent = datetime.now(UTC) - known.arrived < timedelta(minutes=feed.max_age)
    return is_recent and known.state in (FileState.UNREADABLE, FileState.REFUSED)


def settled_files(feed: Feed, settle_seconds: float) -> list[ArrivedFile]:
    """Return the feed's files that are complete, in the order in which they were written.

    The folder is scanned twice if one of them has just changed.
    """
    found = _scan_folder(feed)
    if any(_changed_within(times, settle_seconds) for _, times in found):
        time.sleep(settle_seconds)
        found = _scan_folder(feed)
    settled = (file for file, times in found if not _changed_within(times, settle_seconds))
    return sorted(settled, key=lambda file: (file.modified_ns, file.name))


def _skip_old(
    feed: Feed, new: Sequence[ArrivedFile], context: WorkerContext, *, is_first: bool
) -> Sequence[ArrivedFile]:
    """Skip all but the files that were written last: a backlog delays no frame for long. Return those to be read."""
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
    newest: datetime | None,
    context: WorkerContext,
) -> None:
    """Delete frames and products older than the feed's retention, and records of files that left long ago."""
    ledger = context.feed_ledger
    before = None if newest is None else newest - timedelta(days=feed.retention)
    if before is not None and (times := ledger.times_before(feed.name, before)):
        for valid_time in times:  # before the ledger forgets them
            context.store.delete_prefix(frame_prefix(feed.name, valid_time))
            context.store.delete_prefix(products_prefix(feed.name, valid_time))
        ledger.delete_frames(feed.name, before)
        context.skill_ledger.delete_scores(feed.name, before + timedelta(days=feed.retention) - KEEP_SCORES)
    old = datetime.now(UTC) - timedelta(days=FILE_RETENTION_DAYS)
    present = {file.name for file in files}
    gone = [name for name, file in known.items() if name not in present and file.arrived < old]
    if gone:
        ledger.delete_files(feed.name, gone)


def _scan_folder(feed: Feed) -> list[tuple[ArrivedFile, tuple[float, float]]]:
    """Return matching files, and the times at which their content and their inode changed."""
    found = []
    with os.scandir(feed.folder) as entries:
        for entry in entries:
            if not _may_be_frame(entry.name) or not fnmatch.fnmatch(entry.name, feed.pattern):
                continue
            try:
                if not entry.is_file():
                    continue
                stat = entry.stat()
            except FileNotFoundError:
                continue
            file = ArrivedFile(name=entry.name, size=stat.st_size, modified_ns=stat.st_mtime_ns)
            found.append((file, (stat.st_mtime, stat.st_ctime)))
    return found


def _may_be_frame(name: str) -> bool:
    """Return whether a file is no hidden or temporary one, no nowcast, and has a name that is valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".") and not name.endswith((NOWCAST_SUFFIX, ".part", ".tmp"))


def _changed_within(times: tuple[float, float], seconds: float) -> bool:
    now = time.time()
    return any(0 <= now - changed < seconds for changed in times)


@lru_cache(maxsize=100)
def _log_once(where: str, what: str, hint: str) -> None:
    """Log a problem of the configuration once per process, not at each scan."""
    log.error("%s: %s. %s", where, what, hint)


def _internal(feed: Feed) -> Problem:
    return Problem(
        code="internal", what="the folder could not be scanned", where=f"feed {feed.name}", hint="See the worker's log"
    )


def _store_down(feed: Feed) -> Problem:
    return Problem(
        code="store-unavailable",
        what="the store does not take the frames",
        where=f"feed {feed.name}",
        hint="Make room in the store, or start it again; the files are read again",
    )
