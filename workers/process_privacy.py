"""Keep other processes of the same user out of this one, whose environment and memory hold credentials.

Linux lets a process read `/proc/PID/environ` and `/proc/PID/mem` of others of its user. A read in its sandbox cannot,
by Landlock. Where the kernel lacks that, processes that hold credentials close themselves: prctl(2), PR_SET_DUMPABLE.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4
LANDLOCK_CREATE_RULESET: Final = 444
CREATE_RULESET_VERSION: Final = 1


def close_process() -> None:
    """Deny it to other processes of this user to read the environment and memory of this one; it has no core dumps.

    Processes that it forks are closed too, programs that it executes are not.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def close_process_without_landlock() -> None:
    """Do so where the kernel has no Landlock: else monitoring may see this process, such as its open files."""
    if sys.platform == "linux" and not _has_landlock():
        close_process()


def _has_landlock() -> bool:
    return bool(ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, CREATE_RULESET_VERSION) > 0)
