"""Files are read in a sandbox: a short-lived process that may be lost, and that holds no secret.

`read` is `model.readers.read` in such a process. The process is forked from one that has the libraries loaded and no
credentials in its environment (`server`); it has limits of memory, processor time, files and processes, no network, and
only the system calls and files of a read (`confinement`); and it answers with arrays in a file of known layout, which
is checked before it is used (`layout`).
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from model.core.errors import InputError, NotARadarFile, TooLarge
from model.core.sequence import FrameSequence
from model.readers.hko7 import companions
from model.readers.limits import FETCH_AGAIN, MAX_TOTAL_PIXELS
from workers.sandbox import layout
from workers.sandbox.fork_server import Ended, ForkServer, Overrun, ServerLost

__all__ = ["close", "read", "start"]

WALL_FACTOR: Final = 4
"""A read may wait for disks and for other processes: its time on the clock is this many times its processor time."""
SPARE_FILE_BYTES: Final = 64 << 20
NEARLY_ALL: Final = 0.7
"""A read that crashed with this share of its memory in use ran out of it: many libraries do not notice."""
LESS: Final = "Give fewer or smaller files; ECHOCAST_READ_{} raises the limit"

log = logging.getLogger(__name__)
_server = ForkServer()
atexit.register(_server.close)


class _Limits(NamedTuple):
    """Limits of one read: memory (MB of 2^20 bytes) beyond the loaded libraries, and processor time (s)."""

    memory_mb: int
    seconds: int


class Crashed(NotARadarFile):
    """Reading ended by a signal."""


def start() -> None:
    """Load the libraries of the readers, so that the first read need not wait for it; it tries again if that fails."""
    try:
        _server.start()
    except ServerLost as error:
        log.error("%s", error)


def close() -> None:
    """End the process that has the libraries loaded."""
    _server.close()


def read(
    paths: Sequence[Path],
    *,
    names: Sequence[str] | None = None,
    variable: str | None = None,
    zr: str | None = None,
    max_dbz: float | None = None,
    max_pixels: int | None = None,
    skip_unreadable: bool = False,
    memory_mb: int,
    seconds: int,
) -> FrameSequence:
    """Read radar files as `model.readers.read` does, in a process of their own.

    Parameters
    ----------
    paths, names, variable, zr, max_dbz, max_pixels, skip_unreadable
        See `model.readers.read`.
    memory_mb
        Memory that the read may take, in MB (2^20 bytes).
    seconds
        Processor time that the read may take.

    Raises
    ------
    TooLarge
        The files take more memory or time than that, or exceed `max_pixels`.
    NotARadarFile
        A file made the process crash: a library has a fault, and the file finds it.
    InputError
        Every other error of `model.readers.read`.
    """
    options = {
        **{"variable": variable, "zr": zr, "max_dbz": max_dbz, "skip_unreadable": skip_unreadable},
        "max_pixels": MAX_TOTAL_PIXELS if max_pixels is None else min(max_pixels, MAX_TOTAL_PIXELS),
    }
    limits = _Limits(memory_mb, seconds)
    try:
        return _read(paths, names, options, limits)
    except Crashed as error:
        where = names[0] if names else str(paths[0])
        if len(paths) > 1:
            where = _culprit(paths, names, options, limits)
        log.warning("reading crashed: %s: %s", where, error.what)
        raise NotARadarFile(error.what, where=where, hint=error.hint) from None


def _culprit(paths: Sequence[Path], names: Sequence[str] | None, options: Mapping[str, object], limits: _Limits) -> str:
    """Return the name of the first file that crashes by itself, `input` where all do so only together."""
    for index, path in enumerate(paths):
        try:
            _read([path], names and [names[index]], options, limits)
        except Crashed:
            return names[index] if names else str(path)
        except InputError:
            continue
    return "input"


def _read(
    paths: Sequence[Path], names: Sequence[str] | None, options: Mapping[str, object], limits: _Limits
) -> FrameSequence:
    most = int(str(options["max_pixels"]))
    with tempfile.TemporaryDirectory(prefix="echocast-read-") as scratch:
        request = {
            "paths": [str(path) for path in paths],
            "companions": [] if names is not None else [str(file) for path in paths for file in companions(path)],
            "options": {**options, "names": names and list(names)},
            "scratch": scratch,
            "file_bytes": SPARE_FILE_BYTES + 5 * most,  # float32 and a mask
            **limits._asdict(),
        }
        answer, ended = _ended(request, limits)
    try:
        if ended.status:
            raise _overrun_or_crash(ended, limits)
        return layout.read_frames(answer, most)
    except layout.BadAnswer as error:
        log.error("reading %s failed in the reader: %s", paths[0], error)
        raise NotARadarFile("the file cannot be read", where=names[0] if names else "", hint=FETCH_AGAIN) from None
    finally:
        os.close(answer)


def _ended(request: Mapping[str, object], limits: _Limits) -> tuple[int, Ended]:
    """Return the answer and how the process ended; a process that somebody else killed is tried once more."""
    for last in (False, True):
        try:
            answer, ended = _server.read(request, WALL_FACTOR * limits.seconds)
        except Overrun:
            raise _too_slow(limits) from None
        except ServerLost as error:
            if last:
                raise
            log.warning("%s, reading again", error)
            continue
        if ended.status != signal.SIGKILL or last:
            break
        log.warning("the process of a read was killed, reading again")
        os.close(answer)
    return answer, ended


def _too_slow(limits: _Limits) -> TooLarge:
    _count("time")
    return TooLarge(f"reading takes longer than {limits.seconds} s", where="input", hint=LESS.format("SECONDS"))


def _overrun_or_crash(ended: Ended, limits: _Limits) -> InputError:
    """Return the error for a process that did not end by itself."""
    number = os.WTERMSIG(ended.status) if os.WIFSIGNALED(ended.status) else 0
    if number == signal.SIGXCPU:
        return _too_slow(limits)
    if number == signal.SIGKILL or ended.memory_bytes > NEARLY_ALL * limits.memory_mb * 2**20:
        _count("memory")
        return TooLarge(
            f"reading takes more than {limits.memory_mb} MB of memory", where="input", hint=LESS.format("MEMORY_MB")
        )
    _count("crash")
    name = signal.Signals(number).name if number else f"exit code {os.waitstatus_to_exitcode(ended.status)}"
    return Crashed(f"reading the file crashed ({name})", hint=FETCH_AGAIN)


def _count(reason: Literal["memory", "time", "crash"]) -> None:
    # Imported here, since the process of a read imports this module, too.
    from service.metrics.instruments import SANDBOX_KILLS

    SANDBOX_KILLS.labels(reason).inc()
