"""Feeds: one nowcast per new frame, whatever else lies in the folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr

from service.jobs.feed_ledger import FeedRun, RunState
from service.jobs.ledger import JobStatus
from service.settings import Settings
from tests.patience import WAIT_SECONDS
from workers import feeds
from workers.batch import run
from workers.context import Context, open_context
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
def look(context: Context, lab) -> Callable[[], dict[str, FeedRun]]:
    """Scan the feeds, run what is to be run, and say what became of each frame."""

    def do() -> dict[str, FeedRun]:
        scan(context)
        for job in reversed(lab.jobs(context.ledger, JobStatus.ACCEPTED)):
            run(job.id, context)
        return {run.frame: run for run in context.feed_ledger.runs("north")}

    return do


def nowcasts(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".npz.nowcast.nc") for path in folder.glob("*.nowcast.nc"))


@pytest.fixture(autouse=True)
def _no_queue(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda job_id, **_: False)


def test_each_new_frame_gets_its_own_nowcast_once(look, lab, folder: Path) -> None:
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
        look()
    assert nowcasts(folder) == ["f2", "f3", "f4"]
    runs = look()
    assert [runs[f"f{n}.npz"].state for n in range(5)] == [RunState.WAITING] * 2 + [RunState.SUBMITTED] * 3
    with xr.open_dataset(folder / "f4.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "extrapolation"
        assert str(forecast.forecast_reference_time.values).startswith("2026-06-01T12:20")
    assert all("nowcast" not in frame for frame in runs)


def test_frames_that_came_together_each_get_theirs(look, lab, folder: Path) -> None:
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    assert nowcasts(folder) == ["f2", "f3", "f4"]


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
    assert nowcasts(folder) == ["f2", "f3", "f5", "f6", "f7"]
    assert runs["f4.npz"].status is JobStatus.FAILED
    assert runs["f4.npz"].problem is not None
    assert "f4.npz" in runs["f4.npz"].problem["where"]
    with xr.open_dataset(folder / "f5.npz.nowcast.nc") as forecast:
        assert "one is missing" in forecast.attrs["comment"]


def test_a_failed_frame_that_is_sent_again_is_tried_again(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    (folder / "f3.npz").write_bytes(b"half a frame")
    look()
    assert nowcasts(folder) == ["f2"]
    lab.write_frames(folder / "f3.npz", first=3)
    runs = look()
    assert nowcasts(folder) == ["f2", "f3"]
    assert runs["f3.npz"].status is JobStatus.SUCCESSFUL


def test_a_frame_that_is_being_written_waits(
    look, lab, folder: Path, context: Context, monkeypatch: pytest.MonkeyPatch
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


def test_two_scans_at_once_and_a_restart_make_nothing_twice(lab, folder: Path, context: Context) -> None:
    scan(context)
    other = open_context(context.settings)
    together = threading.Barrier(2)

    def scan_with(scanner: Context) -> None:
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


def test_a_nowcast_that_is_there_already_is_left_alone(look, lab, folder: Path) -> None:
    lab.write_frames(folder / "f0.npz", count=3)
    (folder / "f0.npz.nowcast.nc").write_bytes(b"made before the ledger was lost")
    assert look()["f0.npz"].state is RunState.SKIPPED
    assert (folder / "f0.npz.nowcast.nc").read_bytes() == b"made before the ledger was lost"


def test_a_bad_feed_does_not_stop_a_good_one(look, lab, folder: Path, context: Context) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write('[[feed]]\nname = "bad"\nfolder = "/no/such/folder"\n')
        file.write(f'[[feed]]\nname = "worse"\nfolder = "{folder}"\nmodel = "no-such-model"\n')
    lab.write_frames(folder / "f0.npz", count=3)
    look()
    assert nowcasts(folder) == ["f0"]
