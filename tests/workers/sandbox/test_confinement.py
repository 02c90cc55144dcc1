"""What a process of a read cannot do, tried in such a process on this kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workers.sandbox.confinement import missing_parts

PROGRAM = """
import json, os, socket, sys, threading
from pathlib import Path
from workers.sandbox.confinement import Confinement

mine, other, folder = map(Path, sys.argv[1:4])
Confinement(memory_bytes=256 << 20, seconds=5, file_bytes=1 << 20, read=[mine], write=folder).apply([])

def fails(action):
    try:
        action()
    except BaseException as error:
        return type(error).__name__
    return None

def write_much():
    with (folder / "large").open("wb") as file:
        file.write(bytes(2 << 20))

def keep_open():
    kept = [mine.open() for _ in range(100)]

def thread():
    threading.Thread(target=print).start()

tried = {
    "own file": lambda: mine.read_bytes(),
    "scratch": lambda: (folder / "x").write_bytes(b"x"),
    "library": lambda: __import__("turtledemo"),
    "other file": lambda: other.read_bytes(),
    "write own file": lambda: mine.write_bytes(b""),
    "environment of the parent": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "Unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "fork": os.fork,
    "thread": thread,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "memory": lambda: bytearray(1 << 30),
    "large file": write_much,
    "many files": keep_open,
}
print(json.dumps({name: fails(action) for name, action in tried.items()}))
"""


@pytest.mark.skipif(bool(missing_parts()), reason="this kernel lacks a part")
def test_a_read_can_do_nothing_but_read_its_files(tmp_path: Path) -> None:
    mine, other, scratch = tmp_path / "mine", tmp_path / "other", tmp_path / "scratch"
    mine.write_text("mine")
    other.write_text("another client's")
    scratch.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(mine), str(other), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    failed = json.loads(done.stdout)
    allowed = [name for name, error in failed.items() if error is None]
    assert allowed == ["own file", "scratch", "library"]
    assert failed["memory"] == "MemoryError"
    assert failed["other file"] == "PermissionError"
