from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model.core.locks import file_lock
from tests.patience import WAIT_SECONDS

HOLDER = (
    "import pathlib, sys, time; from model.core.locks import file_lock\n"
    "with file_lock(pathlib.Path(sys.argv[1]), wait=True): print(flush=True); time.sleep(3600)"
)


def test_a_lock_is_held_by_one_process_and_released_when_that_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder, holder.stdout:
        holder.stdout.readline()
        with pytest.raises(TimeoutError):
            file_lock(path, wait=False).acquire()
        holder.kill()
        holder.wait(WAIT_SECONDS)
    with file_lock(path, wait=False):
        pass
