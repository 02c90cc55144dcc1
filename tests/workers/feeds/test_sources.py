"""Sources of feeds beside a folder, and what is kept of their frames."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import xarray as xr

from service.feeds.config import Feed
from service.feeds.tables import FileState
from workers.batch import run
from workers.context import WorkerContext
from workers.feeds.scan import scan
from workers.feeds.sources.object_store import LEAST_SPAN, ListedTimes, SourceUnavailable, StoreSource, listed_times

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)


@pytest.fixture
def feed_keys() -> dict[str, object]:
    return {"folder": None, "steps": 2, "clock": "frames"}


def test_frames_filed_by_day_are_read_and_forecast(
    lab, tmp_path: Path, configure: Callable[..., Feed], context: WorkerContext
) -> None:
    archive = tmp_path / "archive"
    for day in ("2026/05/31", "2026/06/01"):
        (archive / day).mkdir(parents=True)
    configure(url=f"file://{archive}/%Y/%m/%d", pattern="*.npz", out=str(tmp_path))
    for n in range(3):
        lab.write_frames(archive / "2026/06/01" / f"f{n}.npz", first=n)
    (archive / "2026/06/01" / "readme.txt").write_text("no frame")
    scan(context)
    lab.write_frames(archive / "2026/06/01" / "f3.npz", first=3)
    lab.write_frames(archive / "2026/05/31" / "late.npz", first=-2)
    scan(context)
    states = {file.name: file.state for file in context.feed_ledger.newest_files("north", 10)}
    day = "2026/06/01"
    assert states.pop("2026/05/31/late.npz", None) in (None, FileState.LATE), "its day ends three hours before noon"
    assert states == {f"{day}/f{n}.npz": FileState.ACCEPTED for n in range(4)}
    [job] = [job for job in lab.jobs(context.ledger) if job.inputs[-1]["name"] == f"{day}/f3.npz"]
    run(job.id, context)
    assert (tmp_path / "f3.npz.nowcast.nc").exists()


def test_only_the_folders_of_the_newest_times_are_listed(lab, tmp_path: Path) -> None:
    for hour in range(8, 14):
        (tmp_path / f"20260601-{hour:02d}").mkdir()
        lab.write_frames(tmp_path / f"20260601-{hour:02d}" / "f.npz")
    feed = Feed(name="north", url="s3://radar/%Y")
    times = ListedTimes(NOON - LEAST_SPAN, NOON)
    source = StoreSource(f"file://{tmp_path}/%Y%m%d-%H", "*", times, 0)
    assert [file.name[:11] for file in source.list().files] == [f"20260601-{hour:02d}" for hour in (9, 10, 11, 12)]
    newest = listed_times(feed, None)
    assert newest is not None
    assert timedelta() <= datetime.now(UTC) - newest.last < timedelta(minutes=1)


def test_a_store_that_does_not_answer_is_a_problem_of_its_feed(
    tmp_path: Path, configure: Callable[..., Feed], context: WorkerContext
) -> None:
    configure(url=f"file://{tmp_path}/nowhere/%Y")
    scan(context)
    registered = context.feed_ledger.registered("north")
    assert registered is not None
    assert registered.problem is not None
    assert registered.problem["code"] == SourceUnavailable.code


def test_a_crop_is_kept_and_forecast_with_what_the_radar_sends(
    lab, tmp_path: Path, configure: Callable[..., Feed], context: WorkerContext
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    box = (-0.1, -0.1, 0.1, 0.1)
    configure(folder=str(folder), crop=box, radar_product="column maximum", phase="snow", out=str(tmp_path))
    scan(context)
    kept = context.feed_ledger.frames("north")[0]
    assert (kept.radar_product, kept.pixels) == ("column maximum", 24 * 24), (
        "22 of its 48 km, and the pixels at the edge"
    )
    run(lab.jobs(context.ledger)[0].id, context)
    with xr.open_dataset(tmp_path / "f2.npz.nowcast.nc") as forecast:
        assert forecast.attrs["input_radar_product"] == "column maximum"
        assert forecast.attrs["input_phase"] == "snow"
        assert forecast.rainfall_rate.shape[-2:] == (24, 24)


def test_frames_outside_of_the_crop_are_refused_with_the_reason(
    lab, tmp_path: Path, configure: Callable[..., Feed], context: WorkerContext
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    lab.write_frames(folder / "f0.npz")
    configure(folder=str(folder), crop=(24, 59, 26, 61))
    scan(context)
    [file] = context.feed_ledger.newest_files("north", 2)
    assert file.state is FileState.UNREADABLE
    assert "no pixels in the box" in file.reason
