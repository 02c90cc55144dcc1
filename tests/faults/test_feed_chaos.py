"""The chaos of a feed, small: `run_feed_replay --chaos` is the whole of it, with real frames and killed workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model.data.synthetic_storms import synthesise
from service.api.app import create_app
from service.feeds.clock import ReplayClock
from service.feeds.feeds_file import read_feeds
from service.jobs.job import JobStatus
from service.settings import Settings
from tests.faults.feed_chaos import CHAOS, plan
from tests.faults.feed_promises import Looked, broken_promises, places
from tests.service.api.conftest import served
from tests.workers.conftest import Lab
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.feeds.replay import split_frames
from workers.feeds.scan import scan

FEED = """
[[feed]]
name = "north"
folder = "{}"
model = "extrapolation"
lead_time = 20
probabilities = []
interval = 5
max_age = 40
clock = "replay"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    (tmp_path / "frames").mkdir()
    (tmp_path / "spool").mkdir()
    (tmp_path / "data" / "feeds.toml").write_text(FEED.format(tmp_path / "frames"))
    return Settings(data_dir=tmp_path / "data", feed_settle_seconds=0.0)


@pytest.fixture
def context(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    opened = open_context(settings)
    monkeypatch.setattr(opened.queue, "enqueue", lambda *_: False)
    yield opened
    opened.ledger.close()


def test_every_frame_that_arrives_has_one_nowcast_and_no_answer_is_wrong(
    settings: Settings, context: WorkerContext, tmp_path: Path
) -> None:
    storms = synthesise(frames=16, shape=(32, 32), step_minutes=5, seed=3, no_data_sectors=1)
    arrivals = list(split_frames(storms, "radar", tmp_path / "spool"))
    chaos = plan(arrivals, timedelta(minutes=5), timedelta(minutes=2), CHAOS, 5, tmp_path / "spool")
    [feed] = read_feeds(settings.feeds_path).feeds
    looked = Looked(feed, chaos)
    looking = places(chaos, 2)
    with served(create_app(settings)) as gateway:

        def look(now: datetime) -> None:
            ReplayClock(start=now, started=datetime.now(UTC), speed=1e-6).write(feed.folder)
            frames = [frame.valid_time for frame in context.feed_ledger.frames("north")]
            looked.status(gateway.get("/v1/feeds/north").json(), frames)
            for lon, lat in looking:
                answer = gateway.get("/v1/feeds/north/point", params={"lon": lon, "lat": lat})
                if answer.status_code != 404:  # no nowcast yet
                    looked.point(answer.json(), lon, lat)

        for drop in chaos.drops:
            look(drop.at)
            drop.put(feed.folder)
            scan(context)
            for job in reversed(Lab.jobs(context.ledger, JobStatus.ACCEPTED)):
                run(job.id, context)
        look(chaos.drops[-1].at + timedelta(hours=1))
    assert looked.broken == []
    assert list(broken_promises(feed, chaos, context, tmp_path)) == []
    assert set(looked.statuses) == {"ok", "partial", "delayed", "unavailable"}
    assert set(looked.sentences) == {"ok", "no_data"}
