"""The machine: disk, temporary folder, memory, open files."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.doctor.connections import room
from service.doctor.finding import Finding
from service.settings import Settings

MIN_OPEN_FILES: Final = 1024
WORKER_MB: Final = 512
"""Memory of a worker beside that of a forecast (`memory_mb`), in MB (2^20 bytes)."""

FORK_SERVER_MB: Final = 256
"""Memory of the process from which a worker's reads are forked, in MB."""

CGROUP_MEMORY: Final = Path("/sys/fs/cgroup/memory.max")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Check data folder and temporary folder: whether they can be written, and their room."""
    folder = settings.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        hint = "Name another folder in ECHOCAST_DATA_DIR"
        yield Finding("disk", "bad", f"the data folder {folder} cannot be made: {existing} is a file", hint)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        hint = "Make it writable for Echocast's user, or name another in ECHOCAST_DATA_DIR"
        yield Finding("disk", "bad", f"the data folder {folder} cannot be written", hint)
    yield room("disk", folder, settings)
    inodes = os.statvfs(existing)
    if inodes.f_files and inodes.f_favail < inodes.f_files / 100:
        what = f"{inodes.f_favail} inodes are left at {folder}"
        yield Finding("disk", "bad", what, "Delete small files, or use a file system with more inodes")


def check_temporary_folder(settings: Settings) -> Iterator[Finding]:
    """Check the folder in which uploads are received and results are written first."""
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile() as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        hint = "Make /tmp writable, or name a folder in TMPDIR"
        yield Finding("temporary folder", "bad", f"it cannot be written ({error.strerror or error})", hint)
        return
    yield room("temporary folder", folder, settings)


def check_limits(settings: Settings) -> Iterator[Finding]:
    """Check memory and the number of open files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    what = "no limit of open files" if limit == resource.RLIM_INFINITY else f"up to {limit} open files"
    few = limit not in (resource.RLIM_INFINITY,) and limit < MIN_OPEN_FILES
    hint = f"Each connection takes one: LimitNOFILE={MIN_OPEN_FILES * 16} in the unit, or ulimit -n" if few else ""
    yield Finding("limits", "warning" if few else "ok", what, hint)
    memory = _memory_mb()
    needed = WORKER_MB + settings.memory_mb + readers_mb(settings)
    if memory:
        small = memory < needed
        ask = "lower ECHOCAST_READ_MEMORY_MB or ECHOCAST_MEMORY_MB, or give it more"
        hint = f"A worker takes up to {needed} MB: {ask}" if small else ""
        yield Finding("limits", "warning" if small else "ok", f"{memory} MB of memory", hint)


def readers_mb(settings: Settings) -> int:
    """Return the memory that a worker's readers take at most, in MB: fork server, a read, and the frames it returns.

    While a read copies the frames to its answer, they are in memory twice.
    """
    frames = min(settings.read_memory_mb, 4 * settings.max_pixels // 2**20)
    return FORK_SERVER_MB + settings.read_memory_mb + frames


def _memory_mb() -> int:
    """Return the memory of the machine or, where it is less, of the control group; 0 where it is unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
    try:
        limit = CGROUP_MEMORY.read_text(encoding="ascii").strip()
        total = min(total, int(limit)) if limit.isdecimal() else total
    except OSError:
        pass
    return total // 2**20
