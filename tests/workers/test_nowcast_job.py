"""One job, run in this process."""

from __future__ import annotations

import io
import logging
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

from model.core.catalog import SHIPPED_PACKAGES
from model.core.forecast_output import ForecastOutput
from service.jobs.job import Job, JobStatus
from service.problem_details import problem_type
from service.store import input_key, job_prefix, result_key
from workers import nowcast_job, sandbox
from workers.batch import run
from workers.context import WorkerContext
from workers.publish import CannotPublish, put_file
from workers.sandbox import fork_server


def finished(context: WorkerContext, job: Job) -> Job:
    run(job.id, context)
    return context.ledger.get(job.id)


def test_a_job_ends_with_its_result_and_its_frames_in_the_store(context: WorkerContext, lab, tmp_path: Path) -> None:
    frames = [lab.write_frames(tmp_path / f"{n}.npz", first=n) for n in (2, 0, 1)]
    done = finished(context, lab.upload(context.ledger, context.store, *frames, steps=4))
    assert done.status is JobStatus.SUCCESSFUL
    assert (done.model_used, done.progress_done, done.progress_total) == ("extrapolation@1", 4, 4)
    assert (done.result_key, done.input_key) == (result_key(done.id), input_key(done.id))
    with xr.open_dataset(context.store.fetch(done.result_key, tmp_path / "result.nc")) as forecast:
        assert forecast.rainfall_rate.shape == (4, 48, 48)
        assert forecast.attrs["model"] == "extrapolation"
        assert forecast.time.values[0] == np.datetime64("2026-06-01T12:15:00")
    with xr.open_dataset(context.store.fetch(done.input_key, tmp_path / "input.nc")) as used:
        assert used.rainfall_rate.shape == (3, 48, 48)


def test_the_cap_of_reflectivity_is_the_settings(context: WorkerContext, tmp_path: Path, lab) -> None:
    frames = []
    for number in range(3):
        dbz = np.full((1, 48, 48), -32, np.float32)
        dbz[:, 10:20, 10:20] = 78
        time = np.datetime64("2026-06-01T12:00") + number * np.timedelta64(5, "m")
        np.savez(tmp_path / f"{number}.npz", reflectivity=dbz, times=np.array([time]))
        frames.append(tmp_path / f"{number}.npz")
    for cap, peak in ((None, 99.85), (53.0, 74.88)):
        settings = context.settings.model_copy(update={} if cap is None else {"max_dbz": cap})
        capped = WorkerContext(**{**context.__dict__, "settings": settings})
        done = finished(capped, lab.upload(context.ledger, context.store, *frames))
        with xr.open_dataset(context.store.fetch(done.input_key, tmp_path / f"{peak}.nc")) as used:
            assert float(used.rainfall_rate.max()) == pytest.approx(peak, abs=0.01)
            assert used.attrs["max_dbz"] == f"{cap or 55:g}"
            assert used.attrs["capped_pixels"] == "300"


def test_a_broken_file_among_good_ones_is_left_out_and_noted(context: WorkerContext, lab, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 this is no archive")
    frames = [lab.write_frames(tmp_path / f"{n}.npz", first=n) for n in range(3)]
    done = finished(context, lab.upload(context.ledger, context.store, *frames, tmp_path / "broken.npz"))
    assert done.status is JobStatus.SUCCESSFUL
    assert "left out: broken.npz (" in done.note


def test_a_broken_file_without_enough_others_is_named(context: WorkerContext, lab, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 this is no archive")
    frame = lab.write_frames(tmp_path / "0.npz", count=1)
    failed = finished(context, lab.upload(context.ledger, context.store, frame, tmp_path / "broken.npz"))
    assert failed.status is JobStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == "not-a-radar-file"
    assert "broken.npz" in failed.problem["where"]
    assert failed.problem["hint"]


@pytest.mark.parametrize(
    ("count", "options", "code"),
    [
        (1, {}, "too-few-frames"),
        (3, {"steps": 500}, "steps-out-of-range"),
        (3, {"model": "no-such-model"}, "unknown-model"),
    ],
)
def test_a_wrong_request_fails_with_its_code(
    context: WorkerContext, lab, tmp_path: Path, count: int, options: dict, code: str
) -> None:
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=count), **options)
    failed = finished(context, job)
    assert failed.status is JobStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == code


