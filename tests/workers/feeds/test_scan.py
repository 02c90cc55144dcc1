"""Feeds: one nowcast per new frame, by the valid time in the file, in spite of any other file in the folder."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from sqlalchemy import select, update

from service.feeds.lease import FeedLease
from service.feeds.tables import FeedFile, FeedRun, FileState, RegisteredFeed, RunState
from service.jobs.database import load
from service.jobs.job import JobStatus
from service.settings import Settings
from tests.packages import GRAPH, copied, damage
from tests.patience import WAIT_SECONDS
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.feeds import scan as scanning
from workers.feeds.scan import scan
from workers.feeds.sources import folder as folders
from workers.sweep import REMOVED_FEED_KEPT, sweep_feeds


@pytest.fixture
def feed_keys(tmp_path: Path) -> dict[str, object]:
    return {"out": str(tmp_path / "frames"), "steps": 2}


@dataclass
class Seen:
    """What a feed's ledger says: of the files by their names without suffix, and of the runs by their times."""

    files: dict[str, FeedFile]
    runs: dict[str, FeedRun]

    def states(self, *names: str) -> list[FileState]:
        return [self.files[name].state for name in names]


def seen(context: WorkerContext) -> Seen:
    ledger = context.feed_ledger
    files = {file.name.removesuffix(".npz"): file for file in ledger.newest_files("north", 100)}
    return Seen(files, {f"{run.reference_time:%H:%M}": run for run in ledger.runs("north")})


@pytest.fixture
def look(context: WorkerContext, lab) -> Callable[[], Seen]:
    """Scan the feeds, run all jobs, and return what the ledger says."""

    def do() -> Seen:
        scan(context)
        for job in reversed(lab.jobs(context.ledger, JobStatus.ACCEPTED)):
            run(job.id, context)
        return seen(context)

    return do


def nowcasts(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".npz.nowcast.nc") for path in folder.glob("*.nowcast.nc"))


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)


