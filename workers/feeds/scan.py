"""Scan the feeds: of each, read the newest file with its context first, and submit its run; then what is behind it.

A scan goes over the feeds, and reads a few files of each, those that were written last. What is left waits for another
scan, which comes after the nowcasts that were submitted. So neither a backlog nor another feed delays the run from the
newest frame, and a frame that arrives meanwhile is next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from functools import lru_cache

from model.core.errors import InputError
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.lease import FeedLease
from service.feeds.tables import ArrivedFile, RegisteredFeed
from service.jobs.job import Problem, problem_of
from service.store import StoreUnavailable
from workers.context import WorkerContext
from workers.feeds.feed_scan import Left, scan_feed

log = logging.getLogger(__name__)


def scan(context: WorkerContext, names: Collection[str] | None = None) -> None:
    """Scan every feed, or those of the names.

    An error of one feed does not stop the others. A feed that another process scans is left to it. Without a broker the
    rest is read at once, for about half of `feed_scan_seconds`.
    """
    config = read_feeds(context.settings.feeds_path)
    for problem in config.problems:
        _log_once(problem["where"], problem["what"], problem["hint"])
    until = time.monotonic() + context.settings.feed_scan_seconds / 2
    feeds = [feed for feed in config.feeds if names is None or feed.name in names]
    tried: dict[str, set[ArrivedFile]] = {feed.name: set() for feed in feeds}
    waited = False
    while feeds:
        left = {feed.name: _scan_alone(feed, context, tried[feed.name]) for feed in feeds}
        again = (Left.FILES,) if waited else (Left.FILES, Left.UNSETTLED)
        feeds = [feed for feed in feeds if left[feed.name] in again]
        if not waited and Left.UNSETTLED in left.values():
            time.sleep(context.settings.feed_settle_seconds)  # once for all feeds
            waited = True
        waiting = [feed.name for feed in feeds if left[feed.name] is Left.FILES]
        asked = {name for name in waiting if context.queue.scan_feed(name, rest=True)}
        feeds = [feed for feed in feeds if feed.name not in asked]
        if feeds and time.monotonic() > until:
            log.warning("left to the next scan: files of %s", ", ".join(feed.name for feed in feeds))
            return


def _scan_alone(feed: Feed, context: WorkerContext, tried: set[ArrivedFile]) -> Left:
    """Read some files of a feed, unless another process scans it, and record its problem."""
    ledger, settings = context.feed_ledger, context.settings
    ledger.register(feed.name, feed.source)
    with FeedLease(ledger.engine, feed.name, RegisteredFeed.scan_until, settings.lease_seconds) as lease:
        if not lease.held:
            return Left.NOTHING
        left = Left.NOTHING
        try:
            left, problem = scan_feed(feed, context, tried)
            if problem is not None:
                _log_once(problem["where"], problem["what"], problem["hint"])
        except InputError as error:
            problem = problem_of(error)
            _log_once(error.where, error.what, error.hint)
        except StoreUnavailable as error:
            log.warning("feed %s: the store does not respond: %s", feed.name, error)
            problem = _store_down(feed)
        except Exception:
            log.exception("feed %s", feed.name)
            problem = _internal(feed)
        ledger.record_scan(feed.name, problem)
    if feed.is_received and left is Left.NOTHING and context.feed_ledger.received_files(feed.name):
        return Left.FILES  # they came while the lease was held, and the scan that they asked for has left them to this
    return left


@lru_cache(maxsize=100)
def _log_once(where: str, what: str, hint: str) -> None:
    """Log a problem of the configuration once per process, not at each scan."""
    log.error("%s: %s. %s", where, what, hint)


def _internal(feed: Feed) -> Problem:
    return Problem(
        code="internal",
        what="the files could not be listed or read",
        where=f"feed {feed.name}",
        hint="See the worker's log",
    )


def _store_down(feed: Feed) -> Problem:
    return Problem(
        code="store-unavailable",
        what="the store does not take the frames",
        where=f"feed {feed.name}",
        hint="Make room in the store, or start it again; the files are read again",
    )
