"""Whole services as people run them, of real processes that are started again whenever they end."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

import httpx
from redis.exceptions import RedisError

from service.embedded import ChildProcess, environment_of, find_redis_server
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.queue import redis_client
from service.settings import Settings
from tests.faults.clients import POISON_SIDE
from tests.faults.run_hostile_files import descendants
from tests.patience import wait_until
from tests.postgres import PostgresServer, postgres_server
from tests.workers import conftest as lab
from workers.context import WorkerContext, open_context

Kind = Literal["child", "worker", "broker", "database", "gateway", "beat"]
KINDS: Final[tuple[Kind, ...]] = ("child", "worker", "broker", "database", "gateway", "beat")
WORDS: Final[dict[Kind, str]] = {
    "child": "spawn_main",
    "worker": "service.cli worker",
    "broker": "redis-server",
    "gateway": "service.cli serve",
    "beat": "service.cli beat",
}
"""Words of the command lines of the processes."""
DISK_MB: Final = 96
STOP_SECONDS: Final = 20.0

LOCKED_SECONDS: Final = 6.0
HOLD_LEDGER: Final = """
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
ledger.execute("PRAGMA cache_size = 1")  # what is not committed reaches the disk, too
ledger.execute("BEGIN IMMEDIATE")
ledger.execute("UPDATE jobs SET note = note || ' not committed ' || hex(randomblob(500))")
print("held", flush=True)
time.sleep(3600)
"""


class Stack:
    """A service in a folder, with settings that are changed from those of the run of faults.

    Its data lie on a small disk of their own where one can be mounted, unless `own_disk` is False: `disk` is None
    otherwise.
    """

    def __init__(self, folder: Path, max_attempts: int, *, own_disk: bool = True, **changes: Any) -> None:
        self.temporary, self.log = folder / "tmp", folder / "log"
        self.temporary.mkdir()
        data = folder / "data"
        data.mkdir()
        self._mounts = ExitStack()
        self.disk = data if own_disk and self._mounts.enter_context(small_disk(data)) else None
        of_faults: dict[str, Any] = {
            "data_dir": data,
            "port": free_port(),
            "lease_seconds": 3.0,
            "reconcile_seconds": 1.0,
            "requeue_seconds": 2.0,
            "max_attempts": max_attempts,
            "min_free_mb": 1,
            "memory_mb": 40,
            "variant": "fp32",
            "threads": 1,
        }
        self.settings = Settings(**of_faults | changes)
        self._gate = folder / "gate"
        customization = Path(lab.__file__).with_name("gate")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
        self.environment = {
            **inherited,
            **environment_of(self.settings),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(customization), os.environ.get("PYTHONPATH")])),
            "TEST_GATE": str(self._gate),
            "TEST_POISON_ROWS": str(POISON_SIDE),
        }
        self.context: WorkerContext = open_context(self.settings)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="supervisor")
        self.children = self._processes()

    def _processes(self) -> list[ChildProcess]:
        raise NotImplementedError

    def echocast(self, *words: str) -> ChildProcess:
        """A process of Echocast."""
        return self.process(words[0], sys.executable, "-P", "-m", "service.cli", *words)

    def process(self, name: str, *command: str) -> ChildProcess:
        """A process whose standard error goes to the log."""
        shell = ["/bin/sh", "-c", f'exec "$0" "$@" >>{self.log} 2>&1', *command]
        return ChildProcess(name, shell, self.environment)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_ready()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self.context.ledger.close()
        self._mounts.close()

    def stop(self) -> None:
        """Stop all processes as their supervisor would."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def restart(self) -> None:
        """Stop all processes, and start them again."""
        self.stop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="supervisor")
        self._thread.start()
        self.wait_ready()

    def slow_down(self, step_seconds: float) -> None:
        """Make each lead step last so much longer from now on, so that faults find nowcasts at work."""
        self._gate.write_text(str(step_seconds))

    def wait_ready(self) -> None:
        """Wait until a nowcast could be made."""

        def ready() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200
            return False

        wait_until(ready, f"the service, whose log is {self.log}")

    def keys(self, name: str, count: int) -> list[str]:
        """Create API keys of so many clients."""
        keys = ApiKeys(self.context.ledger.engine)
        return [keys.create(f"{name}-{number}", [Scope.READ, Scope.NOWCAST])[1] for number in range(count)]

    def pids(self, kind: Kind) -> list[int]:
        """Return the processes of a kind that run."""
        found = []
        for child in self.children:
            if child.process is not None:
                found.append(child.process.pid)
                with suppress(OSError):  # one has just ended
                    for pid in descendants(child.process.pid):
                        found.append(pid)
        return [pid for pid in found if WORDS[kind] in (line := command_line(pid)) and "parent_death" not in line]

    def kill(self, kind: Kind, choose: random.Random) -> None:
        """Kill a process of a kind, once there is one."""
        if kind == "database":
            self.kill_database(choose)
            return
        wait_until(lambda: bool(self.pids(kind)), f"a {kind}")
        pid = choose.choice(self.pids(kind) or [0])
        if pid == 0 or not end(pid):
            self.kill(kind, choose)

    def kill_database(self, choose: random.Random) -> None:
        """Kill the database, or what comes nearest to it."""
        raise NotImplementedError

    def flush_broker(self) -> None:
        """Make Redis forget everything."""

        def flushed() -> bool:
            with suppress(RedisError, OSError), redis_client(self.broker_settings) as redis:
                return bool(redis.flushall())
            return False

        wait_until(flushed, "Redis")

    @property
    def broker_settings(self) -> Settings:
        """The settings, with the broker that is used."""
        return self.settings

    def left_processes(self) -> list[int]:
        """Return the processes of this service that run, whoever is their parent now."""
        mark = f"TMPDIR={self.temporary}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            for child in self.children:
                child.failures = 0  # killed on purpose
                child.keep_running()
            self._stopping.wait(0.1)
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 1.0)):
            for child in reversed(self.children):
                child.signal(number)
                with suppress(subprocess.TimeoutExpired, AttributeError):
                    child.process.wait(seconds)


