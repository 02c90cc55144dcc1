"""Caches of values read from files, each valid until its file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
FileStamp = tuple[int, ...]


def file_stamp(path: Path) -> FileStamp:
    """Return a value that changes whenever the file does; empty where the file does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


class FileCache(Generic[T]):
    """Cache of `read(path)`. Errors are not cached: a file system that fails now may work at the next call."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._values: dict[Path, tuple[FileStamp, T]] = {}

    def __call__(self, path: Path) -> T:
        """Return the value of the file as it is now; errors of `read` pass through."""
        stamp = file_stamp(path)
        cached = self._values.get(path)
        if cached is None or cached[0] != stamp:
            cached = self._values[path] = (stamp, self._read(path))
        return cached[1]
