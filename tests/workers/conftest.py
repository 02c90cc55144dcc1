"""A lab for workers: synthetic frames, contexts in this process, and real processes behind a supervisor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from service.embedded import Supervisor
from service.jobs.ledger import Job, JobInput, JobStatus, Ledger, NewJob, jobs, new_job_id
from service.settings import Settings
from service.store import ObjectStore, upload_key
from workers.context import Context, open_context

START = np.datetime64("2026-06-01T12:00:00")
WAIT_SECONDS = 120
"""Generous: a slow machine is not a failure."""


class Lab:
    """What the tests of the workers do again and again."""

    @staticmethod
    def wait_until(condition: Callable[[], bool], what: str) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s for {what}"
            time.sleep(0.05)

    @staticmethod
    def write_frames(path: Path, *, first: int = 0, count: int = 1, size: int = 48, rain: float = 8) -> Path:
        """An .npz of `count` frames, the first one `first` time steps (5 min) after START: rain that moves east."""
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        frames = [
            rain * np.exp(-((x - size / 3 - step) ** 2 + (y - size / 2) ** 2) / (size / 6) ** 2)
            for step in range(first, first + count)
        ]
        times = START + np.arange(first, first + count) * np.timedelta64(300, "s")
        part = path.with_name(f".{path.name}")
        with part.open("wb") as file:
            np.savez(file, rain_rate=np.array(frames, np.float32), times=times)
        part.rename(path)
        return path

    @staticmethod
    def upload(ledger: Ledger, store: ObjectStore, *paths: Path, steps: int = 3, model: str = "extrapolation") -> Job:
        """What the gateway does with an upload, but for the queue."""
        job_id = new_job_id()
        inputs = []
        for index, path in enumerate(paths):
            key = upload_key(job_id, index)
            store.put(key, path)
            inputs.append(JobInput(name=path.name, key=key, size=path.stat().st_size))
        return ledger.create(NewJob(model=model, steps=steps, inputs=tuple(inputs)), job_id=job_id)

    @staticmethod
    def jobs(ledger: Ledger, status: JobStatus | None = None) -> list[Job]:
        """Every job (of that status), the newest first."""
        query = select(jobs.c.id).order_by(jobs.c.created.desc())
        with ledger.engine.connect() as connection:
            found = [ledger.get(job_id) for job_id in connection.execute(query).scalars()]
        return [job for job in found if status in (None, job.status)]

    @staticmethod
    def wait_finished(ledger: Ledger, job: Job) -> Job:
        """The job, once it is finished."""
        Lab.wait_until(lambda: ledger.get(job.id).status.finished, f"job {job.id} to finish")
        return ledger.get(job.id)

    @staticmethod
    def wait_running(ledger: Ledger, job: Job, *, attempt: int = 1) -> Job:
        """The job, once a worker has done some of its lead steps."""

        def under_way() -> bool:
            now = ledger.get(job.id)
            assert not now.status.finished, f"the job ended too soon to be disturbed: {now}"
            return now.status is JobStatus.RUNNING and now.progress_done > 0 and now.attempt >= attempt

        Lab.wait_until(under_way, f"job {job.id} to run")
        return ledger.get(job.id)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder of its own, and little patience. No broker."""
    return Settings(data_dir=tmp_path / "data", broker_url=None, feed_settle_seconds=0.0, requeue_seconds=1.0)


@pytest.fixture
def context(settings: Settings) -> Iterator[Context]:
    """What a task stands on, in this process."""
    opened = open_context(settings)
    yield opened
    opened.ledger.close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A real Redis, worker and beat that look often; started by the test."""
    (tmp_path / "data").mkdir()
    (tmp_path / "frames").mkdir()
    (tmp_path / "data" / "feeds.toml").write_text(
        f'[[feed]]\nname = "north"\nfolder = "{tmp_path / "frames"}"\nmodel = "extrapolation"\nsteps = 3\n'
    )
    made = Supervisor(
        Settings(
            data_dir=tmp_path / "data",
            broker_url=None,
            lease_seconds=2.0,
            reconcile_seconds=0.5,
            requeue_seconds=2.0,
            feed_scan_seconds=0.5,
            feed_settle_seconds=0.1,
        )
    )
    yield made
    made.stop()
