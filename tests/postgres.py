"""A real PostgreSQL server for tests, where one is installed; it can be stopped and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.patience import WAIT_SECONDS, wait_until


class PostgresServer:
    """A private server, reached by a Unix socket at `url`. As root it runs as an unprivileged user."""

    def __init__(self, programs: Path, folder: Path) -> None:
        user = unprivileged()
        self.folder = folder
        self.url = f"postgresql+psycopg://echocast@/postgres?host={folder}"
        self._programs = programs
        self._run_as = {}
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "echocast", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._run_as,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it responds."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off"]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._run_as,
            )
        wait_until(self._responds, f"PostgreSQL, whose log is {self.folder / 'log'}")

    def stop(self) -> None:
        """Stop the server without a checkpoint, as if it crashed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(WAIT_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill all processes of the server at once."""
        assert self._process is not None
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait(WAIT_SECONDS)
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all processes of the server inside the block: connections are accepted by the kernel, and stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # first: it would start others
        processes = self._processes()
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in reversed(processes):
                os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """Return the process ids of the server: the one that starts the others comes first."""
        assert self._process is not None
        parent = self._process.pid
        return [parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]

    def _responds(self) -> bool:
        import psycopg

        try:
            psycopg.connect(host=str(self.folder), user="echocast", dbname="postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "log").read_text()
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; skips the test where PostgreSQL is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="echocast-pg-"))
    server = PostgresServer(programs, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run PostgreSQL as, which refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("no user that PostgreSQL may run as")
