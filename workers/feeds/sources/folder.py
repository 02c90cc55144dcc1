"""A folder in which the files of a feed appear."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Sequence
from pathlib import Path

from service.feeds.config import NOWCAST_SUFFIX
from service.feeds.tables import ArrivedFile
from workers.feeds.sources.listing import Listing


class FolderSource:
    """The folder of a feed. A file is complete when it has not changed for `settle_seconds`."""

    def __init__(self, folder: Path, pattern: str, settle_seconds: float) -> None:
        self._folder = folder
        self._pattern = pattern
        self._settle_seconds = settle_seconds

    def list(self) -> Listing:
        """List the files that match the pattern."""
        settled, changing = [], False
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not may_be_frame(entry.name) or not fnmatch.fnmatch(entry.name, self._pattern):
                    continue
                try:
                    if not entry.is_file():
                        continue
                    stat = entry.stat()
                except FileNotFoundError:
                    continue
                if self._has_just_changed(stat):
                    changing = True
                else:
                    settled.append(ArrivedFile(name=entry.name, size=stat.st_size, modified_ns=stat.st_mtime_ns))
        return Listing(sorted(settled, key=lambda file: (file.modified_ns, file.name)), changing)

    def fetch(self, file: ArrivedFile, folder: Path) -> Path | None:
        """Return the path of a file; None where it has gone."""
        path = self._folder / file.name
        return path if path.exists() else None

    def done(self, files: Sequence[ArrivedFile]) -> None:
        """Leave the files: they are the operator's."""

    def _has_just_changed(self, stat: os.stat_result) -> bool:
        """Whether content or inode changed within `settle_seconds`."""
        now = time.time()
        return any(0 <= now - changed < self._settle_seconds for changed in (stat.st_mtime, stat.st_ctime))


def may_be_frame(name: str) -> bool:
    """Return whether a file is no hidden or temporary one, no nowcast, and has a name that is valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".") and not name.endswith((NOWCAST_SUFFIX, ".part", ".tmp"))
