"""Several nowcasts as one batch: each has its own result, its own failure and its own end."""

from __future__ import annotations

import logging
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sqlalchemy.exc import OperationalError

from model.core.errors import DeviceLost
from model.core.forecast_output import ForecastOutput
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest
from service.jobs.fair_share import FairShare
from service.jobs.job import Job, JobStatus
from service.store import result_key
from tests.packages import copied
from tests.predictors import FailingPredictor
from workers import nowcast_job, sandbox
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.sandbox import fork_server
from workers.time_limit import TIME_LIMIT_SIGNAL

EIGHT = range(8)
POISONED = 5


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_THREADS", "1")


@pytest.fixture
def batching(context: WorkerContext, tmp_path: Path) -> Iterator[WorkerContext]:
    """A worker that runs eight at once, and finds its exogenous fields in the test's folder."""
    opened = open_context(context.settings.model_copy(update={"batch": 8, "batch_wait_ms": 0, "fields": tmp_path}))
    yield opened
    opened.ledger.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nowcasts each batch had that a predictor was given."""
    sizes: list[int] = []
    forecast = BasePredictor.forecast

    def counted(predictor: BasePredictor, requests: list[ForecastRequest]) -> Iterator[ForecastEvent]:
        sizes.append(len(requests))
        return forecast(predictor, requests)

    monkeypatch.setattr(BasePredictor, "forecast", counted)
    return sizes


def frames_of(lab: Any, folder: Path, count: int = 4) -> list[Path]:
    """Eight uploads, no two alike."""
    return [lab.write_frames(folder / f"{number}.npz", first=2 * number, count=count) for number in EIGHT]


def rain_of(context: WorkerContext, job: Job, folder: Path) -> xr.Dataset:
    path = context.store.fetch(result_key(job.id), folder / f"{job.id}.nc")
    with xr.open_dataset(path) as forecast:
        return forecast.load()


def after(context: WorkerContext, jobs: list[Job]) -> list[Job]:
    return [context.ledger.get(job.id) for job in jobs]


def states(context: WorkerContext, jobs: list[Job]) -> list[JobStatus]:
    return [job.status for job in after(context, jobs)]


def test_nowcasts_of_one_batch_hold_what_each_was_asked_for(
    batching: WorkerContext, lab, tmp_path: Path, batches: list[int]
) -> None:
    asked = (
        ForecastOutput(),
        ForecastOutput(thresholds_mm_h=(0.5, 2.0)),
        ForecastOutput(thresholds_mm_h=(5.0,), members=3, seed=1),
    )
    frames = [lab.write_frames(tmp_path / f"{number}.npz", count=3) for number in range(3)]
    jobs = [
        lab.upload(batching.ledger, batching.store, path, output=output)
        for path, output in zip(frames, asked, strict=True)
    ]
    run(jobs[0].id, batching)
    assert batches == [3]
    single, likely, members = (rain_of(batching, job, tmp_path) for job in jobs)
    assert not {"probability_of_exceedance", "realization"} & {*single.variables}
    assert likely.threshold.values.tolist() == [0.5, 2]
    assert likely.probability_of_exceedance.shape == (2, 3, 48, 48)
    assert 0.5 < float(likely.probability_of_exceedance.max()) <= 1
    xr.testing.assert_equal(likely.rainfall_rate, single.rainfall_rate)
    assert members.rainfall_rate.dims == ("realization", "time", "y", "x")
    assert members.sizes["realization"] == 3
    assert members.attrs["members_seed"] == 1
    assert members.threshold.values.tolist() == [5]
    xr.testing.assert_equal(
        members.rainfall_rate_deterministic, single.rainfall_rate.rename("rainfall_rate_deterministic")
    )


def check_seven_as_alone(context: WorkerContext, lab: Any, frames: list[Path], jobs: list[Job], folder: Path) -> None:
    """All but the poisoned one equal a run alone."""
    for number in EIGHT:
        if number == POISONED:
            continue
        alone = lab.upload(context.ledger, context.store, frames[number], model=jobs[number].model)
        run(alone.id, context)
        together_, by_itself = (rain_of(context, job, folder) for job in (jobs[number], alone))
        assert float(by_itself.rainfall_rate.max()) > 1
        xr.testing.assert_equal(together_, by_itself)
        assert together_.attrs == by_itself.attrs
        assert together_.attrs["model_variant"].endswith("on CPU")


def test_of_eight_uploads_with_a_broken_file_seven_succeed_as_they_would_alone(
    batching: WorkerContext, lab, tmp_path: Path, batches: list[int]
) -> None:
    frames = frames_of(lab, tmp_path)
    whole = frames[POISONED].read_bytes()
    frames[POISONED].write_bytes(whole[: len(whole) // 2])
    jobs = [lab.upload(batching.ledger, batching.store, path, model="auto") for path in frames]
    run(jobs[0].id, batching)
    assert batches == [7]
    ended = after(batching, jobs)
    for number, job in enumerate(ended):
        assert job.status is (JobStatus.FAILED if number == POISONED else JobStatus.SUCCESSFUL)
        assert job.attempt == 1
    problem = ended[POISONED].problem
    assert problem is not None
    assert (problem["code"], problem["where"]) == ("not-a-radar-file", f"{POISONED}.npz")
    check_seven_as_alone(batching, lab, frames, jobs, tmp_path)


def test_of_eight_of_which_one_fails_in_the_forecast_seven_succeed_as_they_would_alone(
    batching: WorkerContext, lab, tmp_path: Path, batches: list[int]
) -> None:
    """Its model reads a field that does not reach to the time of one upload's frames."""
    copied(batching.settings.packages_folder, "mine@1", fields=["height"])
    lon, lat = np.arange(0.0, 360.0, 2.0), np.arange(-88.0, 89.0, 2.0)
    times = np.array(["2026-06-01T10", "2026-06-01T18"], "datetime64[ns]")
    coordinates = {
        "time": times,
        "y": ("y", lat, {"units": "degrees_north"}),
        "x": ("x", lon, {"units": "degrees_east"}),
    }
    values = np.zeros((2, lat.size, lon.size), np.float32)
    xr.Dataset({"height": (("time", "y", "x"), values)}, coordinates).to_netcdf(tmp_path / "height.nc")
    frames = frames_of(lab, tmp_path)
    with np.load(frames[POISONED]) as earlier:
        np.savez(frames[POISONED], rain_rate=earlier["rain_rate"], times=earlier["times"] + np.timedelta64(1, "D"))
    jobs = [lab.upload(batching.ledger, batching.store, path, model="mine") for path in frames]
    run(jobs[0].id, batching)
    assert batches == [8]
    failed = batching.ledger.get(jobs[POISONED].id)
    assert failed.problem is not None
    assert "height.nc" in failed.problem["where"]
    assert "do not cover" in failed.problem["what"]
    check_seven_as_alone(batching, lab, frames, jobs, tmp_path)


