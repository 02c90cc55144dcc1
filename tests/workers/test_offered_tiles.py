"""Other workers compute tiles of a large domain, and the nowcast depends on none of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from redis.exceptions import RedisError

from model.runtime import remote_tiles
from model.runtime.graph_session import ForecastInput
from model.runtime.onnx_predictor import OnnxPredictor
from service.embedded import Supervisor, environment_of
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus
from service.store import ObjectStore, job_prefix, result_key
from tests.patience import WAIT_SECONDS
from workers import offered_tiles
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.reconcile import requeue_lost

SIDE = 560
MEMORY_MB = 40
"""Room for the smallest tiles alone, one after another."""
NETWORK = {"model": "rain-ms-predrnn", "steps": 2}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_THREADS", "1")
    monkeypatch.setenv("ECHOCAST_VARIANT", "fp32")


@pytest.fixture
def small(context: WorkerContext) -> Iterator[WorkerContext]:
    """A worker with little memory."""
    opened = open_context(context.settings.model_copy(update={"memory_mb": MEMORY_MB, "variant": "fp32", "threads": 1}))
    yield opened
    opened.ledger.close()


def alive(context: WorkerContext) -> int:
    try:
        return len(live_workers(context.settings))
    except RedisError:
        return 0


def left_of(context: WorkerContext, job: Job) -> list[str]:
    """The objects of the job's tiles in the store."""
    folder = context.settings.data_dir / "store" / job_prefix(job.id) / "tiles"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def rain_everywhere(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    coarse = rng.gamma(0.8, 4.0, (4, SIDE // 20, SIDE // 20)).astype(np.float32)
    times = np.datetime64("2026-06-01T12:00:00") + np.arange(4) * np.timedelta64(300, "s")
    np.savez(folder / "wet.npz", rain_rate=np.kron(coarse, np.ones((1, 20, 20), np.float32)), times=times)
    return folder / "wet.npz"


def rain_of(context: WorkerContext, job: Job, folder: Path) -> np.ndarray[Any, Any]:
    with xr.open_dataset(context.store.fetch(result_key(job.id), folder / f"{job.id}.nc")) as forecast:
        return forecast.rainfall_rate.values


def alone(context: WorkerContext, lab: Any, frames: Path, folder: Path) -> np.ndarray[Any, Any]:
    job = lab.upload(context.ledger, context.store, frames, **NETWORK)
    run(job.id, context)
    assert not left_of(context, job)
    return rain_of(context, job, folder)


def test_two_workers_make_one_nowcast(supervisor: Supervisor, lab: Any, small: WorkerContext, tmp_path: Path) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)  # before other workers could claim it
    supervised = Supervisor(supervisor.settings.model_copy(update={"broker_url": None, "memory_mb": MEMORY_MB}))
    context = open_context(supervised.settings)
    log = tmp_path / "second.log"
    try:
        supervised.start()
        supervised.start_workers()
        environment = {**os.environ, **environment_of(supervised.settings)}
        with (
            log.open("wb") as stderr,
            subprocess.Popen([sys.executable, "-m", "service.cli", "worker"], env=environment, stderr=stderr) as second,
        ):
            try:
                lab.wait_until(lambda: alive(context) == 2, "two workers")

                def shared() -> bool:
                    """Return whether both computed tiles: one of them may be too busy, and then the job is repeated."""
                    job = lab.upload(context.ledger, context.store, frames, **NETWORK)
                    lab.enqueue(context, job)
                    assert lab.wait_finished(context.ledger, job).status is JobStatus.SUCCESSFUL
                    assert np.array_equal(rain_of(context, job, tmp_path), expected, equal_nan=True)
                    lab.wait_until(lambda: not left_of(context, job), "what is left of the tiles to go")
                    # By the log of the one that has the nowcast, or of the one that helps.
                    by_one, by_other = rf"job {job.id}: tile \S+ was computed", rf"tile \S+ of job {job.id} is computed"
                    return bool(re.search(f"{by_one}|{by_other}", log.read_text()))

                lab.wait_until(shared, "a nowcast that both have made")
            finally:
                second.terminate()
    finally:
        supervised.stop()
        context.ledger.close()


class Offers:
    """The queue of `small`: offered tiles are computed, or lost, as the test chooses, before the nowcast starts."""

    def __init__(self, context: WorkerContext, monkeypatch: pytest.MonkeyPatch, others: int = 1) -> None:
        self.context = context
        self.offered: list[str] = []
        self.taken = self.make
        monkeypatch.setattr(context.queue, "offer_tile", self.offer)
        monkeypatch.setattr(offered_tiles.OfferedTiles, "_others", lambda _: others)
        monkeypatch.setattr(offered_tiles.OfferedTiles, "offer", self.offer_all)
        monkeypatch.setattr(offered_tiles, "PATIENCE_SECONDS", 0.5)

    @staticmethod
    def offer_all(
        offered: offered_tiles.OfferedTiles, tasks: Any, offer: Any = offered_tiles.OfferedTiles.offer
    ) -> None:
        offer(offered, tasks)
        offered._thread.join()

    def offer(self, job_id: str, attempt: int, tile: str, reference: str, variant: str) -> bool:
        self.offered.append(tile)
        self.taken(job_id, attempt, tile, reference, variant)
        return True

    def make(self, *asked: Any) -> None:
        offered_tiles.compute_tile(*asked, self.context)


def test_half_of_the_tiles_are_offered_and_the_forecast_stays_the_same(
    small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)
    offers = Offers(small, monkeypatch)
    with caplog.at_level("INFO"):
        helped = alone(small, lab, frames, tmp_path)
    assert np.array_equal(helped, expected, equal_nan=True)
    assert caplog.text.count("was computed by another worker") == len(offers.offered) >= 4


@pytest.mark.parametrize("fate", ["claimed and lost", "failed", "another variant", "never taken"])
def test_a_tile_that_does_not_arrive_is_computed_locally(
    fate: str, small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)
    offers = Offers(small, monkeypatch)

    def lost(job_id: str, attempt: int, tile: str, *_: str) -> None:
        offered_tiles.claim(small.store, f"{job_prefix(job_id)}/tiles/{attempt}/{tile}.claim")

    def failed(*asked: Any) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(OnnxPredictor, "forecast_tile", lambda *_: (_ for _ in ()).throw(RuntimeError("no luck")))
            with pytest.raises(RuntimeError, match="no luck"):
                offers.make(*asked)

    def other_variant(*asked: Any) -> None:
        offers.make(*asked[:-1], "int8 on CPU")

    fates = {"claimed and lost": lost, "failed": failed, "another variant": other_variant}
    offers.taken = fates.get(fate, lambda *_: None)
    assert np.array_equal(alone(small, lab, frames, tmp_path), expected, equal_nan=True)
    assert len(offers.offered) >= 4


class Failing:
    """The store, with some methods replaced by the test."""

    def __init__(self, store: ObjectStore, **instead: Any) -> None:
        self._store = store
        vars(self).update(instead)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("broken", ["input", "claim", "output", "damaged", "too few", "delete", "no broker"])
def test_a_nowcast_survives_any_failure_of_store_and_broker(
    broken: str, small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = rain_everywhere(tmp_path)
    expected = alone(small, lab, frames, tmp_path)
    really_offer, store = small.queue.offer_tile, small.store
    offers = Offers(small, monkeypatch)
    hits: list[str] = []

    def hit(key: str, what: str) -> None:
        if key.endswith(f".{what}") and broken == what:
            hits.append(key)
            raise OSError(28, "no space left")

    def put(key: str, *data: Any, **options: Any) -> bool:
        hit(key, "input")
        hit(key, "claim")
        return store.put(key, *data, **options)

    def get(key: str) -> bytes:
        hit(key, "output")
        return store.get(key)

    def delete_prefix(prefix: str) -> None:
        store.delete_prefix(prefix)
        hit(f"{prefix}.delete" if "/tiles/" in prefix else prefix, "delete")

    def bad(job_id: str, attempt: int, tile: str, *_: str) -> None:
        hits.append(tile)
        too_few = remote_tiles._pack({"frames": np.zeros((1, 8, 8), np.uint16)})
        for part, data in {"claim": b"", "output": {"damaged": b"no tile", "too few": too_few}[broken]}.items():
            small.store.put(f"{job_prefix(job_id)}/tiles/{attempt}/{tile}.{part}", data)

    def no_broker(*asked: Any) -> bool:
        hits.append(asked[2])
        return really_offer(*asked)

    if broken in ("damaged", "too few"):
        offers.taken = bad
    if broken == "no broker":
        monkeypatch.setattr(small.queue, "offer_tile", no_broker)
    failing: Any = Failing(store, put=put, get=get, delete_prefix=delete_prefix)
    assert np.array_equal(alone(replace(small, store=failing), lab, frames, tmp_path), expected, equal_nan=True)
    assert hits


def test_a_store_that_hangs_while_tiles_are_offered_holds_up_no_nowcast(
    small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered_tiles.OfferedTiles, "_others", lambda _: 1)
    monkeypatch.setattr(offered_tiles, "CLOSE_SECONDS", 0.1)
    goes_on, asked, in_vain = threading.Event(), threading.Event(), threading.Event()

    def put(key: str, *data: Any, **options: Any) -> bool:
        if key.endswith(".input"):
            asked.set()
            if not goes_on.wait(WAIT_SECONDS):
                in_vain.set()
        return small.store.put(key, *data, **options)

    failing: Any = Failing(small.store, put=put)
    job = lab.upload(small.ledger, small.store, rain_everywhere(tmp_path), **NETWORK)
    try:
        run(job.id, replace(small, store=failing))
        assert small.ledger.get(job.id).status is JobStatus.SUCCESSFUL
        assert asked.is_set()
        assert not in_vain.is_set()
    finally:
        goes_on.set()
    for thread in threading.enumerate():
        if thread.name == f"offer-{job.id[:8]}":
            thread.join(WAIT_SECONDS)
    assert not left_of(small, job), "a tile that comes late is deleted"


def test_after_a_tile_that_was_lost_no_other_is_waited_for(
    small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = Offers(small, monkeypatch)
    offers.taken = lambda job_id, attempt, tile, *_: offered_tiles.claim(
        small.store, f"{job_prefix(job_id)}/tiles/{attempt}/{tile}.claim"
    )
    looks: Counter[str] = Counter()

    def get(key: str) -> bytes:
        looks[key] += 1
        return small.store.get(key)

    failing: Any = Failing(small.store, get=get)
    alone(replace(small, store=failing), lab, rain_everywhere(tmp_path), tmp_path)
    first, *others = [count for key, count in looks.items() if key.endswith(".output")]
    assert first > 1
    assert len(others) == len(offers.offered) - 1 >= 3
    assert set(others) == {1}


@pytest.fixture
def asked(small: WorkerContext, lab: Any, tmp_path: Path) -> tuple[Any, ...]:
    """The arguments of `compute_tile` for one tile of a running job, whose input is in the store."""
    job = small.ledger.claim(lab.upload(small.ledger, small.store, rain_everywhere(tmp_path), **NETWORK).id, 60)
    assert job is not None
    predictor = small.models.get(small.catalog.find(NETWORK["model"]))
    rng = np.random.default_rng(4)
    data = rng.random((4, 1, 64, 64), np.float32)
    inputs = ForecastInput(data=data, known=np.ones(data.shape, np.bool_), step_minutes=5.0)
    encoded = remote_tiles.encode_tile(SimpleNamespace(inputs=inputs, steps=2))
    small.store.put(f"{job_prefix(job.id)}/tiles/1/0.input", encoded)
    return job.id, 1, "0", predictor.info.reference, predictor.variant


@pytest.mark.parametrize("fails", [False, True])
def test_a_helper_keeps_no_states_of_a_tile(
    fails: bool, small: WorkerContext, asked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = small.models.get(small.catalog.find(NETWORK["model"])).session
    if fails:
        monkeypatch.setattr(remote_tiles, "pack_fraction", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            offered_tiles.compute_tile(*asked, small)
    else:
        offered_tiles.compute_tile(*asked, small)
    assert left_of(small, small.ledger.get(asked[0])) == ["1/0.claim", "1/0.input", "1/0.output"]
    assert not session._spare


@pytest.mark.parametrize("end", ["dismissed", "deleted", "lost"])
def test_a_tile_of_a_nowcast_that_no_longer_runs_is_deleted(
    end: str, small: WorkerContext, asked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small.ledger.get(asked[0])
    if end == "lost":
        small.ledger.renew_lease(job, -1)
        assert small.ledger.claim(job.id, 60) is not None
    else:
        assert small.ledger.dismiss(job.id)
    if end == "deleted":
        small.ledger.delete([job.id])
    monkeypatch.setattr(OnnxPredictor, "forecast_tile", lambda *_: pytest.fail("it was computed"))
    offered_tiles.compute_tile(*asked, small)
    assert not left_of(small, job)


def test_a_tile_that_is_withdrawn_while_it_is_computed_leaves_nothing(
    small: WorkerContext, asked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, forecast = small.ledger.get(asked[0]), OnnxPredictor.forecast_tile

    def withdrawn(*given: Any) -> Any:
        small.store.delete_prefix(f"{job_prefix(job.id)}/tiles/1")
        small.store.put(f"{job_prefix(job.id)}/tiles/1/0.claim", b"")
        return forecast(*given)

    monkeypatch.setattr(OnnxPredictor, "forecast_tile", withdrawn)
    offered_tiles.compute_tile(*asked, small)
    assert not left_of(small, job)


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_tiles_of_a_worker_that_died_go_when_the_nowcast_is_taken_back(
    max_attempts: int, small: WorkerContext, asked: tuple[Any, ...]
) -> None:
    job = small.ledger.get(asked[0])
    small.ledger.renew_lease(job, -1)
    requeue_lost(replace(small, settings=small.settings.model_copy(update={"max_attempts": max_attempts})))
    assert small.ledger.get(job.id).status is (JobStatus.FAILED if max_attempts == 1 else JobStatus.ACCEPTED)
    assert not left_of(small, job)


@pytest.mark.parametrize("fails", [False, True])
def test_tiles_of_an_earlier_attempt_go_when_the_nowcast_ends_which_does_not_depend_on_it(
    fails: bool, small: WorkerContext, asked: tuple[Any, ...]
) -> None:
    """Where another worker claims it before it is taken back."""
    job = small.ledger.get(asked[0])
    small.ledger.renew_lease(job, -1)

    def delete_prefix(prefix: str) -> None:
        if fails and prefix.endswith("/tiles"):
            raise OSError(5, "input/output error")
        small.store.delete_prefix(prefix)

    failing: Any = Failing(small.store, delete_prefix=delete_prefix)
    run(job.id, replace(small, store=failing))
    assert small.ledger.get(job.id).status is JobStatus.SUCCESSFUL
    assert left_of(small, job) == (["1/0.input"] if fails else [])


def test_a_worker_alone_offers_nothing(
    small: WorkerContext, lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = Offers(small, monkeypatch, others=0)
    alone(small, lab, rain_everywhere(tmp_path), tmp_path)
    assert not offers.offered
