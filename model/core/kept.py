"""What was made of a file, kept until the file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from model.core.errors import InputError

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
    """Answers, refusals among them, by the file that they are of."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._answers: dict[Path, tuple[Stamp, T | InputError]] = {}

    def __call__(self, path: Path) -> T:
        """What `read` makes of the file as it is now.

        Raises:
            InputError: what `read` raised.
        """
        stamp = stamp_of(path)
        kept = self._answers.get(path)
        if kept is None or kept[0] != stamp:
            kept = self._answers[path] = (stamp, self._answer(path))
        answer = kept[1]
        if isinstance(answer, InputError):
            raise type(answer)(answer.what, where=answer.where, mend=answer.mend)
        return answer

    def _answer(self, path: Path) -> T | InputError:
        try:
            return self._read(path)
        except InputError as error:
            return error