def write_declared(path: Path, *shape: int) -> Path:
    """An .npz that only declares rain of that shape: reading it would find it cut short."""
    with zipfile.ZipFile(path, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        archive.writestr("rain_rate.npy", header.getvalue())
        times = io.BytesIO()
        np.save(times, np.datetime64("2026-06-01T12:00:00") + np.arange(shape[0]) * np.timedelta64(300, "s"))
        archive.writestr("times.npy", times.getvalue())
    return path


@pytest.mark.parametrize("kind", ["upload", "feed"])
def test_too_many_pixels_are_refused_unread(context: WorkerContext, lab, tmp_path: Path, kind: str) -> None:
    small = type(context)(
        **{**context.__dict__, "settings": context.settings.model_copy(update={"max_pixels": 10_000})}
    )
    declared = write_declared(tmp_path / "a.npz", 3, 100, 100)
    job = lab.upload(context.ledger, context.store, declared, feed="north" if kind == "feed" else None)
    failed = finished(small, job)
    assert failed.problem is not None
    assert failed.problem["code"] == "too-large"
    assert Path(failed.problem["where"]).name == "a.npz"
    assert problem_type("too-large").status == 413


def test_pixels_are_counted_over_all_files(context: WorkerContext, lab, tmp_path: Path) -> None:
    frames = [lab.write_frames(tmp_path / f"{n}.npz", first=n, size=50) for n in range(4)]
    for max_pixels, status in ((9_999, JobStatus.FAILED), (10_000, JobStatus.SUCCESSFUL)):
        settings = context.settings.model_copy(update={"max_pixels": max_pixels})
        some = type(context)(**{**context.__dict__, "settings": settings})
        assert finished(some, lab.upload(context.ledger, context.store, *frames)).status is status


def test_the_default_model_falls_back_and_notes_why(context: WorkerContext, lab, tmp_path: Path) -> None:
    if not SHIPPED_PACKAGES.is_dir():
        pytest.skip("no model package is shipped yet")
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3), model="auto")
    done = finished(context, job)
    assert done.status is JobStatus.SUCCESSFUL
    assert done.model_used == "extrapolation@1"
    assert "does not fit" in done.note


def test_what_a_fallback_cannot_give_is_left_out_and_noted(context: WorkerContext, lab, tmp_path: Path) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    job = lab.upload(context.ledger, context.store, frames, model="auto", output=ForecastOutput(field="sharp"))
    done = finished(context, job)
    assert (done.status, done.model_used) == (JobStatus.SUCCESSFUL, "extrapolation@1")
    assert "extrapolation@1 forecasts a single field, and no sharp one" in done.note
    with xr.open_dataset(context.store.fetch(done.result_key, tmp_path / "result.nc")) as forecast:
        assert "no sharp one" in forecast.attrs["comment"]


def test_a_model_that_was_named_fails_where_it_cannot_give_what_was_asked(
    context: WorkerContext, lab, tmp_path: Path
) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    failed = finished(context, lab.upload(context.ledger, context.store, frames, output=ForecastOutput(field="sharp")))
    assert failed.problem is not None
    assert (failed.problem["where"], failed.status) == ("field", JobStatus.FAILED)


def test_more_pixels_of_members_than_the_limit_are_refused_with_the_most(
    context: WorkerContext, lab, tmp_path: Path
) -> None:
    settings = context.settings.model_copy(update={"max_member_pixels": 3 * 48 * 48 * 5})
    limited = WorkerContext(**{**context.__dict__, "settings": settings})
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    output = ForecastOutput(members=20)
    failed = finished(limited, lab.upload(context.ledger, context.store, frames, steps=3, output=output))
    assert failed.problem is not None
    assert (failed.problem["code"], failed.problem["where"]) == ("too-large", "members")
    assert "at most 5 members" in failed.problem["hint"]


def test_an_internal_error_is_logged_and_reported_without_details(
    context: WorkerContext, lab, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nowcast_job, "check_opens", lambda path, shape: 1 / 0)
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    with caplog.at_level(logging.ERROR):
        for attempt in range(1, context.settings.max_attempts):
            again = finished(context, job)
            assert (again.status, again.attempt, again.problem) == (JobStatus.ACCEPTED, attempt, None)
        failed = finished(context, job)
    assert failed.status is JobStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == "internal"
    assert "ZeroDivision" not in str(failed.problem)
    assert "ZeroDivisionError" in caplog.text
    assert job.id in caplog.text


