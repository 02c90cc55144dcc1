"""One running Echocast for all tests of the service: `echocast serve` with everything embedded, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from service.jobs.job import Job
from tests.databases import database_url, ledger, postgres_cluster, postgres_template, postgres_url
from tests.patience import WAIT_SECONDS, wait_until

__all__ = ["database_url", "ledger", "postgres_cluster", "postgres_template", "postgres_url"]
"""Fixtures of another module: one PostgreSQL serves all tests of the service."""


@dataclass
class Stack:
    """A running `echocast serve`."""

    url: str
    process: subprocess.Popen[str]
    data_dir: Path
    log: list[str]


@pytest.fixture
def all_jobs():
    """Every job of a ledger, the newest first."""

    def read(ledger):
        query = select(Job.id).order_by(Job.created.desc())
        with ledger.engine.connect() as connection:
            return [ledger.get(job_id) for job_id in connection.execute(query).scalars()]

    return read


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """`echocast serve` on a free port with a worker that is alive. Stopped at the end."""
    data_dir = tmp_path_factory.mktemp("echocast")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    log: list[str] = []
    served = threading.Event()

    def read() -> None:
        for line in process.stderr:
            log.append(line)
            if "Echocast serves" in line:
                served.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert served.wait(WAIT_SECONDS), "".join(log)
        url = re.search(r"serves (http://\S+)", "".join(log))[1]
        _wait_for_worker(url, log)
        yield Stack(url=url, process=process, data_dir=data_dir, log=log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
            reader.join(WAIT_SECONDS)
            process.stderr.close()


def _wait_for_worker(url: str, log: list[str]) -> None:
    def ready() -> bool:
        try:
            parts = {part["name"]: part["state"] for part in httpx.get(f"{url}/readyz").json()["parts"]}
        except httpx.TransportError:
            return False
        return parts.get("workers") == "ok"

    try:
        wait_until(ready, "a worker")
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{''.join(log)}") from None
