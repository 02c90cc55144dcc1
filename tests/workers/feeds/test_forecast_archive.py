"""The archive of forecasts: readable by xarray, equal to the nowcasts, and never with half a reference time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr.storage
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from service.feeds.config import Feed
from service.feeds.tables import FeedRun, RunState
from service.render.forecast_reader import RainFile
from service.store import ObjectStore, StoreUnavailable
from workers.context import WorkerContext
from workers.feeds.products.archive import archive_forecast
from workers.feeds.published_run import PublishedRun

NOON = np.datetime64("2026-06-01T12:00", "ns")
GRID = Grid.regular(CRS.from_epsg(3035), shape=(40, 30), pixel_size=1000.0, centre=(4e6, 3e6))
STEP = np.timedelta64(5, "m")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks for each reference time."""
    monkeypatch.setattr("workers.feeds.products.archive_layout.CHUNK", 16)
    monkeypatch.setattr("workers.feeds.products.archive_layout.PROBABILITY_CHUNK", 16)


def nowcast(path: Path, number: int, *, seed: int = 0, leads: int = 4) -> Path:
    """A forecast file from `number` steps after noon; its east has no data."""
    rng = np.random.default_rng([number, seed])
    rain = rng.gamma(0.5, 5.0, (leads, *GRID.shape)).astype(np.float32)
    rain[:, :, 20:] = np.nan
    probability = np.stack([np.where(np.isnan(rain), np.nan, share) for share in (0.75, 0.25)]).astype(np.float32)
    item = Forecast(
        reference_time=NOON + number * STEP,
        lead_minutes=5.0 * np.arange(1, leads + 1),
        grid=GRID,
        attributes={"model": "test@1"},
        rain_rate=rain,
        probability=probability,
        output=ForecastOutput(thresholds_mm_h=(0.5, 5.0)),
        probability_method="neighbourhood",
    )
    write_netcdf(item, path)
    return path