class SqliteStack(Stack):
    """`echocast serve` with everything embedded, on SQLite and a private Redis: whoever kills it kills them all."""

    def _processes(self) -> list[ChildProcess]:
        return [self.echocast("serve")]

    @property
    def broker_settings(self) -> Settings:
        """The settings, with the broker of the data folder."""
        socket_path = self.settings.data_dir / "redis" / "redis.sock"
        return self.settings.model_copy(update={"broker_url": f"redis+socket://{socket_path}"})

    def kill_database(self, choose: random.Random) -> None:
        """SQLite has no process: kill one that is in the middle of a transaction, and holds the lock of the ledger."""
        command = [sys.executable, "-c", HOLD_LEDGER, str(self.settings.data_dir / "ledger.sqlite")]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert holder.stdout is not None
        held = holder.stdout.readline() == b"held\n"
        time.sleep(choose.uniform(0, LOCKED_SECONDS) if held else 0)
        holder.kill()
        holder.communicate()
        if not held:  # the ledger was locked for too long, or the disk is full
            self.kill_database(choose)


class PostgresStack(Stack):
    """Gateway, two workers, beat and Redis as processes of their own, on a private PostgreSQL."""

    def __init__(self, folder: Path, max_attempts: int, server: PostgresServer) -> None:
        self._server = server
        self._socket = folder / "redis.sock"
        broker = f"redis+socket://{self._socket}"
        super().__init__(folder, max_attempts, database_url=server.url, broker_url=broker)

    def _processes(self) -> list[ChildProcess]:
        options = ("--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no")
        redis = self.process("redis", str(find_redis_server()), *options)
        return [redis, *map(self.echocast, ("serve", "worker", "worker", "beat"))]

    def kill_database(self, choose: random.Random) -> None:
        """Kill PostgreSQL with all its processes, and start it again a little later."""
        self._server.kill()
        time.sleep(choose.uniform(0, LOCKED_SECONDS))
        self._server.start()


@contextmanager
def opened(stack: str, folder: Path, max_attempts: int) -> Iterator[Stack]:
    """Run a service on `sqlite` or `postgresql` in a folder."""
    folder.mkdir()
    if stack == "sqlite":
        with SqliteStack(folder, max_attempts) as running:
            yield running
        return
    with postgres_server() as server, PostgresStack(folder, max_attempts, server) as running:
        yield running


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on a folder, which root alone may do; yield whether it is one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def end(pid: int) -> bool:
    """Kill a process; return whether it ran until now."""
    if not lab.Lab.alive(pid):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        lab.Lab.wait_dead(pid)
        return True
    return False


def command_line(pid: int) -> str:
    """Return the words of the command of a process; '' where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
