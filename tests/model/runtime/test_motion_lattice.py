"""How rain moves, on the lattice of a forecast file: speed and direction on the earth, and nothing where it is dry."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.runtime.motion_lattice import rain_motion

GRIDS = {
    "metres": Grid.regular(CRS.from_epsg(3035), shape=(128, 160), pixel_size=1000.0, centre=(4_321_000.0, 3_210_000.0)),
    "degrees": Grid.regular(CRS.from_epsg(4326), shape=(128, 160), pixel_size=0.01, centre=(10.0, 60.0)),
}
"""The first one around its central meridian, where north is up."""


def moving(grid, columns, rows=0, frames=3):
    """Two cells in the western half, moved by so many pixels every five minutes."""
    y, x = np.mgrid[:128, :160]
    rain = np.stack(
        [
            sum(
                20.0 * np.exp(-((x - cx - columns * step) ** 2 + (y - cy - rows * step) ** 2) / 50.0)
                for cx, cy in ((30, 40), (45, 80))
            )
            for step in range(frames)
        ]
    ).astype(np.float32)
    rain[rain < 0.1] = 0
    times = np.datetime64("2026-06-01T12:00", "ns") + np.arange(frames) * np.timedelta64(5, "m")
    return FrameSequence(rain_rate=rain, times=times, grid=grid)


def test_speed_and_direction_are_those_on_the_earth():
    found = rain_motion(moving(GRIDS["metres"], columns=3))  # 3 km in 5 min
    assert np.nanmedian(found.eastward) == pytest.approx(10.0, rel=0.1)
    assert np.nanmedian(found.northward) == pytest.approx(0.0, abs=0.5)
    found = rain_motion(moving(GRIDS["metres"], columns=0, rows=-2))
    assert np.nanmedian(found.northward) * np.sign(found.y[0] - found.y[-1]) == pytest.approx(20 / 3, rel=0.15)
    found = rain_motion(moving(GRIDS["degrees"], columns=4))  # a degree is 55.8 km wide at 60 N
    assert np.nanmedian(found.eastward) == pytest.approx(0.04 * 55_800 / 300, rel=0.1)


def test_there_is_none_where_it_is_dry():
    found = rain_motion(moving(GRIDS["metres"], columns=3))
    assert np.isfinite(found.eastward[:, found.x < found.x.mean()]).any()
    assert np.isnan(found.eastward[:, found.x > np.quantile(found.x, 0.6)]).all()
    dry = moving(GRIDS["metres"], columns=3)
    assert rain_motion(FrameSequence(rain_rate=0 * dry.rain_rate, times=dry.times, grid=dry.grid)) is None
    assert rain_motion(moving(GRIDS["metres"], columns=3, frames=1)) is None


def test_the_file_has_it_beside_the_frames(tmp_path):
    grid = GRIDS["degrees"]
    found = rain_motion(moving(grid, columns=3))
    forecast = Forecast(
        rain_rate=np.zeros((1, *grid.shape), np.float32),
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.array([5.0]),
        grid=grid,
        attributes={},
        motion=found,
    )
    write_netcdf(forecast, tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as file:
        np.testing.assert_array_equal(file["eastward_motion_of_rain"], found.eastward)
        assert file["eastward_motion_of_rain"].attrs["units"] == "m s-1"
        np.testing.assert_array_equal(file["motion_x"], found.x)
        assert file["rainfall_rate"].dims == ("time", "y", "x")
