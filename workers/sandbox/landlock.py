"""The files that a process may open: a ruleset of the kernel (Landlock), by an allow-list.

Linux 5.13, Documentation/userspace-api/landlock.rst. Files that are open already stay usable. A process of a ruleset
can also not look into processes outside of it (`/proc/PID/environ`, `ptrace`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every machine."""
CREATE_RULESET_VERSION: Final = 1
PATH_BENEATH: Final = 1
READ_FILE: Final = 1 << 2
READ_FOLDER: Final = 1 << 3
RIGHTS_BY_VERSION: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""The number of rights on files; later versions have as many as the last."""
NETWORK: Final = 0b11
"""TCP: bind and connect (version 4)."""
SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals to processes outside (version 6)."""
FILE_RIGHTS: Final = 0b111 | 1 << 14
"""Execute, write, read, truncate: the others exist for folders only."""
PR_SET_NO_NEW_PRIVS: Final = 38


def restrict_files(*, read: Iterable[Path], write: Iterable[Path]) -> None:
    """Allow this process to read below the paths of `read`, to change anything below those of `write`, for ever.

    Paths that do not exist are left out.

    Raises
    ------
    OSError
        The kernel has no Landlock, or it is turned off.
    """
    version = _call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    everything = (1 << RIGHTS_BY_VERSION.get(version, max(RIGHTS_BY_VERSION.values()))) - 1
    attributes = struct.pack("QQQ", everything, NETWORK if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(CREATE_RULESET, attributes, size, 0)
    try:
        for paths, rights in ((read, READ_FILE | READ_FOLDER), (write, everything)):
            for path in paths:
                _allow(ruleset, path, rights)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not path.is_dir():
            rights &= FILE_RIGHTS
        _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