def test_a_cancelled_or_refused_nowcast_stops_no_other(batching: WorkerContext, lab, tmp_path: Path) -> None:
    frames = frames_of(lab, tmp_path, count=3)
    jobs = [lab.upload(batching.ledger, batching.store, path) for path in frames[:3]]
    jobs.append(lab.upload(batching.ledger, batching.store, frames[3], steps=500))
    ledger = batching.ledger

    class Dismissing:
        """The ledger, of which the second nowcast is dismissed as soon as the third has been read."""

        def __getattr__(self, name: str) -> object:
            return getattr(ledger, name)

        def record_model(self, job: Job, **named: Any) -> bool:
            if job.id == jobs[2].id:
                assert ledger.dismiss(jobs[1].id)
            return ledger.record_model(job, **named)

    run(jobs[0].id, replace(batching, ledger=Dismissing()))  # type: ignore[arg-type]
    done, dismissed, other, failed = after(batching, jobs)
    assert (done.status, other.status) == (JobStatus.SUCCESSFUL, JobStatus.SUCCESSFUL)
    assert (dismissed.status, dismissed.result_key) == (JobStatus.DISMISSED, None)
    assert failed.problem is not None
    assert failed.problem["code"] == "steps-out-of-range"


def test_feeds_come_before_uploads_and_the_rest_waits(batching: WorkerContext, lab, tmp_path: Path) -> None:
    frames = frames_of(lab, tmp_path, count=3)
    jobs = [lab.upload(batching.ledger, batching.store, path) for path in frames]
    feed = lab.upload(batching.ledger, batching.store, frames[0], feed="n")
    other = lab.upload(batching.ledger, batching.store, frames[0], model="persistence")
    run(jobs[0].id, batching)
    assert states(batching, [feed, *jobs]) == [JobStatus.SUCCESSFUL] * 8 + [JobStatus.ACCEPTED]
    assert states(batching, [other]) == [JobStatus.ACCEPTED], "it asks for another model"
    run(jobs[1].id, batching)
    assert batching.ledger.get(jobs[1].id).attempt == 1, "its message in the queue comes late, and does nothing"


