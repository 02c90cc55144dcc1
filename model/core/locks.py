"""Locks between processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


def file_lock(path: Path, *, wait: bool) -> FileLock:
    """Return a lock on the file `path`, which it creates: hold it in a `with` block, or `acquire` and `release` it.

    The kernel (flock) releases the lock when the process ends, however it ends. The file stays.

    Parameters
    ----------
    path
        The lock file. Its content is the caller's.
    wait
        Wait until another holder releases the lock. False: acquiring raises a TimeoutError at once.
    """
    from filelock import FileLock  # its import takes 0.1 s, which commands without a lock need not spend

    # filelock's fallback for disks without flock is a marker file, which may outlive a killed process.
    return FileLock(path, timeout=-1 if wait else 0, fallback_to_soft=False)