def test_a_store_that_fails_for_a_while_costs_an_attempt_and_not_the_nowcast(
    context: WorkerContext, lab, tmp_path: Path
) -> None:
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    folder = context.settings.data_dir / "store" / job_prefix(job.id)
    folder.rename(tmp_path / "away")
    folder.write_text("where the job's folder should be")
    assert finished(context, job).status is JobStatus.ACCEPTED
    folder.unlink()
    (tmp_path / "away").rename(folder)
    done = finished(context, job)
    assert (done.status, done.attempt, done.problem) == (JobStatus.SUCCESSFUL, 2, None)


@pytest.fixture
def _pool_handlers() -> Iterator[None]:
    """The signal of the time limit has the handler of Celery's pool."""
    before = signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
    yield
    signal.signal(SIG_SOFT_TIMEOUT, before)


@pytest.mark.usefixtures("_pool_handlers")
@pytest.mark.parametrize("kind", ["upload", "feed"])
def test_a_time_limit_while_a_file_is_read_is_reported_as_such(
    context: WorkerContext, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    job = lab.upload(context.ledger, context.store, frames, feed="north" if kind == "feed" else None)
    sandbox.start()
    receive = fork_server._receive

    def slow_receive(*args: Any) -> bytes:
        signal.raise_signal(SIG_SOFT_TIMEOUT)
        return receive(*args)

    monkeypatch.setattr(fork_server, "_receive", slow_receive)
    failed = finished(context, job)
    assert failed.problem is not None
    assert failed.problem["code"] == "time-limit"
    assert signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler


def test_a_second_finisher_takes_the_first_ones_result(context: WorkerContext, lab, tmp_path: Path) -> None:
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    context.store.put(result_key(job.id), b"of the worker that died before it could say so")
    done = finished(context, job)
    assert done.status is JobStatus.SUCCESSFUL
    assert context.store.get(result_key(job.id)) == b"of the worker that died before it could say so"


def test_a_job_runs_once_however_often_it_is_queued(context: WorkerContext, lab, tmp_path: Path) -> None:
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    first = finished(context, job)
    again = finished(context, job)
    assert first == again
    assert again.attempt == 1


def test_a_dismissed_job_does_not_start(context: WorkerContext, lab, tmp_path: Path) -> None:
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
    context.ledger.dismiss(job.id)
    assert finished(context, job).status is JobStatus.DISMISSED
    assert not context.store.exists(result_key(job.id))


def test_a_feeds_nowcast_is_written_to_its_output(context: WorkerContext, lab, tmp_path: Path) -> None:
    output = tmp_path / "a.npz.nowcast.nc"
    frames = lab.write_frames(tmp_path / "a.npz", count=3)
    done = finished(context, lab.upload(context.ledger, context.store, frames, feed="north", file=output))
    assert done.status is JobStatus.SUCCESSFUL
    assert output.read_bytes() == context.store.get(str(done.result_key))


def test_a_feeds_nowcast_is_tried_again_after_its_folder_was_missing(
    context: WorkerContext, lab, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    frame = lab.write_frames(tmp_path / "a.npz", count=3)
    job = lab.upload(context.ledger, context.store, frame, feed="north", file=folder / "a.nc")
    assert finished(context, job).status is JobStatus.ACCEPTED
    folder.mkdir()
    assert finished(context, job).status is JobStatus.SUCCESSFUL
    assert (folder / "a.nc").is_file()
    job = lab.upload(context.ledger, context.store, frame, feed="north", file=tmp_path / "nowhere" / "a.nc")
    for _ in range(context.settings.max_attempts):
        failed = finished(context, job)
    assert failed.problem is not None
    assert failed.problem["code"] == "cannot-publish"


def test_a_file_is_put_whole_and_leaves_no_part_behind(tmp_path: Path) -> None:
    target = tmp_path / "out" / "x.nc"
    target.parent.mkdir()
    (target.parent / ".x.nc.0123.part").write_bytes(b"of a worker that was killed")
    for content in (b"first", b"second"):
        (tmp_path / "source").write_bytes(content)
        put_file(tmp_path / "source", target)
        assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["x.nc"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(CannotPublish, match="nowhere"):
        put_file(tmp_path / "source", tmp_path / "nowhere" / "x.nc")
