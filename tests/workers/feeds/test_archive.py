"""`echocast feeds archive`, and a feed's `archive`: what came in can be trained on, and nothing is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from model.data.archive import Archive
from model.data.integrity import check_archive
from service.feeds.feeds_file import read_feeds
from service.settings import Settings
from workers.context import WorkerContext
from workers.feeds import archive as archiving
from workers.feeds.cli import feeds
from workers.feeds.scan import scan

MIDNIGHT = 144
"""Number of the frame of 00:00 of the second day."""


@pytest.fixture
def feed_keys() -> dict[str, object]:
    return {"frames": 100, "archive": "archive", "clock": "frames"}


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)


def archived(settings: Settings, out: Path, *options: str) -> str:
    words = ["archive", "north", str(out), *options, "--data-dir", str(settings.data_dir)]
    result = CliRunner().invoke(feeds, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_complete_days_are_added_once_with_their_gaps_and_masks_and_corrections_replace(
    folder: Path, settings: Settings, context: WorkerContext, tmp_path: Path, lab
) -> None:
    for number in (MIDNIGHT - 4, MIDNIGHT - 3, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1):
        path = lab.write_frames(folder / f"{number}.npz", first=number - 130, size=32)
        frame = dict(np.load(path))
        frame["rain_rate"] = np.minimum(frame["rain_rate"] + 1, 90)
        frame["rain_rate"][:, :5] = np.nan
        frame["times"] += np.timedelta64(130 * 5, "m")
        np.savez(path, **frame)
    out = tmp_path / "out"
    scan(context)
    assert archived(settings, out) == f"{out}: 0 frames written\n"
    lab.write_frames(folder / "later.npz", first=MIDNIGHT + 7, size=32)
    scan(context)
    assert archived(settings, out, "--licence", "CC BY 4.0") == f"{out}: 3 frames written\n"
    day = Archive(out)
    assert [str(time)[11:16] for time in day.times] == ["23:40", "23:45", "23:55"]
    assert (day.step_minutes, day.attributes["licence"]) == (5, "CC BY 4.0")
    rain = day.read(day.times[0])
    assert np.isnan(rain[:5]).all()
    with np.load(folder / f"{MIDNIGHT - 4}.npz") as sent:
        np.testing.assert_allclose(rain[5:], sent["rain_rate"][0, 5:], rtol=0.03)
    assert archived(settings, out) == f"{out}: 0 frames written\n"

    with np.load(folder / f"{MIDNIGHT - 3}.npz") as sent:
        np.savez(folder / "corrected.npz", rain_rate=2 * sent["rain_rate"], times=sent["times"])
    scan(context)
    assert archived(settings, out) == f"{out}: 1 frames written\n"
    day = Archive(out)
    assert day.times.size == 3
    np.testing.assert_allclose(np.nanmax(day.read(day.times[1])), 2 * np.nanmax(sent_rain(folder)), rtol=0.03)

    lab.write_frames(folder / "other.npz", first=MIDNIGHT + 8, size=48)
    scan(context)
    assert archived(settings, out, "--today") == f"{out}: 3 frames written, 1 left out, as they are on another grid\n"
    assert check_archive(Archive(out)).damaged == []


def sent_rain(folder: Path) -> np.ndarray:
    with np.load(folder / f"{MIDNIGHT - 3}.npz") as sent:
        return sent["rain_rate"]


def test_the_archive_of_a_feed_grows_by_itself_a_few_frames_at_a_time(
    folder: Path, settings: Settings, context: WorkerContext, monkeypatch: pytest.MonkeyPatch, lab
) -> None:
    monkeypatch.setattr(archiving, "FRAMES_AT_ONCE", 2)
    for number in range(MIDNIGHT - 3, MIDNIGHT):
        lab.write_frames(folder / f"{number}.npz", first=number, size=32)
    lab.write_frames(folder / "later.npz", first=MIDNIGHT + 7, size=32)
    scan(context)
    there = settings.data_dir / "archive"
    sizes = []
    for _ in range(3):
        archiving.archive_feeds(context)
        sizes.append(Archive(there).times.size)
    assert sizes == [2, 3, 3]


def test_frames_must_be_kept_until_they_are_archived(folder: Path, settings: Settings) -> None:
    with settings.feeds_path.open("a") as file:
        file.write("retention = 1\n")
    [problem] = read_feeds(settings.feeds_path).problems
    assert "before they are archived" in problem["what"]
