"""Feeds: one nowcast per new frame, in spite of any other file in the folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from sqlalchemy import select

from service.jobs.database import load
from service.jobs.feed_run import FeedRun, RegisteredFeed, RunState
from service.jobs.job import JobStatus
from service.settings import Settings
from tests.patience import WAIT_SECONDS
from workers import feeds
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.feeds import scan


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    """The folder of the feed `north`."""
    made = tmp_path / "frames"
    made.mkdir()
    settings.data_dir.mkdir(exist_ok=True)
    settings.feeds_path.write_text(f'[[feed]]\nname = "north"\nfolder = "{made}"\nmodel = "extrapolation"\nsteps = 2\n')
    return made


@pytest.fixture
def look(context: WorkerContext, lab) -> Callable[[], dict[str, FeedRun]]:
    """Scan the feeds, run all jobs, and return the state of each frame."""

    def do() -> dict[str, FeedRun]:
        scan(context)
        for job in reversed(lab.jobs(context.ledger, JobStatus.ACCEPTED)):
            run(job.id, context)
        return {run.frame: run for run in context.feed_ledger.runs("north")}

    return do


def nowcasts(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".npz.nowcast.nc") for path in folder.glob("*.nowcast.nc"))


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda job_id, **_: False)


def test_nowcasts_of_feeds_hold_probabilities_and_what_a_named_model_lacks_is_a_problem(
    folder: Path, settings: Settings, context: WorkerContext, look: Callable[[], dict[str, FeedRun]], lab
) -> None:
    for number in range(2):
        lab.write_frames(folder / f"{number}.npz", first=number)
    look()
    lab.write_frames(folder / "2.npz", first=2)
    look()
    with xr.open_dataset(folder / "2.npz.nowcast.nc") as forecast:
        assert forecast.threshold.values.tolist() == [0.1, 0.5, 2, 5, 10]
        assert "realization" not in forecast.dims
    with settings.feeds_path.open("a") as file:
        file.write('field = "sharp"\n')
    scan(context)
    [feed] = load(context.ledger.engine, select(RegisteredFeed))
    assert feed.problem is not None
    assert (feed.problem["where"], feed.problem["what"][:13]) == ("field", "extrapolation")


def test_each_new_frame_gets_its_own_nowcast_once(look, lab, folder: Path) -> None:
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
        look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f4"]
    runs = look()
    assert [runs[f"f{n}.npz"].state for n in range(5)] == [RunState.WAITING] + [RunState.SUBMITTED] * 4
    with xr.open_dataset(folder / "f4.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "extrapolation"
        assert str(forecast.forecast_reference_time.values).startswith("2026-06-01T12:20")
    assert all("nowcast" not in frame for frame in runs)


def test_frames_that_came_together_each_get_theirs(look, lab, folder: Path) -> None:
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f4"]


def test_of_a_backlog_only_the_newest_frame_is_forecast(look, lab, folder: Path) -> None:
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    runs = look()
    assert nowcasts(folder) == ["f4"]
    assert runs["f3.npz"].state is RunState.SKIPPED
    lab.write_frames(folder / "f5.npz", first=5)
    look()
    assert nowcasts(folder) == ["f4", "f5"]


def test_a_frame_that_cannot_be_read_fails_alone(look, lab, folder: Path) -> None:
    look()
    for n in range(8):
        if n == 4:
            (folder / "f4.npz").write_bytes(b"half a frame")
        else:
            lab.write_frames(folder / f"f{n}.npz", first=n)
        runs = look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f5", "f6", "f7"]
    assert runs["f4.npz"].status is JobStatus.FAILED
    assert runs["f4.npz"].problem is not None
    assert "f4.npz" in runs["f4.npz"].problem["where"]
    with xr.open_dataset(folder / "f5.npz.nowcast.nc") as forecast:
        assert "f4.npz" in forecast.attrs["comment"]


def test_a_failed_frame_that_is_sent_again_is_tried_again(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    (folder / "f3.npz").write_bytes(b"half a frame")
    look()
    assert nowcasts(folder) == ["f1", "f2"]
    lab.write_frames(folder / "f3.npz", first=3)
    runs = look()
    assert nowcasts(folder) == ["f1", "f2", "f3"]
    assert runs["f3.npz"].status is JobStatus.SUCCESSFUL


def test_a_frame_that_is_being_written_waits(
    look, lab, folder: Path, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    look()
    lab.write_frames(folder / "f0.npz", count=3)
    patient = replace(context, settings=context.settings.model_copy(update={"feed_settle_seconds": 60.0}))
    growing = folder / "f1.npz"
    growing.write_bytes(b"begun")
    now, whole = time.time(), False

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if not whole:
            growing.write_bytes(growing.read_bytes() + b"more")
            os.utime(growing, (now, now))

    monkeypatch.setattr(feeds, "time", SimpleNamespace(time=lambda: now, sleep=sleep))
    scan(patient)
    assert {run.frame for run in context.feed_ledger.runs("north")} == {"f0.npz"}
    whole = True
    scan(patient)
    assert {run.frame for run in context.feed_ledger.runs("north")} == {"f0.npz", "f1.npz"}


def test_two_scans_at_once_and_a_restart_make_nothing_twice(lab, folder: Path, context: WorkerContext) -> None:
    scan(context)
    other = open_context(context.settings)
    together = threading.Barrier(2)

    def scan_with(scanner: WorkerContext) -> None:
        together.wait(WAIT_SECONDS)
        scan(scanner)

    with ThreadPoolExecutor(2) as pool:
        for n in range(8):
            lab.write_frames(folder / f"f{n}.npz", first=n)
            list(pool.map(scan_with, (context, other)))
    other.ledger.close()
    jobs = lab.jobs(context.ledger)
    assert sorted(job.inputs[-1]["name"] for job in jobs) == [f"f{n}.npz" for n in range(8)]
    again = open_context(context.settings)
    scan(again)
    again.ledger.close()
    assert len(lab.jobs(context.ledger)) == len(jobs)


def test_an_existing_nowcast_is_left_alone(look, lab, folder: Path) -> None:
    lab.write_frames(folder / "f0.npz", count=3)
    (folder / "f0.npz.nowcast.nc").write_bytes(b"made before the ledger was lost")
    assert look()["f0.npz"].state is RunState.SKIPPED
    assert (folder / "f0.npz.nowcast.nc").read_bytes() == b"made before the ledger was lost"


def test_a_bad_feed_does_not_stop_a_good_one(look, lab, folder: Path, context: WorkerContext) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write('[[feed]]\nname = "bad"\nfolder = "/no/such/folder"\n')
        file.write(f'[[feed]]\nname = "worse"\nfolder = "{folder}"\nmodel = "no-such-model"\n')
    lab.write_frames(folder / "f0.npz", count=3)
    look()
    assert nowcasts(folder) == ["f0"]


def by_name(context: WorkerContext) -> dict[str, FeedRun]:
    return {run.frame: run for run in context.feed_ledger.runs("north")}


def reference(folder: Path, name: str) -> str:
    with xr.open_dataset(folder / f"{name}.npz.nowcast.nc") as forecast:
        return str(forecast.forecast_reference_time.values)[11:16]


@pytest.mark.parametrize("copied", [3, 1], ids=["the last frame again", "an earlier frame again"])
@pytest.mark.parametrize("together", [False, True])
def test_a_stale_frame_under_a_newer_name_is_not_forecast(look, lab, folder: Path, copied: int, together: bool) -> None:
    look()
    for n in range(4):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    if not together:
        look()
    lab.write_frames(folder / "f4.npz", first=copied)
    refused = look()["f4.npz"]
    assert nowcasts(folder) == ["f1", "f2", "f3"]
    assert (refused.state, refused.status) == (RunState.REFUSED, JobStatus.FAILED)
    assert refused.problem is not None
    assert refused.problem["code"] == "stale-frame"
    assert "is not later than that of" in refused.reason
    for n in (5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f5", "f6"]
    assert reference(folder, "f6") == "12:30"
    lab.write_frames(folder / "f4.npz", first=4)
    look()
    assert reference(folder, "f4") == "12:20"


def test_a_stale_frame_spoils_none_of_those_that_come_with_it(look, lab, folder: Path) -> None:
    look()
    for n in (0, 1, 2, 3, 5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    lab.write_frames(folder / "f4.npz", first=3)
    look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f5", "f6"]
    assert [reference(folder, name) for name in ("f5", "f6")] == ["12:25", "12:30"]


def test_a_stale_frame_is_known_after_the_frames_before_it_have_left(look, lab, folder: Path) -> None:
    look()
    lab.write_frames(folder / "f0.npz", first=10, count=3)
    look()
    (folder / "f0.npz").unlink()
    lab.write_frames(folder / "f1.npz", first=9, count=3)
    run = look()["f1.npz"]
    assert run.state is RunState.REFUSED
    assert nowcasts(folder) == ["f0"]


def test_a_stale_first_frame_of_a_feed_is_not_forecast(look, lab, folder: Path) -> None:
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    lab.write_frames(folder / "f3.npz", first=0, count=2)
    assert look()["f3.npz"].state is RunState.REFUSED
    assert nowcasts(folder) == []


@pytest.mark.parametrize("ahead", [3, 24 * 365 * 30])
def test_a_frame_ahead_of_the_clock_is_refused_and_spoils_no_other(look, lab, folder: Path, ahead: int) -> None:
    look()
    for n in (0, 1, 2):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    hours = (datetime.now(UTC) - datetime(2026, 6, 1, 12, tzinfo=UTC)) / timedelta(hours=1) + ahead
    lab.write_frames(folder / "f3.npz", first=round(hours * 12))
    refused = look()["f3.npz"]
    assert (refused.state, refused.status) == (RunState.REFUSED, JobStatus.FAILED)
    assert refused.problem is not None
    assert refused.problem["code"] == "future-frame"
    assert "ahead of this machine's clock" in refused.problem["what"]
    for n in (4, 5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    runs = look()
    assert nowcasts(folder)[-1] == "f6"
    assert reference(folder, "f6") == "12:30"
    assert runs["f6.npz"].state is RunState.SUBMITTED


def test_a_frame_that_is_issued_again_replaces_its_nowcast(look, lab, folder: Path, context: WorkerContext) -> None:
    look()
    for n in range(4):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    first = look()["f3.npz"]
    published = (folder / "f3.npz.nowcast.nc").read_bytes()
    lab.write_frames(folder / "f3.npz", first=3, rain=20)
    again = look()["f3.npz"]
    assert again.job_id != first.job_id
    assert again.status is JobStatus.SUCCESSFUL
    assert (folder / "f3.npz.nowcast.nc").read_bytes() != published
    assert reference(folder, "f3") == "12:15"
    assert look()["f3.npz"] == again


def test_of_frames_that_wait_the_newest_is_forecast_first_and_old_ones_not_at_all(
    lab, folder: Path, context: WorkerContext, caplog: pytest.LogCaptureFixture
) -> None:
    scan(context)
    for n in range(12):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
        scan(context)
    order = []
    for job in reversed(lab.jobs(context.ledger, JobStatus.ACCEPTED)):
        run(job.id, context)
        order += [name for name in nowcasts(folder) if name not in order]
    assert order == ["f11", "f10", "f09", "f08", "f07", "f06", "f05"]
    skipped = by_name(context)["f04.npz"]
    assert (skipped.state, skipped.status) == (RunState.SKIPPED, JobStatus.DISMISSED)
    assert skipped.reason == "it is 35 min older than f11.npz, which has a nowcast; max_age is 30 min"
    assert context.ledger.get(str(skipped.job_id)).note == skipped.reason


def test_a_long_backlog_is_skipped_unread(
    lab, folder: Path, context: WorkerContext, caplog: pytest.LogCaptureFixture
) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write("max_age = 2\n")
    scan(context)
    for n in range(3):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
    scan(context)
    waited = by_name(context)["f00.npz"]
    for n in range(3, 9):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
    scan(context)
    runs = by_name(context)
    assert [name for name, run in sorted(runs.items()) if run.state is RunState.SUBMITTED] == [
        f"f{n:02d}.npz" for n in range(4, 9)
    ]
    assert "max_age is 2 min" in runs["f03.npz"].reason
    assert runs["f00.npz"].state is RunState.SKIPPED
    assert context.ledger.get(str(waited.job_id)).status is JobStatus.DISMISSED
    assert "frame f03.npz is skipped: there are more than 4 newer frames" in caplog.text


def test_a_frame_that_comes_late_is_forecast_under_its_own_name(look, lab, folder: Path) -> None:
    look()
    for n in (0, 1, 2, 4, 5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    lab.write_frames(folder / "f3.npz", first=3)
    look()
    assert reference(folder, "f3") == "12:15"
    assert reference(folder, "f6") == "12:30"


def test_two_frames_with_one_valid_time_make_one_nowcast(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    lab.write_frames(folder / "f2b.npz", first=2)
    runs = look()
    assert sorted(name for name, run in runs.items() if run.status is JobStatus.SUCCESSFUL) == ["f1.npz", "f2.npz"]
    assert runs["f2b.npz"].state is RunState.REFUSED


def test_frames_every_minute_are_thinned_for_a_network(look, folder: Path, settings: Settings) -> None:
    settings.feeds_path.write_text(settings.feeds_path.read_text().replace("extrapolation", "auto"))
    rain = np.full((1, 48, 48), 2.0, np.float32)
    for minute in range(9):
        time = np.datetime64("2026-06-01T12:00") + np.timedelta64(minute, "m")
        np.savez(folder / f"f{minute}.npz", rain_rate=rain, times=np.array([time]))
    look()
    with xr.open_dataset(folder / "f8.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "rain-ms-predrnn"
        assert list(forecast.forecast_period.values / 60) == [2, 4]
        assert "selected from frames every 1 min" in forecast.attrs["comment"]


def test_the_log_warns_of_a_frame_that_cannot_be_read(look, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    look()
    (folder / "broken.nc").write_bytes(b"not a radar file")
    look()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("feed " in warning and ": broken.nc: " in warning for warning in warnings)
