"""A nowcast of a large domain, on the only worker, gives way to small ones."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from model.runtime.graph_session import OneStepSession
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest
from service.jobs.job import Job, JobStatus
from service.store import result_key
from workers import give_way
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.time_limit import TIME_LIMIT_SIGNAL

SIDE = 560
MEMORY_MB = 40
"""Room for the smallest tiles alone, one after another."""


@pytest.fixture
def small(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    """A worker with little memory."""
    monkeypatch.setenv("ECHOCAST_THREADS", "1")
    settings = {"memory_mb": MEMORY_MB, "variant": "fp32", "threads": 1}
    opened = open_context(context.settings.model_copy(update=settings))
    yield opened
    opened.ledger.close()


@pytest.fixture
def tile_starts(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When each tile was started."""
    starts: list[datetime] = []
    run_batch = OneStepSession.run_batch

    def noted(session: OneStepSession, *given: Any) -> Any:
        starts.append(datetime.now(UTC))
        return run_batch(session, *given)

    monkeypatch.setattr(OneStepSession, "run_batch", noted)
    return starts


def rain_everywhere(path: Path) -> Path:
    rng = np.random.default_rng(3)
    coarse = rng.gamma(0.8, 4.0, (4, SIDE // 20, SIDE // 20)).astype(np.float32)
    times = np.datetime64("2026-06-01T12:00:00") + np.arange(4) * np.timedelta64(300, "s")
    np.savez(path, rain_rate=np.kron(coarse, np.ones((1, 20, 20), np.float32)), times=times)
    return path


def rain_of(context: WorkerContext, job: Job, folder: Path) -> np.ndarray[Any, Any]:
    with xr.open_dataset(context.store.fetch(result_key(job.id), folder / f"{job.id}.nc")) as forecast:
        return forecast.rainfall_rate.values


def run_with(context: WorkerContext, lab: Any, large: Job, submit: Callable[[], list[Job]]) -> list[Job]:
    """Run a large job; others are submitted by another thread once it is under way. Return them as they are then."""
    submitted: list[Job] = []

    def submit_when_running() -> None:
        lab.wait_until(lambda: context.ledger.get(large.id).progress_done > 0, "the large job to run")
        submitted.extend(submit())

    thread = threading.Thread(target=submit_when_running)
    thread.start()
    run(large.id, context)
    thread.join()
    return [context.ledger.get(job.id) for job in submitted]


def test_a_small_nowcast_of_another_client_waits_for_one_tile_at_most(
    small: WorkerContext, lab: Any, tmp_path: Path, tile_starts: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(give_way, "CHECK_SECONDS", 0.0)  # a tile may end just after the batch has looked
    frames, little = rain_everywhere(tmp_path / "large.npz"), lab.write_frames(tmp_path / "small.npz", count=4)
    network: dict[str, Any] = {"model": "rain-ms-predrnn", "steps": 6}
    by_itself = lab.upload(small.ledger, small.store, frames, client="a", **network)
    run(by_itself.id, small)
    tiles = len(tile_starts)
    assert tiles > 3
    large, *others = (lab.upload(small.ledger, small.store, frames, client="a", **network) for _ in range(3))
    [done] = run_with(small, lab, large, lambda: [lab.upload(small.ledger, small.store, little, client="b", **network)])
    after = small.ledger.get(large.id)
    assert [done.status, after.status] == [JobStatus.SUCCESSFUL] * 2
    assert done.finished < after.finished
    waited_for = [start for start in tile_starts[tiles:] if done.created <= start <= done.started]
    assert len(waited_for) <= 1
    assert {small.ledger.get(job.id).status for job in others} == {JobStatus.ACCEPTED}
    np.testing.assert_array_equal(rain_of(small, large, tmp_path), rain_of(small, by_itself, tmp_path))
    assert after.compute_seconds + done.compute_seconds < (after.finished - after.started).total_seconds()


def test_what_turns_out_to_be_large_or_broken_leaves_the_running_nowcast_as_it_is(
    small: WorkerContext, lab: Any, tmp_path: Path
) -> None:
    frames, broken = rain_everywhere(tmp_path / "large.npz"), tmp_path / "broken.npz"
    broken.write_bytes(b"PK" + bytes(100))
    large = lab.upload(small.ledger, small.store, frames, model="rain-ms-predrnn", steps=6)

    def submit() -> list[Job]:
        paths = (frames, broken)
        return [lab.upload(small.ledger, small.store, path, model="rain-ms-predrnn", steps=6) for path in paths]

    as_large, failed = run_with(small, lab, large, submit)
    assert small.ledger.get(large.id).status is JobStatus.SUCCESSFUL
    assert (as_large.status, as_large.attempt, as_large.lease) == (JobStatus.ACCEPTED, 0, None)
    assert failed.status is JobStatus.FAILED


@pytest.fixture
def generous(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> WorkerContext:
    """A worker that gives way after every step, to nowcasts that are as large as its own."""
    monkeypatch.setattr(give_way, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(give_way, "SMALL_SHARE", 100.0)
    return context


def signal_after(monkeypatch: pytest.MonkeyPatch, model: str, number: signal.Signals, steps: int) -> None:
    """Send a signal to this process, once, after so many events of a forecast by that model."""
    forecast, sent = BasePredictor.forecast, False

    def interrupted(predictor: BasePredictor, requests: list[ForecastRequest]) -> Iterator[ForecastEvent]:
        nonlocal sent
        for count, event in enumerate(forecast(predictor, requests)):
            if not sent and predictor.info.name == model and count == steps:
                sent = True
                signal.raise_signal(number)
            yield event

    monkeypatch.setattr(BasePredictor, "forecast", interrupted)


def pair(context: WorkerContext, lab: Any, folder: Path, size: int = 48) -> tuple[Job, Job]:
    """A nowcast, and one of another model and client that runs in its place."""
    ours, other = (lab.write_frames(folder / f"{side}.npz", count=3, size=side) for side in (48, size + 1))
    running = lab.upload(context.ledger, context.store, ours, steps=24)
    return running, lab.upload(context.ledger, context.store, other, model="persistence", client="b")


def test_a_nowcast_that_gave_way_until_its_time_limit_runs_once_more(
    generous: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not used up the time by itself."""
    ledger = generous.ledger
    running, other = pair(generous, lab, tmp_path)
    signal_after(monkeypatch, "extrapolation", TIME_LIMIT_SIGNAL, 20)
    run(running.id, generous)
    assert ledger.get(other.id).status is JobStatus.SUCCESSFUL
    again = ledger.get(running.id)
    assert (again.status, again.attempt, again.problem) == (JobStatus.ACCEPTED, 1, None)
    run(running.id, generous)
    assert ledger.get(running.id).status is JobStatus.SUCCESSFUL


def test_a_nowcast_that_gave_way_to_none_fails_at_its_time_limit(
    generous: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = lab.upload(generous.ledger, generous.store, lab.write_frames(tmp_path / "a.npz", count=3), steps=24)
    signal_after(monkeypatch, "extrapolation", TIME_LIMIT_SIGNAL, 20)
    run(running.id, generous)
    problem = generous.ledger.get(running.id).problem
    assert problem is not None
    assert problem["code"] == "time-limit"


@pytest.mark.parametrize(
    ("number", "running_ends", "attempt"),
    [(TIME_LIMIT_SIGNAL, JobStatus.ACCEPTED, 0), (signal.SIGALRM, JobStatus.SUCCESSFUL, 1)],
    ids=["of-the-batch", "its-own"],
)
def test_each_time_limit_ends_what_it_is_for(
    generous: WorkerContext,
    lab: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    running_ends: JobStatus,
    attempt: int,
) -> None:
    """A nowcast that runs in the place of another ends either way; its attempt counts where it took too long."""
    running, other = pair(generous, lab, tmp_path)
    signal_after(monkeypatch, "persistence", number, 1)
    run(running.id, generous)
    assert generous.ledger.get(running.id).status is running_ends
    stopped = generous.ledger.get(other.id)
    assert (stopped.status, stopped.attempt, stopped.lease) == (JobStatus.ACCEPTED, attempt, None)
    for job in (running, other):
        run(job.id, generous)
        assert generous.ledger.get(job.id).status is JobStatus.SUCCESSFUL


def test_frames_that_do_not_fit_beside_those_of_the_running_nowcast_wait_for_their_turn(
    generous: WorkerContext, lab: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = generous.settings.model_copy(update={"max_pixels": 3 * 96**2})
    tight = WorkerContext(**{**generous.__dict__, "settings": settings})
    running, other = pair(tight, lab, tmp_path, size=90)
    with caplog.at_level(logging.INFO):
        run(running.id, tight)
    assert tight.ledger.get(running.id).status is JobStatus.SUCCESSFUL
    left = tight.ledger.get(other.id)
    assert (left.status, left.attempt, left.lease) == (JobStatus.ACCEPTED, 0, None)
    assert caplog.text.count("runs in the place") == 1
    run(other.id, tight)
    assert tight.ledger.get(other.id).status is JobStatus.SUCCESSFUL
