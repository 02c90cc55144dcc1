"""Files that are written whole or not at all, lists that only grow, and what to say of a disk that takes no more."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model.core.errors import InputError

FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not grow so large here",
}


@contextmanager
def writing(
    where: Path,
    *,
    when_full: str = "Make room and run the same command again: what is written is kept",
    otherwise: str = "Choose a folder that you may write to",
) -> Iterator[None]:
    """Turn what the system says against writing below `where` into an InputError with a hint."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise InputError(
                FULL[error.errno],
                where=str(where),
                hint=when_full,
            ) from error
        raise InputError(
            f"it cannot be written ({error.strerror or error})",
            where=str(where),
            hint=otherwise,
        ) from error


def write_whole(path: Path, content: bytes, unfinished: Path | None = None, *, sync: bool = True) -> None:
    """Write a file, or leave what was there: under another name in the folder `unfinished` (default: beside it), then
    renamed. `sync`: only once it is safe from a loss of power.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder = unfinished or path.parent
    for needed in (path.parent, folder):
        needed.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


class LineList:
    """A text file that grows by lines. A last line that a crash cut short is as if it had not been written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[str]:
        """Its whole lines; none where there is no such file."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def append(self, lines: Iterable[str]) -> None:
        """Add lines, after what is whole of the file."""
        content = "".join(f"{line}\n" for line in lines).encode()
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.truncate(self._whole_bytes())
            file.write(content)

    def rewrite(self, lines: Iterable[str]) -> None:
        """Write these lines in place of all."""
        write_whole(self.path, "".join(f"{line}\n" for line in lines).encode())

    def _whole_bytes(self) -> int:
        return self.path.read_bytes().rfind(b"\n") + 1
