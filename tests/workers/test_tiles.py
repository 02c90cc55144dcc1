"""Tiles of a large domain are made by other workers too, and the nowcast depends on none of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from redis.exceptions import RedisError

from service.embedded import Supervisor, environment_of
from service.jobs.job import Job, JobStatus
from service.jobs.live import live_workers
from service.store import job_prefix, result_key
from workers import tiles
from workers.batch import run
from workers.context import Context, open_context

SIDE = 560
MEMORY_MB = 40
"""Room for the smallest tiles alone, one after another."""
NETWORK = {"model": "rain-ms-predrnn", "steps": 2}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_THREADS", "1")
    monkeypatch.setenv("ECHOCAST_VARIANT", "fp32")


@pytest.fixture
def small(context: Context) -> Iterator[Context]:
    """A worker with little memory."""
    opened = open_context(context.settings.model_copy(update={"memory_mb": MEMORY_MB, "variant": "fp32", "threads": 1}))
    yield opened
    opened.ledger.close()


def alive(context: Context) -> int:
    try:
        return len(live_workers(context.settings))
    except RedisError:
        return 0


def rain_everywhere(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    coarse = rng.gamma(0.8, 4.0, (4, SIDE // 20, SIDE // 20)).astype(np.float32)
    times = np.datetime64("2026-06-01T12:00:00") + np.arange(4) * np.timedelta64(300, "s")
    np.savez(folder / "wet.npz", rain_rate=np.kron(coarse, np.ones((1, 20, 20), np.float32)), times=times)
    return folder / "wet.npz"


def rain_of(context: Context, job: Job, folder: Path) -> np.ndarray[Any, Any]:
    with xr.open_dataset(context.store.fetch(result_key(job.id), folder / f"{job.id}.nc")) as forecast:
        return forecast.rainfall_rate.values


def alone(context: Context, lab: Any, frames: Path, folder: Path) -> np.ndarray[Any, Any]:
    job = lab.upload(context.ledger, context.store, frames, **NETWORK)
    run(job.id, context)
    return rain_of(context, job, folder)


def test_two_workers_make_one_nowcast(supervisor: Supervisor, lab: Any, small: Context, tmp_path: Path) -> None:
    supervised = Supervisor(supervisor.settings.model_copy(update={"broker_url": None, "memory_mb": MEMORY_MB}))
    context = open_context(supervised.settings)
    log = tmp_path / "second.log"
    try:
        supervised.start()
        supervised.go_on()
        environment = {**os.environ, **environment_of(supervised.settings)}
        with (
            log.open("wb") as told,
            subprocess.Popen([sys.executable, "-m", "service.cli", "worker"], env=environment, stderr=told) as second,
        ):
            try:
                lab.wait_until(lambda: alive(context) == 2, "two workers")
                frames = rain_everywhere(tmp_path)
                job = lab.upload(context.ledger, context.store, frames, **NETWORK)
                assert context.queue.enqueue(job.id)
                done = lab.wait_finished(context.ledger, job)
            finally:
                second.terminate()
    finally:
        supervised.stop()
    assert done.status is JobStatus.SUCCESSFUL
    expected = alone(small, lab, frames, tmp_path)
    assert np.array_equal(rain_of(context, job, tmp_path), expected, equal_nan=True)
    assert "tile" in log.read_text()  # it made some, or has the nowcast of which the other made some
    assert not list((context.settings.data_dir / "store" / job_prefix(job.id)).rglob("*.frames"))
    context.ledger.close()


class Offers:
    """The queue of `small`: what is offered is made, or not, as the test says."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch, others: int = 1) -> None:
        self.context = context
        self.offered: list[str] = []
        self.taken = self.make
        monkeypatch.setattr(context.queue, "offer_tile", self.offer)
        monkeypatch.setattr(tiles.OfferedTiles, "_others", lambda _: others)
        monkeypatch.setattr(tiles, "PATIENCE_SECONDS", 0.5)

    def offer(self, job_id: str, attempt: int, lane: str, reference: str, variant: str) -> bool:
        self.offered.append(lane)
        self.taken(job_id, attempt, lane, reference, variant)
        return True

    def make(self, *asked: Any) -> None:
        tiles.make(*asked, self.context)


def test_half_of_the_tiles_are_offered_and_what_others_make_is_the_same(
    small: Context, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)
    offers = Offers(small, monkeypatch)
    with caplog.at_level("INFO"):
        helped = alone(small, lab, frames, tmp_path)
    assert np.array_equal(helped, expected, equal_nan=True)
    assert caplog.text.count("was made elsewhere") == len(offers.offered) >= 4


@pytest.mark.parametrize("fate", ["claimed and lost", "failed", "another variant", "never taken"])
def test_a_tile_that_does_not_come_is_made_where_the_nowcast_is(
    fate: str, small: Context, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)
    offers = Offers(small, monkeypatch)

    def lost(job_id: str, attempt: int, lane: str, *_: str) -> None:
        tiles.claim(small.store, f"{job_prefix(job_id)}/tiles/{attempt}/{lane}.claim")

    def failed(*asked: Any) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(tiles, "_forecast", lambda *_: (_ for _ in ()).throw(RuntimeError("no luck")))
            with pytest.raises(RuntimeError, match="no luck"):
                offers.make(*asked)

    def other_variant(*asked: Any) -> None:
        offers.make(*asked[:-1], "int8 on CPU")

    fates = {"claimed and lost": lost, "failed": failed, "another variant": other_variant}
    offers.taken = fates.get(fate, lambda *_: None)
    assert np.array_equal(alone(small, lab, frames, tmp_path), expected, equal_nan=True)
    assert len(offers.offered) >= 4


def test_a_worker_alone_offers_nothing(
    small: Context, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = Offers(small, monkeypatch, others=0)
    alone(small, lab, rain_everywhere(tmp_path), tmp_path)
    assert not offers.offered