def test_nowcasts_of_feeds_hold_probabilities_and_what_a_named_model_lacks_is_a_problem(
    folder: Path, settings: Settings, context: WorkerContext, look: Callable[[], Seen], lab
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
    found = look()
    assert [found.runs[f"12:{5 * n:02d}"].state for n in range(5)] == [RunState.WAITING] + [RunState.SUBMITTED] * 4
    assert all(found.runs[f"12:{5 * n:02d}"].published for n in range(1, 5))
    with xr.open_dataset(folder / "f4.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "extrapolation"
        assert str(forecast.forecast_reference_time.values).startswith("2026-06-01T12:20")
    assert all("nowcast" not in name for name in found.files)


def test_frames_that_came_together_each_get_theirs(look, lab, folder: Path) -> None:
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f4"]


def test_of_a_backlog_only_the_newest_frame_is_forecast(look, lab, folder: Path) -> None:
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    assert list(look().runs) == ["12:20"]
    assert nowcasts(folder) == ["f4"]
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
        found = look()
    assert nowcasts(folder) == ["f1", "f2", "f3", "f5", "f6", "f7"]
    assert found.states("f4") == [FileState.UNREADABLE]
    assert "format is not supported" in found.files["f4"].reason
    assert str(folder) not in found.files["f4"].reason
    with xr.open_dataset(folder / "f5.npz.nowcast.nc") as forecast:
        assert "12:20" in forecast.attrs["comment"]


def test_a_file_that_was_unreadable_and_is_sent_again_is_read_again(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    (folder / "f3.npz").write_bytes(b"half a frame")
    look()
    assert nowcasts(folder) == ["f1", "f2"]
    lab.write_frames(folder / "f3.npz", first=3)
    found = look()
    assert nowcasts(folder) == ["f1", "f2", "f3"]
    assert found.states("f3") == [FileState.ACCEPTED]


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

    monkeypatch.setattr(folders, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(scanning, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep))
    scan(patient)
    assert set(seen(context).files) == {"f0"}
    whole = True
    scan(patient)
    assert set(seen(context).files) == {"f0", "f1"}


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


def test_a_file_that_each_frame_overwrites_has_the_nowcast_of_its_newest_frame(look, lab, folder: Path) -> None:
    lab.write_frames(folder / "latest.npz", count=2)
    look()
    for n in range(2, 5):
        lab.write_frames(folder / "latest.npz", first=n)
        look()
        assert reference(folder, "latest") == f"12:{5 * n:02d}"
    lab.write_frames(folder / "latest.npz", first=3, rain=20)
    assert look().runs["12:15"].revision == 1
    assert reference(folder, "latest") == "12:20", "an older frame that is issued again leaves the newer nowcast"


def test_a_correction_counts_after_the_original_whatever_their_names(look, lab, folder: Path) -> None:
    look()
    lab.write_frames(folder / "f0.npz", first=0)
    lab.write_frames(folder / "f1.npz", first=1)
    lab.write_frames(folder / "f1-corrected.npz", first=1, rain=20)
    assert look().states("f1", "f1-corrected") == [FileState.ACCEPTED, FileState.REISSUED]


def write_every_minute(folder: Path) -> None:
    rain = np.full((1, 48, 48), 2.0, np.float32)
    for minute in range(9):
        valid = np.datetime64("2026-06-01T12:00") + np.timedelta64(minute, "m")
        np.savez(folder / f"f{minute}.npz", rain_rate=rain, times=np.array([valid]))


def test_a_bad_feed_does_not_stop_a_good_one(look, lab, folder: Path, context: WorkerContext) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write('[[feed]]\nname = "bad"\nfolder = "/no/such/folder"\n')
        file.write(f'[[feed]]\nname = "worse"\nfolder = "{folder}"\nmodel = "no-such-model"\n')
    lab.write_frames(folder / "f0.npz", count=3)
    look()
    assert nowcasts(folder) == ["f0"]


def reference(folder: Path, name: str) -> str:
    with xr.open_dataset(folder / f"{name}.npz.nowcast.nc") as forecast:
        return str(forecast.forecast_reference_time.values)[11:16]


@pytest.mark.parametrize("copied", [3, 1], ids=["the last frame again", "an earlier frame again"])
@pytest.mark.parametrize("together", [False, True])
def test_a_frame_that_comes_again_under_a_newer_name_is_a_duplicate(
    look, lab, folder: Path, copied: int, together: bool
) -> None:
    look()
    for n in range(4):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    if not together:
        look()
    lab.write_frames(folder / "f4.npz", first=copied)
    found = look()
    # Of a backlog the files that were written last are read first: of two with one frame the other is the duplicate.
    again, once = ("f1", "f4") if together and copied == 1 else ("f4", f"f{copied}")
    assert [time for time, run in sorted(found.runs.items()) if run.published] == ["12:05", "12:10", "12:15"]
    assert found.states(again) == [FileState.DUPLICATE]
    assert found.files[again].reason == f"{once}.npz has the same frame"
    for n in (5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
    assert len(nowcasts(folder)) == 5
    assert reference(folder, "f6") == "12:30"
    lab.write_frames(folder / "f4.npz", first=4)
    look()
    assert reference(folder, "f4") == "12:20"


def test_files_are_known_by_their_times_not_by_their_names(look, lab, folder: Path) -> None:
    look()
    for n, name in enumerate(["z", "m", "a", "k"]):
        lab.write_frames(folder / f"{name}.npz", first=n)
        look()
    assert nowcasts(folder) == ["a", "k", "m"]
    assert [reference(folder, name) for name in ("m", "a", "k")] == ["12:05", "12:10", "12:15"]


def test_frames_outlive_their_files(look, lab, folder: Path) -> None:
    look()
    for n in range(4):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
        (folder / f"f{n}.npz").unlink()
    assert nowcasts(folder) == ["f1", "f2", "f3"]


@pytest.mark.parametrize("ahead", [3, 24 * 365 * 30])
def test_a_frame_ahead_of_the_clock_is_refused_and_spoils_no_other(look, lab, folder: Path, ahead: int) -> None:
    look()
    for n in (0, 1, 2):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    hours = (datetime.now(UTC) - datetime(2026, 6, 1, 12, tzinfo=UTC)) / timedelta(hours=1) + ahead
    lab.write_frames(folder / "f3.npz", first=round(hours * 12))
    refused = look().files["f3"]
    assert refused.state is FileState.REFUSED
    assert "ahead of this machine's clock" in refused.reason
    for n in (4, 5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    found = look()
    assert nowcasts(folder)[-1] == "f6"
    assert reference(folder, "f6") == "12:30"
    assert found.states("f4", "f5", "f6") == [FileState.ACCEPTED] * 3


def test_a_frame_that_is_too_late_but_not_ahead_of_the_clock_is_refused_once(
    lab, folder: Path, context: WorkerContext
) -> None:
    now = (datetime.now(UTC) - datetime(2026, 6, 1, 12, tzinfo=UTC)) // timedelta(minutes=5)
    for n in range(-6, -1):
        lab.write_frames(folder / f"f{n}.npz", first=now + n)
    scan(context)
    lab.write_frames(folder / "wrong.npz", first=now)
    scan(context)
    found = seen(context)
    assert found.states("wrong") == [FileState.REFUSED]
    assert "is too late: it arrived" in found.files["wrong"].reason
    lab.write_frames(folder / "f-1.npz", first=now - 1)
    scan(context)
    assert seen(context).states("f-1", "wrong") == [FileState.ACCEPTED, FileState.REFUSED]
    lab.write_frames(folder / "again.npz", first=now + 1)
    scan(context)
    lab.write_frames(folder / "faster.npz", first=now + 2)
    scan(context)
    assert seen(context).states("faster") == [FileState.ACCEPTED], "the radar has become faster"


@pytest.mark.parametrize("name", ["f3", "f3-corrected"])
def test_a_frame_that_is_issued_again_replaces_its_nowcast(look, lab, folder: Path, name: str) -> None:
    look()
    for n in range(4):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    first = look().runs["12:15"]
    published = (folder / "f3.npz.nowcast.nc").read_bytes()
    lab.write_frames(folder / f"{name}.npz", first=3, rain=20)
    found = look()
    again = found.runs["12:15"]
    assert found.states(name) == [FileState.REISSUED]
    assert again.job_id != first.job_id
    assert (again.status, again.revision) == (JobStatus.SUCCESSFUL, 1)
    assert (folder / f"{name}.npz.nowcast.nc").read_bytes() != published
    assert reference(folder, name) == "12:15"
    assert look().runs["12:15"] == again


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
    skipped = seen(context).runs["12:20"]
    assert (skipped.state, skipped.status) == (RunState.SKIPPED, JobStatus.DISMISSED)
    assert skipped.reason == "its frame is 35 min older than the newest; max_age is 30 min"
    assert context.ledger.get(str(skipped.job_id)).note == skipped.reason


def test_a_long_backlog_is_skipped_unread(
    lab, folder: Path, context: WorkerContext, caplog: pytest.LogCaptureFixture
) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write("max_age = 2\nframes = 3\n")
    lab.write_frames(folder / "f00.npz", first=0)
    scan(context)
    for n in range(1, 9):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
    scan(context)
    found = seen(context)
    skipped = [name for name, file in sorted(found.files.items()) if file.state is FileState.SKIPPED]
    assert skipped == ["f01", "f02", "f03"]
    assert found.files["f03"].reason == "there are more than 5 newer files"
    assert {time: run.state for time, run in found.runs.items()} == {
        "12:40": RunState.SUBMITTED,
        **dict.fromkeys(("12:35", "12:30", "12:25", "12:20"), RunState.SKIPPED),
        "12:00": RunState.SUBMITTED,
    }


def test_a_backlog_does_not_delay_the_newest_frame(
    lab, folder: Path, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(context)
    lab.write_frames(folder / "f00.npz", first=0)
    scan(context)
    for n in range(1, 8):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
    read_before: list[tuple[str, int]] = []

    def enqueue(job_id: str, *_: object) -> bool:
        name = context.ledger.get(job_id).inputs[-1]["name"]
        read_before.append((name, len(context.feed_ledger.known_files("north"))))
        return False

    monkeypatch.setattr(context.queue, "enqueue", enqueue)
    scan(context)
    assert read_before[0] == ("f07.npz", 1 + 3), "extrapolation reads three frames"
    assert sorted(name for name, _ in read_before) == [f"f{n:02d}.npz" for n in range(1, 8)]
    assert seen(context).states("f01", "f04", "f07") == [FileState.ACCEPTED] * 3


def test_the_rest_of_a_backlog_is_read_after_the_nowcasts(
    lab, folder: Path, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write_frames(folder / "f0.npz", first=0)
    scan(context)
    for n in range(1, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    asked: list[tuple[str, bool]] = []

    def scan_feed(feed: str, *, rest: bool = False) -> bool:
        asked.append((feed, rest))
        return True

    monkeypatch.setattr(context.queue, "scan_feed", scan_feed)
    scan(context)
    assert asked == [("north", True)]
    assert set(seen(context).files) == {"f0", "f3", "f4", "f5"}
    assert {job.inputs[-1]["name"] for job in lab.jobs(context.ledger)} == {"f0.npz", "f5.npz"}
    scan(context, ["north"])
    assert len(asked) == 1, "nothing is left"
    assert len(lab.jobs(context.ledger)) == 6


def test_what_cannot_be_read_within_a_scan_is_left_to_the_next_one(lab, folder: Path, context: WorkerContext) -> None:
    hurried = replace(context, settings=context.settings.model_copy(update={"feed_scan_seconds": 1e-9}))
    lab.write_frames(folder / "f0.npz", first=0)
    scan(context)
    for n in range(1, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    for expected in (["f3", "f4", "f5"], ["f1", "f2", "f3", "f4", "f5"]):
        scan(hurried)
        assert sorted(set(seen(context).files) - {"f0"}) == expected
    assert sorted(job.inputs[-1]["name"] for job in lab.jobs(context.ledger)) == [f"f{n}.npz" for n in range(6)]


def test_a_feed_is_scanned_by_one_process_at_a_time(lab, folder: Path, context: WorkerContext) -> None:
    scan(context)
    lab.write_frames(folder / "f0.npz", first=0)
    lease = partial(FeedLease, context.ledger.engine, "north", RegisteredFeed.scan_until)
    with lease(60) as other:
        assert other.held
        scan(context)
        assert seen(context).files == {}
    scan(context)
    assert list(seen(context).files) == ["f0"]
    killed = lease(3600)
    killed._end = lambda: datetime.now(UTC) - timedelta(seconds=1)  # its process was killed some time ago
    with killed, lease(60) as next_one:
        assert next_one.held


def test_feeds_whose_files_are_being_written_wait_together(
    lab, folder: Path, tmp_path: Path, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with context.settings.feeds_path.open("a") as file:
        for name in ("south", "west"):
            (tmp_path / name).mkdir()
            file.write(f'[[feed]]\nname = "{name}"\nfolder = "{tmp_path / name}"\n')
    patient = replace(context, settings=context.settings.model_copy(update={"feed_settle_seconds": 60.0}))
    for where in (folder, tmp_path / "south", tmp_path / "west"):
        lab.write_frames(where / "f0.npz")
    slept, now = [], time.time()
    monkeypatch.setattr(folders, "time", SimpleNamespace(time=lambda: now + sum(slept)))
    monkeypatch.setattr(scanning, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append))
    scan(patient)
    assert slept == [60]
    assert all(context.feed_ledger.newest_time(feed) for feed in ("north", "south", "west"))


def test_a_frame_that_comes_late_is_forecast_under_its_own_time(look, lab, folder: Path) -> None:
    look()
    for n in (0, 1, 2, 4, 5, 6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    lab.write_frames(folder / "zz.npz", first=3)
    assert look().states("zz") == [FileState.LATE]
    assert reference(folder, "zz") == "12:15"
    assert reference(folder, "f6") == "12:30"


def test_a_frame_that_comes_later_than_max_age_is_skipped_and_said(look, lab, folder: Path) -> None:
    lab.write_frames(folder / "f0.npz", first=0)
    look()
    for n in (2, 3, 12):
        lab.write_frames(folder / f"f{n:02d}.npz", first=n)
        look()
    lab.write_frames(folder / "f01.npz", first=1)
    found = look()
    assert found.states("f01") == [FileState.LATE]
    assert found.runs["12:05"].state is RunState.SKIPPED
    assert "newer by more than 30 min" in found.runs["12:05"].reason
    assert "f01" not in nowcasts(folder)


def test_two_files_with_one_frame_make_one_nowcast(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    lab.write_frames(folder / "f2b.npz", first=2)
    found = look()
    assert nowcasts(folder) == ["f1", "f2"]
    assert found.states("f2", "f2b") == [FileState.ACCEPTED, FileState.DUPLICATE]


def test_a_frame_of_another_grid_is_context_of_none_but_its_own(look, lab, folder: Path) -> None:
    look()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    lab.write_frames(folder / "f3.npz", first=3, size=32)
    look()
    lab.write_frames(folder / "f4.npz", first=4)
    found = look()
    assert nowcasts(folder) == ["f1", "f2", "f4"]
    assert found.runs["12:15"].state is RunState.WAITING


@pytest.mark.parametrize(("model", "why"), [("no-such-model", "no model"), ("rain-ms-predrnn", "does not fit")])
def test_extrapolation_runs_where_the_model_is_missing_or_does_not_fit(
    look, lab, folder: Path, settings: Settings, model: str, why: str
) -> None:
    settings.feeds_path.write_text(settings.feeds_path.read_text().replace('"extrapolation"', f'"{model}"'))
    look()
    for n in range(2):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    assert look().runs["12:05"].published
    with xr.open_dataset(folder / "f1.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "extrapolation"
        assert why in forecast.attrs["comment"]
        assert "extrapolation runs in its place" in forecast.attrs["comment"]


def test_extrapolation_runs_where_the_model_fails(
    look, lab, folder: Path, settings: Settings, context: WorkerContext
) -> None:
    packages = settings.packages_folder
    broken = copied(packages, "mine@1")
    settings.feeds_path.write_text(settings.feeds_path.read_text().replace('"extrapolation"', '"mine"'))
    damage(broken / GRAPH)
    look()
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    look()
    look()
    with xr.open_dataset(folder / "f4.npz.nowcast.nc") as forecast:
        assert forecast.attrs["model"] == "extrapolation"
        assert "mine failed: " in forecast.attrs["comment"]


def test_frames_are_deleted_after_their_retention(look, lab, folder: Path, context: WorkerContext) -> None:
    with context.settings.feeds_path.open("a") as file:
        file.write(f"retention = {10 / 1440}\nmax_age = 5\n")
    for n in range(5):
        lab.write_frames(folder / f"f{n}.npz", first=n)
        look()
    kept = [f"{frame.valid_time:%H:%M}" for frame in context.feed_ledger.frames("north")]
    assert kept == ["12:20", "12:15", "12:10"]
    stored = sorted(path.parent.name for path in (context.settings.data_dir / "store").glob("feeds/north/frames/*/*"))
    assert stored == ["20260601T121000Z", "20260601T121500Z", "20260601T122000Z"]


def test_a_feed_that_leaves_the_file_is_forgotten_after_a_while(
    lab, folder: Path, context: WorkerContext, settings: Settings
) -> None:
    lab.write_frames(folder / "f0.npz", count=3)
    scan(context)
    configured = settings.feeds_path.read_text()
    stored = settings.data_dir / "store" / "feeds" / "north"

    def swept(text: str, *, after: timedelta) -> bool:
        settings.feeds_path.write_text(text)
        with context.ledger.engine.begin() as connection:
            connection.execute(update(RegisteredFeed).values(last_scan=datetime.now(UTC) - after))
        sweep_feeds(context)
        return not list(stored.rglob("*.nc"))

    assert not swept(configured, after=2 * REMOVED_FEED_KEPT)
    assert not swept(configured + "colour = 3\n", after=2 * REMOVED_FEED_KEPT), "it may be this feed that is wrong"
    assert not swept("", after=REMOVED_FEED_KEPT / 2)
    assert swept("", after=2 * REMOVED_FEED_KEPT)
    assert context.feed_ledger.registered("north") is None
    assert (seen(context).files, seen(context).runs) == ({}, {})


def test_the_file_of_feeds_is_read_again_at_each_scan(
    lab, folder: Path, tmp_path: Path, context: WorkerContext, settings: Settings
) -> None:
    scan(context)
    other = tmp_path / "other"
    other.mkdir()
    lab.write_frames(other / "f0.npz", count=3)
    settings.feeds_path.write_text(f'[[feed]]\nname = "south"\nfolder = "{other}"\n')
    lab.write_frames(folder / "f0.npz", count=3)
    scan(context)
    assert context.feed_ledger.newest_time("south") is not None
    assert context.feed_ledger.newest_time("north") is None


def test_lead_time_ends_there_where_a_network_thins_its_frames(look, folder: Path, settings: Settings) -> None:
    text = settings.feeds_path.read_text().replace("extrapolation", "auto")
    settings.feeds_path.write_text(text.replace("steps = 2", 'lead_time = 4\nclock = "frames"'))
    write_every_minute(folder)
    look()
    with xr.open_dataset(folder / "f8.npz.nowcast.nc") as forecast:
        assert list(forecast.forecast_period.values / 60) == [2, 4]


def test_frames_every_minute_are_thinned_for_a_network(look, folder: Path, settings: Settings) -> None:
    settings.feeds_path.write_text(settings.feeds_path.read_text().replace("extrapolation", "auto"))
    write_every_minute(folder)
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
    assert any("feed north: broken.nc: " in warning for warning in warnings)
