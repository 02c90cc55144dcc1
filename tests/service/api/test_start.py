"""The first moments of a gateway: a fresh process whose threads all have their first request."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx
import pytest

AT_ONCE = 24


@pytest.fixture
def fresh(tmp_path: Path):
    """Address of an `echocast serve` without any request so far, and its log."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")],
            env=environment,
            stderr=file,
        )
        try:
            while not (found := re.search(r"Echocast serves (http://\S+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield found[1], log
        finally:
            process.terminate()
            process.wait()


@pytest.mark.parametrize("start", range(3))
def test_concurrent_uploads_right_after_the_start_are_all_accepted(fresh, start: int) -> None:
    address, log = fresh
    together = Barrier(AT_ONCE)

    def upload(number: int) -> httpx.Response:
        with httpx.Client(base_url=address, timeout=60) as client:
            together.wait(60)
            return client.post("/v1/nowcasts", files={"files": (f"{number}.nc", b"x")}, data={"model": "persistence"})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        responses = list(pool.map(upload, range(AT_ONCE)))
    assert [response.status_code for response in responses] == [202] * AT_ONCE, log.read_text()
