"""Files that appear whole or not at all, and the errors of a disk that accepts no more.

A file is written under a temporary name, flushed to the disk, and renamed: a rename within one folder is atomic
(POSIX `rename`), so that a reader sees the old file or the new one, also after a crash or a loss of power.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from os import urandom
from pathlib import Path
from typing import BinaryIO, Final

from model.core.errors import InputError

DISK_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file exceeds the size limit for files",
}


@contextmanager
def atomic_path(
    path: Path, *, folder: Path | None = None, backup: Path | None = None, overwrite: bool = True, durable: bool = True
) -> Iterator[Path]:
    """Give a temporary path; rename the file written there to `path` when the block ends without an error.

    Parameters
    ----------
    path
        The file to write. On an error it stays as it was.
    folder
        Where the temporary file lies, on the same disk as `path`; by default beside it.
    backup
        New name of the file that `path` replaces; by default that file is lost.
    overwrite
        False: keep a `path` that exists by then, whoever made it.
    durable
        False: do not wait until the disk holds the file; a loss of power may then cost it.

    Yields
    ------
    Path
        The temporary file, which does not exist yet.

    Raises
    ------
    FileExistsError
        `path` exists and `overwrite` is False.
    OSError
        The file cannot be written.
    """
    part = (folder or path.parent) / f".{path.name}.{urandom(6).hex()}.part"
    try:
        yield part
        if durable:
            _flush(part)
        if backup is not None and path.exists():
            path.replace(backup)
        if overwrite:
            part.replace(path)
        else:
            _link(part, path)
        if durable:
            with suppress(OSError):  # some network file systems refuse to flush a folder
                _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_file(path: Path, *, backup: Path | None = None, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Give a binary file that becomes `path` when the block ends without an error; arguments as in `atomic_path`."""
    with atomic_path(path, backup=backup, overwrite=overwrite) as part, part.open("wb") as file:
        yield file


def write_atomically(path: Path, content: bytes, *, folder: Path | None = None, durable: bool = True) -> None:
    """Write a file whole or not at all, and the folders above it; arguments as in `atomic_path`."""
    for needed in (path.parent, folder or path.parent):
        needed.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, folder=folder, durable=durable) as part:
        part.write_bytes(content)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes left; nobody else may be writing it."""
    for part in path.parent.glob(f".{escape(path.name)}.*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def translate_write_errors(
    where: Path,
    *,
    hint_disk_full: str = "Make room and run the same command again: what is written is kept",
    hint: str = "Choose a folder that you may write to",
) -> Iterator[None]:
    """Turn an OSError of writing into or below `where` into an InputError.

    Raises
    ------
    InputError
        The block raised an OSError; `hint_disk_full` where the disk is full, `hint` otherwise.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise InputError(DISK_FULL[error.errno], where=str(where), hint=hint_disk_full) from error
        raise InputError(f"it cannot be written ({error.strerror or error})", where=str(where), hint=hint) from error


def _flush(path: Path) -> None:
    entry = os.open(path, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def _link(part: Path, path: Path) -> None:
    """Give the finished file its name. A link fails where the name is taken, unlike a rename; not every disk has links.

    Raises
    ------
    FileExistsError
        The name is taken.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.rename(path)
