"""Temporary files of a worker's process that was killed are deleted by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

PROGRAM = """
import tempfile
from pathlib import Path
from workers.temporary_files import delete_own_folder, use_own_folder
use_own_folder()
(Path(tempfile.mkdtemp(prefix="echocast-read-")) / "upload.nc").write_bytes(b"x")
print(tempfile.gettempdir(), flush=True)
input()
delete_own_folder()
"""

Start = Callable[[], tuple[Popen[str], Path]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a process that keeps an upload until it gets a line; return it and its folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started: list[Popen[str]] = []

    def begin() -> tuple[Popen[str], Path]:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=PIPE, stdout=PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_files_of_a_killed_process_are_deleted_by_the_next_and_those_in_use_are_not(
    start: Start, tmp_path: Path
) -> None:
    (killed, left), (alive, used) = start(), start()
    assert left.parent == used.parent == tmp_path
    assert [*left.glob("echocast-read-*/upload.nc")]
    killed.kill()
    killed.wait()
    for folder in (left, used):
        os.utime(folder / "owner.lock", (0, 0))
    last, _ = start()
    assert not left.exists()
    assert [*used.glob("echocast-read-*/upload.nc")]
    for process in (alive, last):
        process.communicate("\n")
    assert [*tmp_path.iterdir()] == []
