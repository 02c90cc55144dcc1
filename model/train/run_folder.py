"""The folder of a training run: names of its files, atomic writes, and its lock."""

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
SHARP_CUTS: Final = "sharp_cuts.json"
"""Cuts of the `sharp` field of the best weights, for networks with a distribution."""
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
    """Turn errors of writing `path` into an `InputError` with a hint at how to continue the run.

    Raises
    ------
    InputError
        The disk is full, or the file or folder is not writable.
    """
    out = path if path.is_dir() else path.parent
    saved = any((out / name).exists() for name in (LAST, PREVIOUS))
    retry = "add --resume to the same command: the checkpoints are intact" if saved else "train it again"
    with translate_write_errors(
        path, hint_disk_full=f"Make room, and {retry}", hint="Choose another --out, or make it writable"
    ):
        yield


def save_atomically(path: Path, write: Callable[[BinaryIO], object], *, backup: Path | None = None) -> None:
    """Write a file completely or not at all, even if the process is killed or power is lost.

    Parameters
    ----------
    path : Path
        The file to replace.
    write : callable
        Writes the content to a binary file.
    backup : Path, optional
        New name of the file that is replaced.

    Raises
    ------
    InputError
        The file cannot be written; the earlier one is unchanged.
    """
    with writing(path), atomic_file(path, backup=backup) as file:
        write(file)


def write_json(path: Path, content: object) -> None:
    """Write JSON completely or not at all."""
    text = json.dumps(content, indent=2)
    save_atomically(path, lambda file: file.write(text.encode()))


def cut_lines(path: Path, after: int) -> None:
    """Delete the lines of a log that are of later iterations than `after`, or cut off."""
    if not path.exists():
        return
    complete = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with suppress(ValueError, LookupError, TypeError):
            if line.endswith("\n") and json.loads(line)["iteration"] <= after:
                complete.append(line)
    save_atomically(path, lambda file: file.writelines(line.encode() for line in complete))


@contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """Create and lock the folder of a run; remove it if an error leaves nothing of the run in it.

    Raises
    ------
    InputError
        The folder is an archive, cannot be created or written, or another command trains into it.
    """
    if (out / DESCRIPTION).exists():
        raise InputError("it is an archive of radar frames", where=str(out), hint="Choose another --out")
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
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
            if not any((out / name).exists() for name in (LAST, PREVIOUS, BEST, NAN_BATCH)):
                (out / LOCK).unlink(missing_ok=True)
                if created:
                    shutil.rmtree(out, ignore_errors=True)
                for folder in created[1:]:
                    with suppress(OSError):
                        folder.rmdir()
            raise