def test_shapes_that_differ_run_in_one_task(batching: WorkerContext, lab, tmp_path: Path) -> None:
    small = lab.upload(batching.ledger, batching.store, lab.write_frames(tmp_path / "a.npz", count=3))
    large = lab.upload(batching.ledger, batching.store, lab.write_frames(tmp_path / "b.npz", count=3, size=96))
    run(small.id, batching)
    assert states(batching, [small, large]) == [JobStatus.SUCCESSFUL] * 2


def test_a_job_that_did_not_survive_its_first_attempt_takes_no_others_with_it(
    batching: WorkerContext, lab, tmp_path: Path
) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    again, fresh = (lab.upload(batching.ledger, batching.store, frames) for _ in range(2))
    taken = batching.ledger.claim(again.id, 60)
    assert taken is not None
    batching.ledger.release(taken)
    run(fresh.id, batching)
    assert states(batching, [again, fresh]) == [JobStatus.ACCEPTED, JobStatus.SUCCESSFUL]
    other = lab.upload(batching.ledger, batching.store, frames)
    run(again.id, batching)
    assert states(batching, [again, other]) == [JobStatus.SUCCESSFUL, JobStatus.ACCEPTED]


def fresh(context: WorkerContext, jobs: list[Job]) -> bool:
    """Return whether they wait as if no worker had claimed them."""
    return all((job.status, job.attempt, job.lease) == (JobStatus.ACCEPTED, 0, None) for job in after(context, jobs))


def test_jobs_whose_frames_do_not_fit_are_left_to_others(
    batching: WorkerContext, lab, tmp_path: Path, batches: list[int]
) -> None:
    """Their size shows when they are read. That they were claimed is no attempt: they can still run with others."""
    small = lab.write_frames(tmp_path / "a.npz", count=3)
    large = lab.write_frames(tmp_path / "b.npz", count=3, size=96)
    tight = replace(batching, settings=batching.settings.model_copy(update={"max_pixels": 4 * 3 * 48**2}))
    jobs = [lab.upload(tight.ledger, tight.store, path) for path in (small, small, large, small)]
    run(jobs[0].id, tight)
    assert batches == [2]
    assert states(tight, jobs[:2]) == [JobStatus.SUCCESSFUL] * 2
    assert fresh(tight, jobs[2:])
    run(jobs[2].id, tight)
    run(jobs[3].id, tight)
    assert states(tight, jobs[2:]) == [JobStatus.SUCCESSFUL] * 2


