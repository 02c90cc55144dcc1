"""The files of a run: their names, and how they are written so that none is ever half there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from model.core.atomic import atomic_file, translate_write_errors
from model.core.errors import InputError
from model.core.locks import file_lock
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
LOCK: Final = ".lock"


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
    with translate_write_errors(
        path, hint_disk_full=f"Make room, and {again}", hint="Choose another --out, or make it writable"
    ):
        yield


def save_atomically(path: Path, write: Callable[[BinaryIO], object], *, backup: Path | None = None) -> None:
    """Write a file whole or not at all, safe against kill -9 and loss of power; the one before becomes `backup`.

    Raises
    ------
    InputError
        It cannot be written; the one before is as it was.
    """
    with writing(path), atomic_file(path, backup=backup) as file:
        write(file)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(content, indent=2)
    save_atomically(path, lambda file: file.write(text.encode()))


def cut_lines(path: Path, after: int) -> None:
    """Drop the lines of a log that tell of iterations after this one, or are not whole."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with suppress(ValueError, LookupError, TypeError):
            if line.endswith("\n") and json.loads(line)["iteration"] <= after:
                kept.append(line)
    save_atomically(path, lambda file: file.writelines(line.encode() for line in kept))


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
            try:
                stack.enter_context(file_lock(out / LOCK, wait=False))
            except TimeoutError:
                raise InputError(
                    "another command trains into it", where=str(out), hint="Wait for it, or choose another --out"
                ) from None
            for leftover in out.glob(".*.part"):
                leftover.unlink()
        try:
            yield
        except BaseException:
            if made and not any((out / name).exists() for name in (LAST, PREVIOUS, BEST, NAN_BATCH)):
                shutil.rmtree(out, ignore_errors=True)
                for folder in made[1:]:
                    with suppress(OSError):
                        folder.rmdir()
            raise
