"""A prefix in an object store, or a tree of folders, where files are filed by time."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from model.core.errors import InputError
from service.feeds.config import Feed
from service.feeds.health import SOURCE_UNAVAILABLE
from service.feeds.tables import ArrivedFile
from service.store import MissingObject, ObjectStore, StoreUnavailable
from workers.feeds.sources.folder import may_be_frame
from workers.feeds.sources.listing import Listing
from workers.frames import safe_name

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""How long a store that does not respond is tried again, at each scan."""

LEAST_SPAN: Final = timedelta(hours=3)
"""As much of the past is listed at least: the frames that a nowcast reads, and those that were late."""


class SourceUnavailable(InputError):
    """The object store of a feed does not respond, or refuses access."""

    code = SOURCE_UNAVAILABLE


class ListedTimes(NamedTuple):
    """The times (UTC) whose prefixes are listed."""

    first: datetime
    last: datetime


def listed_times(feed: Feed, newest: datetime | None) -> ListedTimes | None:
    """Return which times are listed; None, all, of an archive that is replayed and has no frame yet."""
    if feed.clock == "frames" and newest is None:
        return None
    now = feed.now(newest or datetime.now(UTC))
    ahead = timedelta(days=1) if feed.clock == "frames" else timedelta()
    return ListedTimes(now - max(LEAST_SPAN, timedelta(minutes=feed.max_age)), now + ahead)


class StoreSource:
    """Objects below a prefix. They are whole as soon as they are listed; files of a local tree when they have settled.

    Parameters
    ----------
    url
        The prefix, in which times (`%Y`, ...) stand for those by which objects are filed.
    pattern
        The names, without folders, of objects that are frames.
    times
        The times whose prefixes are listed; None for all.
    settle_seconds
        For how long a file of a local tree has not changed when it is complete.
    """

    def __init__(self, url: str, pattern: str, times: ListedTimes | None, settle_seconds: float) -> None:
        root, self._filed = _split(url)
        self._store = _open(root)
        self._pattern = pattern
        self._times = times
        self._settle = timedelta(seconds=settle_seconds if self._store.folder is not None else 0.0)

    def list(self) -> Listing:
        """List the objects of the times.

        Raises
        ------
        SourceUnavailable
            The store does not respond, or refuses access.
        """
        settled, changing = [], False
        try:
            found = [each for prefix in self._prefixes() for batch in self._store.list(prefix) for each in batch]
        except StoreUnavailable as error:
            raise _unavailable(error, self._store.url) from error
        for each in found:
            name = PurePosixPath(each.key).name
            if not may_be_frame(name) or not fnmatch.fnmatch(name, self._pattern):
                continue
            if datetime.now(UTC) - each.modified < self._settle:
                changing = True
            else:
                modified_ns = round(each.modified.timestamp() * 1e6) * 1000
                settled.append(ArrivedFile(name=each.key, size=each.size, modified_ns=modified_ns))
        return Listing(sorted(settled, key=lambda file: (file.modified_ns, file.name)), changing)

    def fetch(self, file: ArrivedFile, folder: Path) -> Path | None:
        """Copy an object to `folder`; None where it has gone.

        Raises
        ------
        SourceUnavailable
            The store does not respond, or refuses access.
        """
        try:
            return self._store.fetch(file.name, folder / safe_name(PurePosixPath(file.name).name))
        except MissingObject:
            return None
        except StoreUnavailable as error:
            raise _unavailable(error, self._store.url) from error

    def done(self, files: Sequence[ArrivedFile]) -> None:
        """Leave the objects: they are the operator's."""

    def _prefixes(self) -> Iterator[str]:
        """Yield the prefixes of the times, without repetition."""
        if self._times is None or not self._filed:
            yield self._filed.partition("%")[0].rpartition("/")[0]
            return
        step = timedelta(hours=1) if "%H" in self._filed else timedelta(days=1)
        times, time = [], self._times.first
        while time < self._times.last:
            times.append(time)
            time += step
        yield from dict.fromkeys(time.strftime(self._filed) for time in [*times, self._times.last])


def _split(url: str) -> tuple[str, str]:
    """Return the folder above the first time of a prefix, and the rest, in which the times are."""
    fixed = re.split(r"[^/]*%", url, maxsplit=1)[0]
    return fixed.rstrip("/"), url[len(fixed) :].strip("/")


@lru_cache(maxsize=64)
def _open(root: str) -> ObjectStore:
    """Return the store, which keeps its connections from scan to scan.

    Raises
    ------
    SourceUnavailable
        There is no such store.
    """
    if urlsplit(root).scheme == "file" and not Path(urlsplit(root).path).is_dir():
        raise SourceUnavailable("it is not a folder", where=root, hint="Make the folder, or correct url")
    try:
        return ObjectStore(root, patience_seconds=PATIENCE_SECONDS)
    except Exception as error:  # of several kinds, by the store
        raise SourceUnavailable(f"it cannot be opened: {error}", where=root, hint="Correct url") from error


def _unavailable(error: StoreUnavailable, url: str) -> SourceUnavailable:
    log.warning("%s: %s", url, error)
    hint = "Check the address, and the credentials in the environment; the worker's log has the reason"
    return SourceUnavailable("the object store of the frames does not respond", where=url, hint=hint)