@pytest.mark.parametrize("broken", ["ledger", "folder"])
def test_a_nowcast_runs_where_its_neighbours_cannot_be_taken_and_they_wait(
    broken: str, batching: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.give_way.CHECK_SECONDS", 1e9)  # the others are taken into the batch, or not at all
    fair_share = batching.fair_share

    class Breaking(FairShare):
        """The ledger is locked when other jobs are claimed, or after that their folder is missing."""

        def claim_similar(self, *asked: Any) -> list[Job]:
            if broken == "ledger":
                raise OperationalError("UPDATE jobs", {}, sqlite3.OperationalError("database is locked"))
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
            return fair_share.claim_similar(*asked)

    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    first, *others = (lab.upload(batching.ledger, batching.store, frames) for _ in range(3))
    run(first.id, replace(batching, fair_share=Breaking(batching.ledger)))
    assert states(batching, [first]) == [JobStatus.SUCCESSFUL]
    assert fresh(batching, others)


def test_a_nowcast_that_has_one_attempt_only_runs_alone(
    batching: WorkerContext, lab, tmp_path: Path, batches: list[int]
) -> None:
    """The end of a batch would be the end of jobs that only ran with others."""
    once = replace(batching, settings=batching.settings.model_copy(update={"max_attempts": 1}))
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    first, other = (lab.upload(once.ledger, once.store, frames) for _ in range(2))
    run(first.id, once)
    assert batches == [1]
    assert states(once, [first]) == [JobStatus.SUCCESSFUL]
    assert fresh(once, [other])


def test_a_batch_that_fails_as_a_whole_is_run_one_by_one(
    batching: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    forecast = BasePredictor.forecast

    def fragile(predictor: BasePredictor, requests: list[ForecastRequest]) -> Iterator[ForecastEvent]:
        """Fail in the middle of a batch of several, and of each forecast of 4 steps."""
        sizes.append(len(requests))
        for count, event in enumerate(forecast(predictor, requests)):
            if count == 2 and (len(requests) > 1 or requests[0].steps == 4):
                raise RuntimeError("a failure of the whole batch")
            yield event

    monkeypatch.setattr(BasePredictor, "forecast", fragile)
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    jobs = [lab.upload(batching.ledger, batching.store, frames, steps=steps) for steps in (3, 4, 3)]
    run(jobs[0].id, batching)
    assert sizes == [3, 1, 1, 1]
    assert states(batching, jobs) == [JobStatus.SUCCESSFUL, JobStatus.ACCEPTED, JobStatus.SUCCESSFUL]
    assert rain_of(batching, jobs[2], tmp_path).sizes["time"] == 3


def test_the_time_limit_fails_who_used_it_up_and_the_others_run_again_alone(
    batching: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[int]
) -> None:
    limit = 900.0
    hasty = replace(batching, settings=batching.settings.model_copy(update={"job_time_limit_seconds": limit}))
    frames = frames_of(lab, tmp_path, count=3)
    jobs = [lab.upload(hasty.ledger, hasty.store, path) for path in frames[:3]]
    sandbox.start()
    receive, stuck_seconds = fork_server._receive, 0.0

    def stuck(*args: Any) -> bytes:
        nonlocal stuck_seconds
        if hasty.ledger.get(jobs[1].id).model_used is None and hasty.ledger.get(jobs[0].id).model_used is not None:
            stuck_seconds = limit
            signal.raise_signal(TIME_LIMIT_SIGNAL)
        return receive(*args)

    with monkeypatch.context() as patch:
        patch.setattr(fork_server, "_receive", stuck)
        patch.setattr(nowcast_job, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + stuck_seconds))
        run(jobs[0].id, hasty)
    first, second, third = after(hasty, jobs)
    assert second.problem is not None
    assert second.problem["code"] == "time-limit"
    assert [(job.status, job.attempt) for job in (first, third)] == [(JobStatus.ACCEPTED, 1)] * 2
    run(first.id, hasty)
    run(third.id, hasty)
    assert states(hasty, [first, third]) == [JobStatus.SUCCESSFUL] * 2
    assert batches == [1, 1]


def test_jobs_of_a_device_that_is_lost_are_given_back_until_their_attempts_are_used_up(
    batching: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forecast = BasePredictor.forecast

    def lost(predictor: BasePredictor, requests: list[ForecastRequest]) -> Iterator[ForecastEvent]:
        yield from list(forecast(predictor, requests))[:2]
        raise DeviceLost("CUDA failure 719")

    monkeypatch.setattr(BasePredictor, "forecast", lost)
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    jobs = [lab.upload(batching.ledger, batching.store, frames) for _ in range(3)]
    with caplog.at_level(logging.WARNING), pytest.raises(DeviceLost):
        run(jobs[0].id, batching)
    now = [(job.status, job.attempt, job.lease) for job in after(batching, jobs)]
    assert now == [(JobStatus.ACCEPTED, 1, None)] * 3
    assert not any(batching.store.exists(result_key(job.id)) for job in jobs)
    for _ in range(batching.settings.max_attempts - 1):
        with pytest.raises(DeviceLost):
            run(jobs[0].id, batching)
    problem = batching.ledger.get(jobs[0].id).problem
    assert problem is not None
    assert problem["code"] == "device-lost"
    assert states(batching, jobs[1:]) == [JobStatus.ACCEPTED] * 2


def test_the_ledger_records_where_the_time_went(batching: WorkerContext, lab, tmp_path: Path) -> None:
    jobs = [lab.upload(batching.ledger, batching.store, path) for path in frames_of(lab, tmp_path, count=3)]
    run(jobs[0].id, batching)
    for job in after(batching, jobs):
        assert job.finished is not None
        parts = (job.queue_seconds, job.read_seconds, job.compute_seconds, job.write_seconds)
        assert all(part is not None and part > 0 for part in parts)
        assert sum(part or 0 for part in parts) <= (job.finished - job.created).total_seconds()


def test_any_predictor_runs_in_a_batch_and_its_error_ends_one_nowcast(
    batching: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[int]
) -> None:
    predictor = FailingPredictor()
    monkeypatch.setattr(batching.models, "get", lambda info, patience=None: predictor)
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    jobs = [lab.upload(batching.ledger, batching.store, frames, steps=steps) for steps in (2, 4, 1)]
    run(jobs[0].id, batching)
    assert batches == [3]
    assert states(batching, jobs) == [JobStatus.SUCCESSFUL, JobStatus.ACCEPTED, JobStatus.SUCCESSFUL]
    assert rain_of(batching, jobs[0], tmp_path).attrs["model_variant"] == "fake"
