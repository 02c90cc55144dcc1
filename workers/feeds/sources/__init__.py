"""Where the files of a feed arrive: one module for each kind of source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from service.feeds.config import Feed
from service.feeds.tables import ArrivedFile
from workers.context import WorkerContext
from workers.feeds.sources.folder import FolderSource
from workers.feeds.sources.listing import Listing
from workers.feeds.sources.object_store import ListedTimes, StoreSource, listed_times
from workers.feeds.sources.push import PushSource

__all__ = ["Listing", "Source", "list_settled", "open_source"]


class Source(Protocol):
    """Where the files of a feed arrive."""

    def list(self) -> Listing:
        """List the files that may be frames."""
        ...

    def fetch(self, file: ArrivedFile, folder: Path) -> Path | None:
        """Return the path of a file, copied to `folder` where it is not on this machine; None where it has gone."""
        ...

    def done(self, files: Sequence[ArrivedFile]) -> None:
        """Drop what was kept of files that have been read, or will not be."""
        ...


def list_settled(source: Source, settle_seconds: float) -> list[ArrivedFile]:
    """Return the complete files of a source, after a wait where others are still being written."""
    listing = source.list()
    if listing.others_are_being_written:
        time.sleep(settle_seconds)
        listing = source.list()
    return listing.files


def open_source(feed: Feed, context: WorkerContext, times: ListedTimes | None = None) -> Source:
    """Return the source of a feed; of an object store whose prefix has times, of these or by default the newest."""
    settle_seconds = context.settings.feed_settle_seconds
    if feed.folder is not None:
        return FolderSource(feed.folder, feed.pattern, settle_seconds)
    if feed.url is not None:
        times = times or listed_times(feed, context.feed_ledger.newest_time(feed.name))
        return StoreSource(feed.url, feed.pattern, times, settle_seconds)
    return PushSource(feed.name, context.feed_ledger, context.store)
