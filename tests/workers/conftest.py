"""A lab for workers: synthetic frames, contexts in this process, and real processes behind a supervisor."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from model.core.forecast_output import DETERMINISTIC_OUTPUT, ForecastOutput
from service.embedded import Supervisor
from service.jobs.job import ANONYMOUS_ID, Job, JobInput, JobStatus, new_job_id
from service.jobs.ledger import Ledger
from service.settings import Settings
from service.store import ObjectStore, upload_key
from tests.databases import put_empty_ledger
from tests.patience import wait_until
from workers.context import WorkerContext, open_context

START = np.datetime64("2026-06-01T12:00:00")


class Lab:
    """Shared actions of the tests of the workers."""

    wait_until = staticmethod(wait_until)

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
    def upload(
        ledger: Ledger,
        store: ObjectStore,
        *paths: Path,
        steps: int = 3,
        model: str = "extrapolation",
        output: ForecastOutput = DETERMINISTIC_OUTPUT,
        client: str = ANONYMOUS_ID,
        feed: str | None = None,
        file: Path | None = None,
    ) -> Job:
        """Store files and create their job, without the queue: as the gateway does; of a feed, as its scan does."""
        job_id = new_job_id()
        inputs = []
        for index, path in enumerate(paths):
            key = upload_key(job_id, index)
            store.put(key, path)
            inputs.append(JobInput(name=path.name, key=key, size=path.stat().st_size))
        return ledger.create(
            Job(
                id=job_id,
                kind="upload" if feed is None else "feed",
                client=client,
                model=model,
                steps=steps,
                inputs=inputs,
                forecast_output=output,
                feed=feed,
                output=None if file is None else str(file),
            )
        )

    @staticmethod
    def jobs(ledger: Ledger, status: JobStatus | None = None) -> list[Job]:
        """Every job (of that status), the newest first."""
        query = select(Job.id).order_by(Job.created.desc())
        with ledger.engine.connect() as connection:
            found = [ledger.get(job_id) for job_id in connection.execute(query).scalars()]
        return [job for job in found if status in (None, job.status)]

    @staticmethod
    def enqueue(context: WorkerContext, job: Job) -> None:
        """Enqueue a job, again if the broker is busy: a job that is enqueued twice runs once."""
        Lab.wait_until(lambda: context.queue.enqueue(job.id), f"job {job.id} to be queued")

    @staticmethod
    def alive(pid: int) -> bool:
        """It runs: neither gone nor a zombie that waits for its parent."""
        try:
            return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False

    @staticmethod
    def pool_children(parent: int) -> list[int]:
        """The processes of a worker that run jobs."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=True
        )
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]

    @staticmethod
    def wait_dead(*pids: int) -> None:
        Lab.wait_until(lambda: not any(map(Lab.alive, pids)), f"{pids} to die")

    @staticmethod
    def wait_finished(ledger: Ledger, job: Job) -> Job:
        """The job, once it is finished."""
        Lab.wait_until(lambda: ledger.get(job.id).status.finished, f"job {job.id} to finish")
        return ledger.get(job.id)

    @staticmethod
    def wait_running(ledger: Ledger, job: Job, *, attempt: int = 1) -> Job:
        """The job, once a worker has done a lead step. The gate is to be closed: a nowcast may be over in no time."""

        def under_way() -> bool:
            now = ledger.get(job.id)
            assert not now.status.finished, f"the job ended, though the gate is closed: {now}"
            return now.status is JobStatus.RUNNING and now.progress_done > 0 and now.attempt >= attempt

        Lab.wait_until(under_way, f"job {job.id} to run")
        return ledger.get(job.id)


class Gate:
    """Where nowcasts of real workers wait: see gate/sitecustomize.py."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def close(self) -> None:
        """Make nowcasts wait after their first lead step."""
        self.file.touch()

    def open(self) -> None:
        """Let them continue."""
        self.file.unlink()


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """An open gate, in workers that are started from now on."""
    made = Gate(tmp_path / "gate")
    folders = [str(Path(__file__).with_name("gate")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    monkeypatch.setenv("TEST_GATE", str(made.file))
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder of its own, and little patience. No broker."""
    return Settings(data_dir=tmp_path / "data", broker_url=None, feed_settle_seconds=0.0, requeue_seconds=1.0)


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    """The context of a task, in this process."""
    put_empty_ledger(settings.data_dir / "ledger.sqlite")
    opened = open_context(settings)
    yield opened
    opened.ledger.close()


@pytest.fixture
def supervisor(tmp_path: Path, gate: Gate) -> Iterator[Supervisor]:
    """A real Redis, worker and beat that look often; started by the test. The worker runs one job at a time."""
    put_empty_ledger(tmp_path / "data" / "ledger.sqlite")
    (tmp_path / "frames").mkdir()
    (tmp_path / "data" / "feeds.toml").write_text(
        f'[[feed]]\nname = "north"\nfolder = "{tmp_path / "frames"}"\nout = "{tmp_path / "frames"}"\n'
        'model = "extrapolation"\nsteps = 3\n'
    )
    made = Supervisor(
        Settings(
            data_dir=tmp_path / "data",
            broker_url=None,
            batch=1,
            reconcile_seconds=0.5,
            requeue_seconds=2.0,
            feed_scan_seconds=0.5,
            feed_settle_seconds=0.1,
        )
    )
    yield made
    made.stop()
