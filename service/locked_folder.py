"""A temporary folder of one process, which is deleted even where the process was killed: then by a later one."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model.core.locks import file_lock

LOCK: Final = "owner.lock"
MIN_LEFTOVER_SECONDS: Final = 60.0
"""A folder that is younger may not be locked yet by the process that made it."""

log = logging.getLogger(__name__)


@contextmanager
def locked_folder(prefix: str) -> Iterator[Path]:
    """Make a private folder in the temporary folder, which this process has locked, and delete it at the end.

    Folders with that prefix are deleted first, if their processes were killed: the kernel has released their locks.
    """
    _remove_leftovers(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    with file_lock(folder / LOCK, wait=False):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_temporary_folder(prefix: str) -> Iterator[None]:
    """Keep all temporary files of this process in a locked folder of its own, and delete it at the end."""
    with locked_folder(prefix) as folder:
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = None


def _remove_leftovers(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        lock = folder / LOCK
        try:
            stat = lock.stat()
            if stat.st_uid == os.getuid() and time.time() - stat.st_mtime > MIN_LEFTOVER_SECONDS:
                with file_lock(lock, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
                log.info("deleted %s, which a process that was killed had left", folder)
        except (OSError, TimeoutError):  # another user's, or in use, or deleted meanwhile
            continue
