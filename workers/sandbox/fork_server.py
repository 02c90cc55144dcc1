"""The caller's side of the fork server: start it, have it read, and kill it together with a read that overran."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from model.core.child_environment import without_credentials
from workers.sandbox import layout

OWN: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1", "PROJ_NETWORK": "OFF"}
"""One thread, because a process with several cannot be forked safely."""
START_SECONDS: Final = 120.0

log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """How the process of a read ended: its wait status, and the most resident memory (bytes) that it took."""

    status: int
    memory_bytes: int


class Overrun(Exception):
    """A read took too long, and was killed."""


class ServerLost(Exception):
    """The fork server has ended during a read."""


class ForkServer:
    """A fork server that is started for the first read, and again after it has ended. One read at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, where it does not run, and wait until its libraries are loaded.

        Raises
        ------
        ServerLost
            It ended at once.
        """
        with self._lock:
            self._started()

    def read(self, request: Mapping[str, object], seconds: float) -> tuple[int, Ended]:
        """Have files read in a process of their own; return a descriptor of the answer, and how the process ended.

        Raises
        ------
        Overrun
            There was no answer after `seconds`.
        ServerLost
            The fork server has ended.
        """
        with self._lock:
            connection = self._started()
            shared = shared_file()
            try:
                layout.write_text(shared, request)
                connection.settimeout(seconds)
                socket.send_fds(connection, [b"r"], [shared])
                reply = _receive(connection, layout.REPLY.size)
                return shared, Ended(*layout.REPLY.unpack(reply))
            except BaseException as error:  # Interrupted as well: no read may go on without its caller
                os.close(shared)
                self._kill()
                if isinstance(error, TimeoutError):
                    raise Overrun from None
                if isinstance(error, OSError):
                    raise ServerLost(str(error)) from None
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _started(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            log.warning("the fork server of the readers ended (%s), and is started again", self._process.returncode)
            self._kill()
        if self._connection is None:
            environment = without_credentials() | OWN | {"TMPDIR": tempfile.gettempdir()}
            own, its = socket.socketpair()
            with its:
                self._connection = own
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "workers.sandbox.server", str(its.fileno())],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                )
            own.settimeout(START_SECONDS)
            try:
                missing = b""
                while not missing.endswith(b"\n"):
                    missing += _receive(own, 1)
            except BaseException as error:
                self._kill()
                if isinstance(error, OSError):
                    raise ServerLost(f"the fork server of the readers did not start: {error}") from None
                raise
            _log_missing(missing.decode().strip())
        return self._connection

    def _kill(self) -> None:
        """Kill the process; its read dies with it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def shared_file() -> int:
    """Return a descriptor of an empty file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("echocast-frames")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


_logged: set[str] = set()


def _log_missing(parts: str) -> None:
    """Log once per process which parts of the confinement this kernel lacks."""
    if parts and parts not in _logged:
        _logged.add(parts)
        log.warning("files are read without %s, which this system does not offer", parts.replace(",", " and "))


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionResetError("the fork server has ended")
        received += part
    return received
