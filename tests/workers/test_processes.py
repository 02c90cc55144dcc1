"""Real processes: a Redis, a worker and a beat that are killed, stopped and started again."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import xarray as xr
from redis.exceptions import RedisError

from service.embedded import Supervisor
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus
from service.store import job_prefix, result_key
from tests.postgres import postgres_server
from workers.context import WorkerContext, open_context


@pytest.fixture
def running(supervisor: Supervisor, lab):
    """A context whose jobs are run by real processes, and their supervisor."""
    context = open_context(supervisor.settings)
    supervisor.start()
    supervisor.start_workers()
    yield context
    context.ledger.close()


def wait_alive(context: WorkerContext, lab) -> None:
    lab.wait_until(lambda: bool(_alive(context)), "a worker")


def _alive(context: WorkerContext) -> list[str]:
    try:
        return live_workers(context.settings)
    except RedisError:
        return []


def temporary_lock(pid: int) -> list[Path]:
    """The lock in the folder of temporary files of a worker's process."""
    opened = [link.resolve() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [file for file in opened if file.name == "owner.lock" and file.parent.name.startswith("echocast-worker-")]


def check_published_once(context: WorkerContext, job: Job, folder: Path) -> None:
    assert job.status is JobStatus.SUCCESSFUL
    folder_of_job = context.settings.data_dir / "store" / job_prefix(job.id)
    published = {path.name for path in folder_of_job.iterdir()} - {"upload"}
    assert published == {"input.nc", "result.nc"}
    with xr.open_dataset(context.store.fetch(result_key(job.id), folder / "published.nc")) as forecast:
        assert forecast.rainfall_rate.shape[0] == job.steps


def test_a_job_survives_the_death_of_its_worker(
    running: WorkerContext, supervisor: Supervisor, lab, gate, tmp_path: Path
) -> None:
    job = lab.upload(running.ledger, running.store, lab.write_frames(tmp_path / "a.npz", count=3))
    wait_alive(running, lab)
    gate.close()
    lab.enqueue(running, job)
    first = lab.wait_running(running.ledger, job)
    parent = supervisor.children["worker"]
    [child] = lab.pool_children(parent)
    [lock] = temporary_lock(child)
    os.kill(child, signal.SIGKILL)
    lab.wait_dead(child)
    if lock.exists():
        os.utime(lock, (0, 0))  # old enough to be deleted
    assert running.ledger.renew_lease(first, -1), "its lease runs out, at once"
    second = lab.wait_running(running.ledger, job, attempt=2)
    [child] = lab.pool_children(parent)
    os.kill(parent, signal.SIGKILL)
    lab.wait_dead(parent, child)
    assert running.ledger.renew_lease(second, -1)
    gate.open()
    done = lab.wait_finished(running.ledger, job)
    assert done.attempt == 3
    assert supervisor.children["worker"] != parent
    check_published_once(running, done, tmp_path)
    assert not lock.parent.exists(), "files of the first attempt are left"


def test_a_dismissed_job_stops_and_the_next_one_runs(running: WorkerContext, lab, gate, tmp_path: Path) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    first, second = (lab.upload(running.ledger, running.store, frames) for _ in range(2))
    wait_alive(running, lab)
    gate.close()
    for job in (first, second):
        lab.enqueue(running, job)
    lab.wait_running(running.ledger, first)
    assert running.ledger.dismiss(first.id)
    lab.wait_running(running.ledger, second)
    gate.open()
    assert lab.wait_finished(running.ledger, second).status is JobStatus.SUCCESSFUL
    assert running.ledger.get(first.id).status is JobStatus.DISMISSED
    assert not running.store.exists(result_key(first.id))


def test_a_job_that_came_while_the_broker_was_down_runs_later(supervisor: Supervisor, lab, tmp_path: Path) -> None:
    context = open_context(supervisor.settings)
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    assert not context.queue.enqueue(job.id)
    assert context.ledger.get(job.id).status is JobStatus.ACCEPTED
    supervisor.start()
    supervisor.start_workers()
    done = lab.wait_finished(context.ledger, job)
    check_published_once(context, done, tmp_path)
    context.ledger.close()


def test_a_queue_that_is_lost_is_filled_again_from_the_ledger(
    running: WorkerContext, supervisor: Supervisor, lab, tmp_path: Path
) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    wait_alive(running, lab)
    jobs = [lab.upload(running.ledger, running.store, frames) for _ in range(3)]
    redis = supervisor.children["redis"]
    os.kill(supervisor.children["worker"], signal.SIGKILL)
    for job in jobs:
        running.queue.enqueue(job.id)
    os.kill(redis, signal.SIGKILL)
    for job in jobs:
        check_published_once(running, lab.wait_finished(running.ledger, job), tmp_path)


def test_a_feed_publishes_each_frame_once_even_after_a_restart(supervisor: Supervisor, lab, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    context = open_context(supervisor.settings)
    supervisor.start()
    supervisor.start_workers()
    lab.wait_until(lambda: context.feed_ledger.registered("north"), "the feed to be seen")
    lab.write_frames(folder / "f0.npz", first=0)  # of one frame alone, nothing can be forecast
    for n in range(2, 5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        lab.wait_until((folder / f"f{n}.npz.nowcast.nc").exists, f"the nowcast of frame {n}")
    successful = partial(lab.jobs, context.ledger, JobStatus.SUCCESSFUL)
    lab.wait_until(lambda: len(successful()) == 3, "the ledger to say so")
    supervisor.stop()
    published = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nowcast.nc")}
    assert sorted(published) == [f"f{n}.npz.nowcast.nc" for n in (2, 3, 4)]
    again = Supervisor(supervisor.settings.model_copy(update={"broker_url": None}))
    again.start()
    again.start_workers()
    try:
        lab.write_frames(folder / "f5.npz", first=5)
        lab.wait_until((folder / "f5.npz.nowcast.nc").exists, "the nowcast of frame 5")
        lab.wait_until(lambda: len(successful()) > 3, "the ledger to say so")
    finally:
        again.stop()
    assert sorted(job.inputs[-1]["name"] for job in successful()) == [f"f{n}.npz" for n in range(2, 6)]
    assert {name: (folder / name).stat().st_mtime_ns for name in published} == published
    context.ledger.close()


def test_a_worker_outlives_its_broker(running: WorkerContext, supervisor: Supervisor, lab, tmp_path: Path) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    wait_alive(running, lab)
    worker, redis = supervisor.children["worker"], supervisor.children["redis"]
    os.kill(redis, signal.SIGKILL)
    job = lab.upload(running.ledger, running.store, frames)
    running.queue.enqueue(job.id)
    assert lab.wait_finished(running.ledger, job).status is JobStatus.SUCCESSFUL
    assert supervisor.children["worker"] == worker
    later = lab.upload(running.ledger, running.store, frames)
    lab.enqueue(running, later)
    assert lab.wait_finished(running.ledger, later).status is JobStatus.SUCCESSFUL


def test_a_worker_whose_process_starts_while_the_ledger_is_down_is_alive_again_later(
    supervisor: Supervisor, lab, tmp_path: Path
) -> None:
    with postgres_server() as server:
        settings = {"broker_url": None, "database_url": server.url, "worker_stale_seconds": 1.0}
        ours = Supervisor(supervisor.settings.model_copy(update=settings))
        context = open_context(ours.settings)
        ours.start()
        ours.start_workers()
        try:
            wait_alive(context, lab)
            worker = ours.children["worker"]
            [child] = lab.pool_children(worker)
            server.stop()
            os.kill(child, signal.SIGKILL)
            lab.wait_until(lambda: ours.children.get("worker", worker) != worker, "another worker")
            assert _alive(context) == []
            server.start()
            wait_alive(context, lab)
            job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
            assert lab.wait_finished(context.ledger, job).status is JobStatus.SUCCESSFUL
        finally:
            ours.stop()
            context.ledger.close()


def test_a_job_that_takes_too_long_is_stopped(supervisor: Supervisor, lab, gate, tmp_path: Path) -> None:
    hasty = Supervisor(supervisor.settings.model_copy(update={"broker_url": None, "job_time_limit_seconds": 3.0}))
    context = open_context(hasty.settings)
    gate.close()
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    hasty.start()
    hasty.start_workers()
    try:
        failed = lab.wait_finished(context.ledger, job)
    finally:
        hasty.stop()
        context.ledger.close()
    assert failed.problem is not None
    assert failed.problem["code"] == "time-limit"
    assert not context.store.exists(result_key(job.id))
