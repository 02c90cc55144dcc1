"""A new champion is loaded while another model runs, and used once it is ready; a worker that cannot run exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from model.runtime import load
from model.runtime.ort import ort
from service.embedded import Supervisor, environment_of
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus
from tests.packages import GRAPH, copied, crown, damage
from tests.patience import WAIT_SECONDS
from workers import model_cache, nowcast_job
from workers.batch import run
from workers.context import WorkerContext


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_THREADS", "1")


@pytest.fixture
def ran(context: WorkerContext, lab, tmp_path: Path) -> Callable[[], Job]:
    """Run a job for `auto`, and return it finished."""

    def of() -> Job:
        job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=4), model="auto")
        run(job.id, context)
        return context.ledger.get(job.id)

    return of


def test_while_a_new_champion_loads_the_old_one_runs_with_a_note(
    context: WorkerContext, ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = context.settings.packages_folder
    crown(copied(packages, "mine@1"))
    assert ran().model_used == "mine@1"
    go_on = threading.Event()
    load_predictor = load.load_predictor

    def slowly(info: Any, *others: Any) -> Any:
        assert info.reference != "mine@2" or go_on.wait(WAIT_SECONDS)
        return load_predictor(info, *others)

    monkeypatch.setattr(load, "load_predictor", slowly)
    monkeypatch.setattr(nowcast_job, "SWAP_SECONDS", 0.0)
    crown(copied(packages, "mine@2"))
    done = ran()
    assert (done.status, done.model_used) == (JobStatus.SUCCESSFUL, "mine@1")
    assert done.note == "the champion mine@2 cannot be used: it is still being loaded"
    go_on.set()
    context.models.get(context.catalog.find("mine@2"))
    assert (ran().model_used, ran().note) == ("mine@2", "")


def test_a_worker_starts_with_a_model_that_can_run(context: WorkerContext, caplog: pytest.LogCaptureFixture) -> None:
    packages = context.settings.packages_folder
    crown(copied(packages, "mine@1"))
    broken = copied(packages, "mine@2")
    damage(broken / GRAPH)
    crown(broken)
    assert context.models.start().info.reference == "mine@1"
    assert "mine@2 cannot be loaded" in caplog.text


def test_a_promotion_is_noticed_between_jobs(context: WorkerContext, lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "POLL_SECONDS", 0.05)
    context.models.start()
    threading.Thread(target=context.models.watch, daemon=True).start()
    crown(copied(context.settings.packages_folder, "mine@1"))
    info = context.catalog.find("auto")
    assert info.reference == "mine@1"
    lab.wait_until(lambda: context.models.is_loaded(info), "the champion to be loaded, though no job asked for it")


def test_models_used_longest_ago_make_room(context: WorkerContext) -> None:
    packages = context.settings.packages_folder
    for version in range(1, 5):
        copied(packages, f"mine@{version}")
        context.models.get(context.catalog.find(f"mine@{version}"))
    loaded = [context.models.is_loaded(context.catalog.find(f"mine@{n}")) for n in range(1, 5)]
    assert loaded == [False, True, True, True]


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_worker_without_its_device_refuses_to_start(supervisor: Supervisor, lab) -> None:
    supervisor.start()
    lab.wait_until(lambda: redis_responds(supervisor), "Redis")
    environment = {**os.environ, **environment_of(supervisor.settings), "ECHOCAST_DEVICE": "cuda"}
    worker = subprocess.run(
        [sys.executable, "-m", "service.cli", "worker"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert worker.returncode == 2
    *_, last = worker.stderr.splitlines()  # before it, the worker may tell of leftovers that it has deleted
    assert "ECHOCAST_DEVICE: CUDA is requested" in last
    assert "Traceback" not in worker.stderr
    assert workers_alive(supervisor) == []


def redis_responds(supervisor: Supervisor) -> bool:
    """Redis answers: a worker that starts before warns of it first."""
    try:
        live_workers(supervisor.settings)
    except RedisError:
        return False
    return True


def workers_alive(supervisor: Supervisor) -> list[str]:
    try:
        return live_workers(supervisor.settings)
    except RedisError:
        return []


@pytest.mark.parametrize(("told", "code"), [(signal.SIGUSR2, 1), (signal.SIGURG, 2)])
def test_a_worker_whose_process_cannot_run_leaves_the_queue_and_ends(
    supervisor: Supervisor, lab, told: signal.Signals, code: int
) -> None:
    supervisor.start()
    lab.wait_until(lambda: redis_responds(supervisor), "Redis")
    worker = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "worker"], env={**os.environ, **environment_of(supervisor.settings)}
    )
    try:
        lab.wait_until(lambda: bool(workers_alive(supervisor)), "the worker to be ready")
        worker.send_signal(told)
        assert worker.wait(WAIT_SECONDS) == code
    finally:
        worker.kill()
        worker.wait()
    lab.wait_until(lambda: workers_alive(supervisor) == [], "the worker to be forgotten")
