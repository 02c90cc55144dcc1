"""FrameSequence: refusals, gaps, and the CF round trip through a real file."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.errors import DuplicateTimes
from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence

GRID = Grid.regular(CRS.from_epsg(28992), shape=(12, 20), pixel_size=1000.0, centre=(155_000.0, 463_000.0))
START = np.datetime64("2010-08-26T00:00", "ns")


def sequence(minutes, *, rain=1.0):
    times = START + np.array(minutes).astype("timedelta64[m]")
    return FrameSequence(
        rain_rate=np.full((len(minutes), *GRID.shape), rain, np.float32),
        times=times,
        grid=GRID,
        attributes={"radar_format": "test"},
    )


def test_times_must_increase():
    with pytest.raises(DuplicateTimes):
        sequence([0, 5, 5])


def test_cf_round_trip_through_a_file(tmp_path):
    rng = np.random.default_rng(1)
    rain = rng.gamma(0.5, 8.0, (3, *GRID.shape)).astype(np.float32)
    rain[1, 2, 3] = np.nan
    original = FrameSequence(
        rain_rate=rain,
        times=START + np.arange(3) * np.timedelta64(5, "m"),
        grid=GRID,
        mask=np.eye(*GRID.shape, dtype=bool),
        attributes={"zr_relation": "fmi: Z = 223 R^1.53"},
    )
    write_netcdf(original, tmp_path / "frames.nc")
    with xr.open_dataset(tmp_path / "frames.nc") as opened:
        read = FrameSequence.from_dataset(opened.load())
    assert np.array_equal(read.times, original.times)
    assert read.grid.matches(GRID)
    assert np.array_equal(read.mask, original.mask)
    assert read.attributes["zr_relation"] == "fmi: Z = 223 R^1.53"
    assert np.array_equal(np.isnan(read.rain_rate), np.isnan(rain))
    assert np.nanmax(np.abs(read.rain_rate - rain)) <= 0.0051


def test_packing_keeps_its_promise_for_light_and_for_extreme_rain(tmp_path):
    rain = np.array([0.004, 0.2, 0.99, 1.0, 60.0, 655.0, np.nan], np.float32)
    grid = Grid.regular(CRS.from_epsg(4326), shape=(2, 7), pixel_size=0.01, centre=(5.0, 52.0))
    forecast = Forecast(
        rain_rate=np.stack([np.stack([rain, rain])]),
        reference_time=START,
        lead_minutes=np.array([5.0]),
        grid=grid,
        attributes={"model": "test"},
    )
    write_netcdf(forecast, tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        kept = opened["rainfall_rate"].values[0, 0]
        assert opened["time"].values[0] == START + np.timedelta64(5, "m")
        assert opened["forecast_reference_time"].values == START
        assert opened["forecast_period"].values[0] == 300.0
        assert opened["rainfall_rate"].attrs["units"] == "mm h-1"
        assert CRS.from_cf(opened["crs"].attrs).is_geographic
    assert np.isnan(kept[-1])
    light, heavy = rain < 1, rain >= 1
    assert np.all(np.abs(kept - rain)[light] <= 0.01)
    assert np.all((np.abs(kept - rain) / rain)[heavy] <= 0.01)


def test_one_absurd_pixel_takes_nothing_from_the_others(tmp_path):
    rain = np.full((1, *GRID.shape), 0.2, np.float32)
    rain[0, 0, 0] = 47_240.0  # 95 dBZ
    frames = FrameSequence(rain_rate=rain, times=np.array([START]), grid=GRID)
    write_netcdf(frames, tmp_path / "frames.nc")
    with xr.open_dataset(tmp_path / "frames.nc") as opened:
        kept = opened["rainfall_rate"].values
        assert opened["rainfall_rate"].attrs["clipped_pixels"] == 1
    assert kept[0, 5, 5] == pytest.approx(0.2, abs=0.01)
    assert kept[0, 0, 0] == pytest.approx(655.34, abs=0.01)


def test_accumulations_have_the_cell_methods_of_means():
    summed = FrameSequence(
        rain_rate=np.zeros((1, *GRID.shape), np.float32),
        times=np.array([START]),
        grid=GRID,
        attributes={"quantity": "accumulation over 5 min"},
    )
    assert summed.to_dataset()["rainfall_rate"].attrs["cell_methods"] == "time: mean"
    assert sequence([0]).to_dataset()["rainfall_rate"].attrs["cell_methods"] == "time: point"