class Archive:
    """What the tests do with the archive of the feed `north`."""

    def __init__(self, context: WorkerContext, folder: Path) -> None:
        self.context = context
        self.folder = folder
        self.feed = Feed(name="north", folder=folder, retention=2)
        self._runs = 0

    def add(self, number: int, **options: int) -> RainFile:
        """Add the run from `number` steps after noon."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        path = nowcast(folder / "nowcast.nc", number, **options)
        forecast = RainFile.open(path)
        run = FeedRun(feed="north", reference_time=forecast.reference_time, model="auto", state=RunState.SUBMITTED)
        published = PublishedRun(feed=self.feed, run=run, job_id="j", nowcast=path, folder=folder, renew=lambda: None)
        archive_forecast(published, self.context)
        return forecast

    def groups(self) -> list[Path]:
        assert self.context.store.folder is not None
        return sorted((self.context.store.folder / "feeds/north/forecasts").glob("*/*.zarr"))

    def open(self) -> xr.Dataset:
        [group] = self.groups()
        with xr.open_zarr(group, chunks=None) as dataset:
            return dataset.load()


@pytest.fixture
def made(context: WorkerContext, tmp_path: Path) -> Archive:
    return Archive(context, tmp_path)


def check(dataset: xr.Dataset, forecasts: list[RainFile]) -> None:
    """Check that the archive has these forecasts and no other, with the numbers of their files."""
    times = [np.datetime64(forecast.reference_time.replace(tzinfo=None), "ns") for forecast in forecasts]
    assert sorted(dataset.reference_time.values) == sorted(times)
    for time, forecast in zip(times, forecasts, strict=True):
        one = dataset.sel(reference_time=time)
        with xr.open_dataset(forecast.path) as file:
            for name in ("rainfall_rate", "probability_of_exceedance"):
                np.testing.assert_allclose(one[name], file[name], rtol=1e-6)
            np.testing.assert_array_equal(one.lead_time, file.forecast_period / 60)
            np.testing.assert_array_equal(one.x, file.x)


def test_runs_are_appended_with_the_numbers_of_their_files(made: Archive) -> None:
    forecasts = [made.add(number) for number in (0, 1, 3, 2)]
    dataset = made.open()
    check(dataset, forecasts)
    assert dataset.rainfall_rate.dims == ("reference_time", "lead_time", "y", "x")
    assert np.isnan(dataset.rainfall_rate[..., 20:]).all()
    assert dataset.rainfall_rate.encoding["chunks"] == (1, 4, 16, 16)
    assert dataset.attrs["proj:code"] == "EPSG:3035"
    assert dataset.attrs["spatial:transform"] == [1000, 0, 3_985_000, 0, -1000, 3_020_000]
    assert CRS.from_cf(dataset.crs.attrs) == GRID.crs


def test_a_run_issued_again_replaces_its_own(made: Archive) -> None:
    made.add(0)
    other = made.add(1)
    again = made.add(0, seed=1)
    check(made.open(), [again, other])


@pytest.mark.parametrize("again", [False, True])
def test_wherever_an_append_is_interrupted_no_half_reference_time_is_seen(
    made: Archive, context: WorkerContext, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    kept = [made.add(0), made.add(1)]
    put, allowed = ObjectStore.put, 0

    def until(store: ObjectStore, key: str, data: object, **options: bool) -> bool:
        nonlocal allowed
        allowed -= 1
        if allowed < 0:
            raise StoreUnavailable("killed", full=False)
        return put(store, key, data, **options)

    monkeypatch.setattr(ObjectStore, "put", until)
    interrupted = 0
    for puts in range(100):
        allowed = puts
        try:
            added = made.add(1, seed=9) if again else made.add(2)
            break
        except StoreUnavailable:
            interrupted += 1
        seen = made.open()
        seen = seen.isel(reference_time=~np.isnat(seen.reference_time.values))
        check(seen, kept[: seen.sizes["reference_time"]])  # the one that is replaced may be missing
        assert seen.sizes["reference_time"] >= (1 if again else 2)
    assert interrupted > 10
    check(made.open(), [kept[0], added] if again else [*kept, added])


def test_a_first_run_that_is_interrupted_leaves_no_group(made: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    put = ObjectStore.put

    def until_the_root(store: ObjectStore, key: str, data: object, **options: bool) -> bool:
        if key.endswith(".zarr/zarr.json"):
            raise StoreUnavailable("killed", full=False)
        return put(store, key, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put", until_the_root)
        with pytest.raises(StoreUnavailable):
            made.add(0)
    [group] = made.groups()
    assert not (group / "zarr.json").exists()
    forecast = made.add(1)
    check(made.open(), [forecast])


def test_days_lie_apart_and_expire_as_a_whole(made: Archive) -> None:
    for days in (0, 1, 2, 3):
        made.add(288 * days)
    assert [group.parent.name for group in made.groups()] == ["20260602", "20260603", "20260604"]


def test_runs_of_other_leads_lie_in_one_group_where_leads_count_from_now(made: Archive) -> None:
    made.feed = Feed(name="north", folder=made.folder, lead_time=20, max_age=10)
    made.add(0, leads=4)
    made.add(1, leads=6)
    dataset = made.open()
    assert dataset.sizes["lead_time"] == 6
    assert np.isnan(dataset.rainfall_rate[0, 4:]).all()
    assert np.isfinite(dataset.rainfall_rate[1, :, :, :20]).all()


def test_in_a_bucket_it_is_the_same(made: Archive) -> None:
    bucket = ObjectStore("memory:///")
    made.context = replace(made.context, store=bucket)
    forecasts = [made.add(number) for number in (0, 1)]
    [day] = bucket.folders("feeds/north/forecasts")
    [group] = bucket.folders(f"feeds/north/forecasts/{day}")
    objects = zarr.storage.ObjectStore(bucket._backend, read_only=True)
    place = zarr.storage.StorePath(objects, f"feeds/north/forecasts/{day}/{group}")
    with xr.open_zarr(place, chunks=None) as dataset:
        check(dataset.load(), forecasts)
