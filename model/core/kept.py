"""What was made of a file, kept until the file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
Stamp = tuple[int, ...]


def stamp_of(path: Path) -> Stamp:
    """What changes whenever a file does; empty where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


class Kept(Generic[T]):
    """Answers, by the file that they are of. Refusals are not kept: a file system that fails now need not fail soon."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._answers: dict[Path, tuple[Stamp, T]] = {}

    def __call__(self, path: Path) -> T:
        """What `read` makes of the file as it is now; raises what that raises."""
        stamp = stamp_of(path)
        kept = self._answers.get(path)
        if kept is None or kept[0] != stamp:
            kept = self._answers[path] = (stamp, self._read(path))
        return kept[1]
