"""What a process that decodes files may do: limits of resources, files, and system calls.

Each part is applied where the kernel has it; `missing_parts` names the others.
"""

from __future__ import annotations

import os
import resource
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import model
import workers
from workers.sandbox.landlock import restrict_files
from workers.sandbox.seccomp import filter_system_calls

MAX_OPEN_FILES: Final = 64
GRACE_SECONDS: Final = 5
"""Processor time between SIGXCPU, which ends a read, and SIGKILL."""
LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/etc/ld.so.cache", "/dev/urandom")


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """Limits of one read.

    Attributes
    ----------
    memory_bytes
        Address space beyond that of the process before the read.
    seconds
        Processor time.
    file_bytes
        Size of each file that it writes.
    read, write
        Files that it may read, besides Python and libraries; the folder in which it may do anything.
    """

    memory_bytes: int
    seconds: int
    file_bytes: int
    read: Sequence[Path]
    write: Path

    def apply(self, missing: Sequence[str]) -> None:
        """Confine this process, for ever, but for the `missing` parts.

        Raises
        ------
        OSError
            A part cannot be applied.
        """
        space = _address_space() + self.memory_bytes
        limits = {
            resource.RLIMIT_AS: (space, space),
            resource.RLIMIT_CPU: (self.seconds, self.seconds + GRACE_SECONDS),
            resource.RLIMIT_FSIZE: (self.file_bytes, self.file_bytes),
            resource.RLIMIT_NOFILE: (MAX_OPEN_FILES, MAX_OPEN_FILES),
            resource.RLIMIT_NPROC: (0, 0),
            resource.RLIMIT_CORE: (0, 0),
        }
        for kind, (soft, hard) in limits.items():
            most = resource.getrlimit(kind)[1]
            values = (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
            resource.setrlimit(kind, values)
        if "Landlock" not in missing:
            restrict_files(read=[*_python(), *self.read], write=[self.write])
        if "seccomp" not in missing:
            filter_system_calls()


def missing_parts() -> list[str]:
    """Return the parts that cannot be applied here; tried in a child process, since they cannot be undone."""
    trials = {"Landlock": lambda: restrict_files(read=[], write=[]), "seccomp": filter_system_calls}
    if sys.platform != "linux":
        return [*trials]
    missing = []
    for name, trial in trials.items():
        child = os.fork()
        if not child:
            try:
                trial()
                os._exit(0)
            except BaseException:
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            missing.append(name)
    return missing


def _address_space() -> int:
    """Return the size of this process in bytes; 0 where it is not known."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _python() -> list[Path]:
    """Return the folders of Python, of its packages and of our code: data files and modules are loaded from there."""
    installed = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    code = [Path(package.__file__).parent for package in (model, workers) if package.__file__]
    return [*map(Path, (*installed, *standard, *LIBRARIES)), *code]
