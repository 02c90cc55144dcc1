"""The files of a run: their names, and how they are written so that none is ever half there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from model.core.errors import InputError
from model.data import files as data_files
from model.readers.hko7 import DESCRIPTION

BEST: Final = "best.pt"
LAST: Final = "last.pt"
PREVIOUS: Final = "previous.pt"
"""The checkpoint before the last."""
DAMAGED: Final = "damaged.pt"
"""A last checkpoint that could not be read."""
NAN_BATCH: Final = "nan-batch.pt"
LOG: Final = "log.jsonl"
"""One line per validation."""
ITERATIONS: Final = "iterations.jsonl"
"""One line per iteration."""
RECIPE: Final = "recipe.json"
PROVENANCE: Final = "provenance.json"
PICTURES: Final = "pictures"
TENSORBOARD: Final = "tensorboard"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What is written of a run in it may find the disk full or closed to it.

    Raises
    ------
    InputError
        It does; says so of `path`, and how the run goes on.
    """
    out = path if path.is_dir() else path.parent
    saved = any((out / name).exists() for name in (LAST, PREVIOUS))
    again = "add --resume to the same command: all that was saved before is whole" if saved else "train it again"
    with data_files.writing(
        path, when_full=f"Make room, and {again}", otherwise="Choose another --out, or make it writable"
    ):
        yield


def write_whole(path: Path, write: Callable[[BinaryIO], object], *, kept_as: Path | None = None) -> None:
    """Write a file whole or not at all, safe against kill -9 and loss of power; the one before becomes `kept_as`.

    Raises
    ------
    InputError
        It cannot be written; the one before is as it was.
    """
    part = path.with_suffix(".part")
    with writing(path):
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if kept_as is not None and path.exists():
            path.replace(kept_as)
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(content, indent=2)
    write_whole(path, lambda file: file.write(text.encode()))


def cut_lines(path: Path, after: int) -> None:
    """Drop the lines of a log that tell of iterations after this one, or are not whole."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with suppress(ValueError, LookupError, TypeError):
            if line.endswith("\n") and json.loads(line)["iteration"] <= after:
                kept.append(line)
    write_whole(path, lambda file: file.writelines(line.encode() for line in kept))


@contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """The folder of a run, made where it is not there, and no other command's meanwhile; if nothing comes of it, it is
    gone again.

    Raises
    ------
    InputError
        It cannot be made, nothing can be written into it, or another command trains into it.
    """
    if (out / DESCRIPTION).exists():
        raise InputError("it is an archive of radar frames", where=str(out), hint="Choose another --out")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    with ExitStack() as stack:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=out).close()
            lock = os.open(out, os.O_RDONLY)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    "another command trains into it", where=str(out), hint="Wait for it, or choose another --out"
                ) from None
        try:
            yield
        except BaseException:
            if made and not any((out / name).exists() for name in (LAST, PREVIOUS, BEST, NAN_BATCH)):
                shutil.rmtree(out, ignore_errors=True)
                for folder in made[1:]:
                    with suppress(OSError):
                        folder.rmdir()
            raise
