"""`make run` where no Redis can be installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import WAIT_SECONDS

if shutil.which("make") is None:
    pytest.skip("make is not installed", allow_module_level=True)

ELSEWHERE = """#!/bin/sh
# A Python that claims to run on another kind of machine; it supports only -c.
test "$1" = -c || exit 9
exec {python} -c 'import platform, sys; platform.machine = lambda: "aarch64"; exec(sys.argv[1])' "$2"
"""


def make_run(project: Path, tmp_path: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """`make run` with the Makefile alone, on another kind of machine, where only `programs` are installed."""
    shutil.copy(project / "Makefile", tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in [("python3", ELSEWHERE.format(python=sys.executable)), *((name, "") for name in programs)]:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    command = [str(shutil.which("make")), "-C", str(tmp_path), "--no-print-directory", "run"]
    environment = {"PATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)


def test_it_stops_at_once_and_names_what_to_install(project: Path, tmp_path: Path) -> None:
    done = make_run(project, tmp_path)
    assert done.returncode != 0
    stderr, *rest = done.stderr.splitlines()
    assert "Install redis-server" in stderr
    assert all(line.startswith("make: ***") for line in rest)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
def test_it_continues_where_one_is_installed(project: Path, tmp_path: Path, program: str) -> None:
    done = make_run(project, tmp_path, program)
    assert "Redis" not in done.stderr
    assert "cannot make a virtual environment" in done.stderr, "the next thing that it does"
