"""Credentials of a process that has closed itself are out of reach of another process of the same user."""

from __future__ import annotations

import os
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
