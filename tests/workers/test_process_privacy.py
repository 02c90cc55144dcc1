"""Credentials of a process that has closed itself are out of reach of another process of the same user."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from workers import process_privacy
process_privacy._has_landlock = lambda: sys.argv[2] == "landlock"
process_privacy.close_process_without_landlock()
print("ready", flush=True)
input()
"""
STARTED = """
import ctypes, os, sys
from service.settings import Settings
from workers import cli, lifecycle, process_privacy
from workers.sandbox import server

def report(*_):
    print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), flush=True)
    os._exit(0)

process_privacy._has_landlock = lambda: False
server.missing_parts = lambda: ["Landlock"]
server._load_libraries = lambda: None
server.gc.freeze = cli.register_process = lifecycle.register_process = report
sys.argv = ["server", str(os.dup(0))]
{start}
""".replace("PR_GET_DUMPABLE", "3")
READ = "import sys; print(open(f'/proc/{sys.argv[1]}/environ').read())"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")


def unprivileged() -> tuple[str, dict[str, Any]]:
    """A Python and options of subprocess for a user who is not root, who may read everything."""
    if os.getuid():
        return sys.executable, {}
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no Python that other users may run")
    return "/usr/bin/python3", {"user": 65534, "group": 65534, "extra_groups": []}


@contextmanager
def worker(project: Path, kernel: str) -> Iterator[int]:
    python, user = unprivileged()
    process = subprocess.Popen(
        [python, "-B", "-c", WORKER, str(project), kernel],
        env={"PASSWORD": "secret"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **user,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process.pid
    process.communicate("\n")


@pytest.mark.parametrize(("kernel", "seen"), [("no-landlock", False), ("landlock", True)])
def test_the_environment_of_a_worker_cannot_be_read_where_landlock_does_not_prevent_it(
    project: Path, kernel: str, seen: bool
) -> None:
    python, user = unprivileged()
    with worker(project, kernel) as pid:
        read = subprocess.run([python, "-c", READ, str(pid)], capture_output=True, text=True, check=False, **user)
    assert ("secret" in read.stdout) == seen
    assert ("PermissionError" in read.stderr) != seen


@pytest.mark.parametrize(
    "start",
    ["cli._consume(Settings(), 1)", "cli._send_schedule(Settings())", "lifecycle._start()", "server.main()"],
    ids=["worker", "beat", "worker-child", "fork-server"],
)
def test_each_process_of_a_worker_closes_itself_before_it_does_anything_else(start: str) -> None:
    ours, its = socket.socketpair()
    with ours, its:
        program = STARTED.format(start=start)
        done = subprocess.run([sys.executable, "-c", program], stdin=its, capture_output=True, text=True, check=False)
    assert done.stdout == "0\n", done.stderr
