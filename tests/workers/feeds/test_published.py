"""What follows a publication: products are whole or absent, replaced by those of a frame issued again, and expire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.errors import InputError
from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from service.feeds.config import Feed
from service.feeds.follow_up import FollowUps
from service.feeds.tables import FeedRun
from service.jobs.job import JobStatus
from service.render.forecast_reader import RainFile
from service.settings import Settings
from service.store import StoreUnavailable, result_key
from workers.batch import run as run_job
from workers.context import WorkerContext, open_context
from workers.feeds.products import make
from workers.feeds.products.accumulations import write_accumulations
from workers.feeds.published import follow_up
from workers.feeds.scan import scan
from workers.sweep import sweep

READ_COG = """
import sys, numpy as np, rasterio
with rasterio.open(sys.argv[1]) as file:
    packed = file.read()
    np.save(sys.argv[2], np.where(packed == file.nodata, np.nan, packed * np.array(file.scales)[:, None, None]))
    print(file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"])
"""
"""In a process of its own: rasterio comes with an HDF5 library of its own."""

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRID = Grid.regular(CRS.from_epsg(3035), shape=(40, 50), pixel_size=1000.0, centre=(4e6, 3e6))


@pytest.fixture
def feed_keys() -> dict[str, object]:
    return {"clock": "frames", "products": ["accumulations"]}


@pytest.fixture(autouse=True)
def sent(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The feeds that messages were sent for; no message reaches a worker."""
    feeds: list[str] = []
    monkeypatch.setattr(context.queue, "enqueue", lambda job_id, *_, **__: False)
    monkeypatch.setattr(context.queue, "enqueue_follow_up", lambda feed: not feeds.append(feed))
    return feeds


@pytest.fixture
def publish(context: WorkerContext, folder: Path, lab) -> Callable[..., FeedRun]:
    """Let frame number n arrive, and return its run once its nowcast is published; nothing has followed yet."""

    def do(number: int, *, rain: float = 8) -> FeedRun:
        lab.write_frames(folder / f"{number}.npz", first=number, rain=rain)
        scan(context)
        for job in lab.jobs(context.ledger, JobStatus.ACCEPTED):
            run_job(job.id, context)
        return newest(context)

    do(0)
    return do


def newest(context: WorkerContext) -> FeedRun:
    return context.feed_ledger.runs("north")[0]


def stored(context: WorkerContext) -> set[str]:
    return {each.key for objects in context.store.list("feeds/north/products") for each in objects}


def files_of(run: FeedRun) -> set[str]:
    """The objects of its products and their manifest."""
    keys = {file["key"] for file in run.products or []}
    return keys | {f"{key.rpartition('/')[0]}/manifest.json" for key in keys}


def test_products_follow_the_publication_and_equal_the_nowcast(
    context: WorkerContext, publish: Callable[..., FeedRun], sent: list[str], tmp_path: Path
) -> None:
    run = publish(1)
    assert sent == ["north"]
    assert run.products is None
    follow_up("north", context)
    run = newest(context)
    assert (run.followed_up_job_id, run.follow_up_problems) == (run.job_id, None)
    [file] = run.products
    assert stored(context) == files_of(run)
    path = context.store.fetch(file["key"], tmp_path / "a.nc")
    nowcast = context.store.fetch(result_key(str(run.job_id)), tmp_path / "n.nc")
    with xr.open_dataset(path) as product, xr.open_dataset(nowcast) as forecast:
        for minutes, rainfall in zip((15, 30, 60), product.rainfall, strict=True):
            expected = forecast.rainfall_rate[: minutes // 5].sum("time", skipna=False) * 5 / 60
            np.testing.assert_allclose(rainfall, expected, atol=0.0051)
        assert product.rainfall.max() > 1
        assert (product.time - product.forecast_reference_time).dt.seconds.values.tolist() == [900, 1800, 3600]
        np.testing.assert_array_equal(product.rainfall, product.rainfall_from_now)  # the clock is that of the frames


def test_a_frame_issued_again_replaces_the_products(context: WorkerContext, publish: Callable[..., FeedRun]) -> None:
    publish(1)
    follow_up("north", context)
    before = newest(context)
    again = publish(1, rain=20)
    assert again.job_id != before.job_id
    assert again.products == before.products  # until those of the new nowcast are there
    follow_up("north", context)
    after = newest(context)
    assert after.products[0]["digest"] != before.products[0]["digest"]
    assert stored(context) == files_of(after)


def test_an_interrupted_publication_shows_nothing_and_is_made_whole_later(
    context: WorkerContext, publish: Callable[..., FeedRun], monkeypatch: pytest.MonkeyPatch, sent: list[str]
) -> None:
    publish(1)
    put = type(context.store).put

    def fails_at_the_manifest(store, key, data, **options):
        if key.endswith("manifest.json"):
            raise StoreUnavailable("down", full=False)
        return put(store, key, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(context.store), "put", fails_at_the_manifest)
        follow_up("north", context)
    assert stored(context)
    assert newest(context).products is None
    assert FollowUps(context.ledger.engine).feeds() == ["north"]
    follow_up("north", context)
    assert stored(context) == files_of(newest(context))
    assert FollowUps(context.ledger.engine).feeds() == []


def test_a_product_that_fails_stops_no_other_and_is_told(
    context: WorkerContext,
    configure: Callable[..., Feed],
    folder: Path,
    publish: Callable[..., FeedRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> list[object]:
        raise InputError("there is no ink", where="cog")

    configure(products=["cog", "accumulations"])
    publish(1)
    monkeypatch.setattr(make, "MAKERS", {**make.MAKERS, "cog": fails})
    follow_up("north", context)
    run = newest(context)
    assert [file["product"] for file in run.products] == ["accumulations"]
    assert [problem["what"] for problem in run.follow_up_problems] == ["cog: there is no ink"]
    assert run.followed_up_job_id == run.job_id


def test_the_cloud_optimized_geotiff_has_a_band_for_each_lead_step(
    context: WorkerContext,
    configure: Callable[..., Feed],
    folder: Path,
    publish: Callable[..., FeedRun],
    tmp_path: Path,
) -> None:
    configure(products=["cog"])
    publish(1)
    follow_up("north", context)
    run = newest(context)
    [file] = run.products
    assert file["name"] == f"cog.{file['digest'][:16]}.tif"
    context.store.fetch(file["key"], tmp_path / "c.tif")
    context.store.fetch(result_key(str(run.job_id)), tmp_path / "n.nc")
    command = [sys.executable, "-c", READ_COG, str(tmp_path / "c.tif"), str(tmp_path / "c.npy")]
    layout = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert layout == "COG"
    with xr.open_dataset(tmp_path / "n.nc") as nowcast:
        np.testing.assert_allclose(np.load(tmp_path / "c.npy"), nowcast.rainfall_rate, atol=1e-4)


def test_another_process_at_work_is_left_to_it(context: WorkerContext, publish: Callable[..., FeedRun]) -> None:
    publish(1)
    follow_ups = FollowUps(context.ledger.engine)
    with follow_ups.lease("north") as lease:
        assert lease.held
        follow_up("north", context)
        assert follow_ups.feeds() == []
        lease.renew()
    assert newest(context).products is None
    assert follow_ups.feeds() == ["north"]


def test_the_newest_run_comes_first_and_a_message_is_sent_for_the_others(
    context: WorkerContext, publish: Callable[..., FeedRun], sent: list[str]
) -> None:
    publish(1)
    publish(2)
    sent.clear()
    follow_up("north", context)
    assert [run.products is not None for run in context.feed_ledger.runs("north")[:2]] == [True, False]
    assert sent == ["north"]


def test_products_expire_with_the_frames_and_leftovers_are_swept(
    context: WorkerContext,
    configure: Callable[..., Feed],
    folder: Path,
    publish: Callable[..., FeedRun],
    monkeypatch,
    lab,
) -> None:
    publish(1)
    follow_up("north", context)
    kept = stored(context)
    context.store.put("feeds/north/products/20260601T120500Z/left/cog.0.tif", b"x")
    monkeypatch.setattr("workers.sweep.MIN_AGE", timedelta(seconds=-60))
    sweep(context)
    assert stored(context) == kept
    configure(retention=0.5)
    publish(200)
    assert stored(context) == set()


def forecast(path: Path, rain: np.ndarray, members: np.ndarray | None = None) -> RainFile:
    """A forecast file of 5-min steps, from noon."""
    count = 0 if members is None else len(members)
    item = Forecast(
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=5.0 * np.arange(1, len(rain) + 1),
        grid=GRID,
        attributes={"model": "test@1"},
        rain_rate=rain,
        members=members,
        output=ForecastOutput(members=count),
        field="expected" if count else "deterministic",
    )
    write_netcdf(item, path)
    return RainFile.open(path)


def test_from_now_on_steps_that_have_passed_do_not_count_and_missing_is_never_dry(tmp_path: Path) -> None:
    rain = np.full((14, *GRID.shape), 6.0, np.float32)
    rain[0, 3] = np.nan
    rain[5, 7] = np.nan
    write_accumulations(
        forecast(tmp_path / "f.nc", rain), tmp_path / "a.nc", now=NOON + timedelta(minutes=7, seconds=30)
    )
    with xr.open_dataset(tmp_path / "a.nc") as product:
        assert np.isnan(product.rainfall[:, 3]).all()
        np.testing.assert_allclose(product.rainfall_from_now[:, 3, 0], [1.5, 3, 6], atol=0.01)
        np.testing.assert_allclose(product.rainfall[:, 7, 0], [1.5, np.nan, np.nan], atol=0.01)
        np.testing.assert_allclose(product.rainfall_from_now[:, 7, 0], [1.5, np.nan, np.nan], atol=0.01)
        first, last = product.time_from_now_bounds[2].values
        assert (str(first)[11:19], str(last)[11:19]) == ("12:07:30", "13:07:30")
        assert product.rainfall.attrs["cell_methods"] == "time: sum"


def test_probabilities_of_totals_are_those_of_the_members_totals(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    members = rng.gamma(0.6, 12.0, (4, 12, *GRID.shape)).astype(np.float32)
    members[:, :, 0, 0] = np.nan
    write_accumulations(forecast(tmp_path / "f.nc", members.mean(axis=0), members), tmp_path / "a.nc", now=NOON)
    with xr.open_dataset(tmp_path / "a.nc") as product, xr.open_dataset(tmp_path / "f.nc") as nowcast:
        totals = nowcast.rainfall_rate.sum("time", skipna=False) / 12
        share = product.probability_of_rainfall.sel(threshold=5.0)[2]
        np.testing.assert_allclose(share[1:], (totals[:, 1:] >= 5).mean("realization"), atol=0.0026)
        assert 0.05 < float(share.mean()) < 0.95
        assert np.isnan(product.probability_of_rainfall[:, :, 0, 0]).all()


def test_a_forecast_too_short_for_any_period_is_told(tmp_path: Path) -> None:
    short = forecast(tmp_path / "f.nc", np.zeros((2, *GRID.shape), np.float32))
    with pytest.raises(InputError, match="10 min covers no period"):
        write_accumulations(short, tmp_path / "a.nc", now=NOON)


def test_two_workers_at_once_add_each_run_to_the_archive_once(
    context: WorkerContext,
    configure: Callable[..., Feed],
    settings: Settings,
    folder: Path,
    publish: Callable[..., FeedRun],
) -> None:
    configure(products=["zarr"])
    for number in (1, 2, 3):
        publish(number)
    waiting = FollowUps(context.ledger.engine)

    def work() -> None:
        other = open_context(settings)
        other.queue.enqueue_follow_up = lambda feed: False
        while waiting.newest("north") is not None:
            follow_up("north", other)
        other.ledger.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work) for _ in range(2)]:
            done.result()
    assert context.store.folder is not None
    [group] = (context.store.folder / "feeds/north/forecasts").glob("*/*.zarr")
    with xr.open_zarr(group, chunks=None) as archive:
        times = [str(time)[11:16] for time in sorted(archive.reference_time.values)]
        assert times == ["12:05", "12:10", "12:15"]
        assert np.isfinite(archive.rainfall_rate).any(("lead_time", "y", "x")).all()


def test_a_nowcast_whose_products_kill_the_worker_is_given_up_and_says_so(
    context: WorkerContext, publish: Callable[..., FeedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As if the process were gone: nothing that it would do at its end is done."""

    def dies(*_: object) -> None:
        raise Killed

    publish(1)
    monkeypatch.setattr("workers.feeds.published.after_publication", dies)
    for _ in range(context.settings.max_attempts):
        with pytest.raises(Killed):
            follow_up("north", context)
        assert newest(context).followed_up_job_id is None
    follow_up("north", context)
    run = newest(context)
    assert run.followed_up_job_id == run.job_id
    assert [problem["what"][:20] for problem in run.follow_up_problems] == ["the worker died 3 ti"]
    assert FollowUps(context.ledger.engine).feeds() == []


def test_a_store_that_is_down_counts_no_attempt(
    context: WorkerContext, publish: Callable[..., FeedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down", full=False)

    publish(1)
    with monkeypatch.context() as patch:
        patch.setattr("workers.feeds.published.after_publication", down)
        for _ in range(context.settings.max_attempts + 1):
            follow_up("north", context)
    follow_up("north", context)
    assert newest(context).products
