"""`echocast feeds replay`: frames come again in their order, and the feed's clock is that of the time of theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model.core.errors import InputError
from model.readers import read
from service.feeds.clock import ReplayClock, clock_from
from service.feeds.config import Feed
from service.feeds.overview import feed_states
from service.feeds.tables import FileState
from service.settings import Settings
from workers.context import WorkerContext
from workers.feeds.cli import feeds
from workers.feeds.scan import scan

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def replay(settings: Settings, *arguments: object) -> Result:
    words = ["replay", *map(str, arguments), "--data-dir", str(settings.data_dir)]
    result = CliRunner().invoke(feeds, words)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


def test_files_come_whole_in_the_order_of_their_valid_times_whatever_they_are_called(
    configure: Callable[..., Feed], settings: Settings, tmp_path: Path, lab
) -> None:
    there = configure(clock="replay").folder
    past = tmp_path / "past"
    past.mkdir()
    lab.write_frames(past / "a.npz", first=3)
    lab.write_frames(past / "z.npz", first=0)
    lab.write_frames(past / "two.npz", first=1, count=2)
    (past / "readme.txt").write_text("about these files")
    done = replay(settings, past, "--into", "north", "--speed", "6000x", "--delay", 3)
    came = re.findall(r"^(\S+)Z  (\d) of 4  (\S+)$", done.output, flags=re.MULTILINE)
    assert [name for _, _, name in came] == ["z.npz", "two-20260601T120500Z.nc", "two-20260601T121000Z.nc", "a.npz"]
    for number, (at, position, name) in enumerate(came):
        frame = read([there / name])
        assert (len(frame), int(position)) == (1, number + 1)
        assert str(frame.reference_time)[:16] == f"2026-06-01T12:{5 * number:02d}"
        assert datetime.fromisoformat(at + "Z") >= NOON + timedelta(minutes=5 * number + 3)
    assert "readme.txt" in done.stderr
    assert sorted(path.name for path in there.glob("[!.]*")) == sorted(name for _, _, name in came)


def test_age_status_and_leads_are_those_of_the_time_that_is_replayed(
    configure: Callable[..., Feed], settings: Settings, context: WorkerContext, lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)
    north = configure(clock="replay", lead_time=60)
    for number in range(3):
        lab.write_frames(north.folder / f"{number}.npz", first=number)
    newest = NOON + timedelta(minutes=10)

    def shows(minutes: float, speed: float = 1e-6) -> ReplayClock:
        clock = clock_from(newest + timedelta(minutes=minutes), speed)
        clock.write(north.folder)
        return clock

    shows(4)
    scan(context)
    assert [job.steps for job in lab.jobs(context.ledger)] == [13]  # 64 min from the newest frame
    for minutes, status in ((4, "ok"), (12, "delayed"), (40, "unavailable")):
        shows(minutes)
        [state] = feed_states([north], context.feed_ledger)
        assert (state.health.status, state.health.age_minutes) == (status, minutes)
    fast = ReplayClock(start=newest, started=datetime.now(UTC) - timedelta(seconds=10), speed=60)
    fast.write(north.folder)
    assert 10 <= (north.now(newest) - newest).total_seconds() / 60 < 300
    assert fast.when(fast.start + timedelta(minutes=10)) == fast.started + timedelta(seconds=10)
    next(north.folder.glob(".replay.json")).unlink()
    assert north.now(newest) == newest


def test_a_frame_ahead_of_the_time_that_is_replayed_is_refused_until_that_time(
    configure: Callable[..., Feed], context: WorkerContext, lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)
    north = configure(clock="replay")
    clock_from(NOON + timedelta(minutes=5), 1e-6).write(north.folder)
    for number in (0, 1, 5):
        lab.write_frames(north.folder / f"{number}.npz", first=number)
    scan(context)
    assert context.feed_ledger.newest_time("north") == NOON + timedelta(minutes=5)
    [refused] = context.feed_ledger.find_files("north", ["5.npz"])
    assert (refused.state, "ahead of the clock of the replay" in refused.reason) == (FileState.REFUSED, True)
    clock_from(NOON + timedelta(minutes=25), 1e-6).write(north.folder)
    scan(context)
    assert context.feed_ledger.newest_time("north") == NOON + timedelta(minutes=25)


def test_what_cannot_be_replayed_is_told_before_anything_arrives(
    configure: Callable[..., Feed], settings: Settings, context: WorkerContext, tmp_path: Path, lab
) -> None:
    north = configure()
    past = lab.write_frames(tmp_path / "0.npz")
    with pytest.raises(InputError, match=r"no feed or folder 'south'.*Valid feeds: north"):
        replay(settings, past, "--into", "south")
    with pytest.raises(InputError, match=r'clock = "replay"'):
        replay(settings, past, "--into", "north")
    configure(clock="replay", pattern="*.h5")
    with pytest.raises(InputError, match=r"takes files like '\*\.h5', and 1 are not, such as 0\.npz"):
        replay(settings, past, "--into", "north")
    configure(clock="replay")
    (tmp_path / "notes.txt").write_text("no radar")
    with pytest.raises(InputError, match="no file could be read"):
        replay(settings, tmp_path / "notes.txt", "--into", "north")
    assert replay(settings, past, "--into", "north", "--speed", "fast").exit_code == 2
    assert replay(settings, "--into", "north").exit_code == 2
    assert list(north.folder.iterdir()) == []
    replay(settings, past, "--into", "north", "--speed", "6000x")
    scan(context)
    with pytest.raises(InputError, match="has frames up to 2026-06-01T12:00Z"):
        replay(settings, past, "--into", "north")


def test_synthetic_storms_say_so_and_go_on_after_the_frames_of_the_feed(
    configure: Callable[..., Feed], settings: Settings, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)
    there = configure(clock="replay", retention=1).folder
    first = replay(settings, "--synthetic", 0.25, "--into", "north", "--speed", "6000x", "--history", 60)
    assert "3 of 3  synthetic-20200615T121000Z.nc" in first.output
    assert "synthetic" in read([there / "synthetic-20200615T121000Z.nc"]).attributes["source"]
    scan(context)
    again = replay(settings, "--synthetic", 0.1, "--into", "north", "--speed", "6000x")
    assert "1 of 1  synthetic-20200615T141000Z.nc" in again.output
