"""Reading a forecast file without xarray."""

from datetime import UTC, datetime

import netCDF4
import numpy as np
import pytest
from pyproj import CRS

from model.core import forecast_file
from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.grid_places import lon_lat_of_pixel, pixel_of_lon_lat
from service.render.forecast_reader import RainFile, pixel_of_fraction


def write(path, rain, *, south_up=False, crs="EPSG:3035", size=1000.0, centre=(4_000_000.0, 3_000_000.0), **parts):
    grid = Grid.regular(CRS.from_user_input(crs), shape=rain.shape[1:], pixel_size=size, centre=centre)
    if south_up:
        grid = Grid(crs=grid.crs, x=grid.x, y=grid.y[::-1])
    forecast = Forecast(
        rain_rate=rain,
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.arange(1, len(rain) + 1) * 5.0,
        grid=grid,
        attributes={"model": "persistence"},
        **parts,
    )
    write_netcdf(forecast, path)
    return RainFile.open(path)


@pytest.fixture
def rain():
    field = np.zeros((2, 40, 60), np.float32)
    field[1, 3, 5] = 42.0
    field[:, :, 50:] = np.nan
    return field


def test_times_leads_and_frames_come_back(tmp_path, rain):
    file = write(tmp_path / "f.nc", rain)
    assert file.times[0] == datetime(2026, 6, 1, 12, 5, tzinfo=UTC)
    assert file.lead_minutes == (5.0, 10.0)
    assert file.attributes["model"] == "persistence"
    np.testing.assert_allclose(file.frame(1), rain[1], atol=0.006)
    np.testing.assert_allclose(file.series(3, 5), [0, 42], atol=0.006)
    assert np.isnan(file.series(3, 55)).all()


def test_a_file_that_runs_south_to_north_is_shown_north_up(tmp_path, rain):
    file = write(tmp_path / "f.nc", rain, south_up=True)
    np.testing.assert_allclose(file.frame(1), rain[1, ::-1], atol=0.006)
    row, column = pixel_of_fraction(file.grid, 5.5 / 60, 36.5 / 40)
    assert (row, column) == (3, 5)
    assert file.series(row, column)[1] == pytest.approx(42, abs=0.01)


@pytest.mark.parametrize("south_up", [False, True])
def test_a_point_of_a_large_grid_in_float32_degrees_is_its_own_pixel(south_up):
    lon, lat = np.linspace(-129.995, -60.005, 7000), np.linspace(54.995, 20.005, 3500)[:: -1 if south_up else 1]
    grid = Grid(crs=CRS.from_epsg(4326), x=lon.astype(np.float32), y=lat.astype(np.float32))
    for row, column in [(0, 0), (1700, 3500), (3499, 6999)]:
        assert pixel_of_lon_lat(grid, lon[column], lat[row]) == (row, column)
        assert lon_lat_of_pixel(grid, row, column) == pytest.approx((lon[column], lat[row]), abs=1e-4)


def test_a_large_grid_keeps_its_small_heavy_cell_and_never_turns_no_data_dry(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast_file, "CHUNK", 16)
    rain = np.zeros((1, 37, 35), np.float32)
    rain[0, 9, 9] = 80.0
    rain[0, 20, 20] = np.nan
    rain[0, 36, 34] = 5.0
    frame = write(tmp_path / "f.nc", rain).frame(0, max_side=10)
    assert frame.shape == (10, 9)
    assert frame[2, 2] == pytest.approx(80, abs=0.01)
    assert np.isnan(frame[5, 5])
    assert frame[9, 8] == pytest.approx(5, abs=0.01)
    assert np.isfinite(frame).sum() == frame.size - 1


def test_a_town_is_found_by_longitude_and_latitude(tmp_path, rain):
    file = write(tmp_path / "f.nc", rain)
    lon, lat = file.grid.lon_lat(float(file.grid.x[5]), float(file.grid.y[3]))
    assert pixel_of_lon_lat(file.grid, lon, lat) == (3, 5)
    assert pixel_of_lon_lat(file.grid, lon - 40, lat) is None


def test_western_longitudes_are_found_on_a_grid_from_0_to_360(tmp_path, rain):
    file = write(tmp_path / "f.nc", rain, crs="EPSG:4326", size=0.01, centre=(262.0, 35.0))
    row, column = pixel_of_lon_lat(file.grid, -98.0, 35.0)
    assert (row, column) in {(row, column) for row in (19, 20) for column in (29, 30)}
    assert lon_lat_of_pixel(file.grid, row, column) == pytest.approx((-98.0, 35.0), abs=0.006)


@pytest.mark.parametrize("first", [0.0, -180.0, -0.05])
@pytest.mark.parametrize("lon", [359.95, -0.05, 359.9, 0.0, 360.0, 179.97, -179.97, 180.0, 12.34])
def test_any_longitude_is_found_on_a_grid_around_the_earth(first, lon):
    """-0.05 and 359.95 are one place, whichever way the file counts."""
    grid = Grid(crs=CRS.from_epsg(4326), x=first + 0.1 * np.arange(3600), y=50 - 0.1 * np.arange(20))
    row, column = pixel_of_lon_lat(grid, lon, 49.0)
    at_lon, _ = lon_lat_of_pixel(grid, row, column)
    assert abs((at_lon - lon + 180) % 360 - 180) <= 0.05 + 1e-6
    assert row == 10


def test_a_grid_across_greenwich_accepts_both_conventions():
    grid = Grid(crs=CRS.from_epsg(4326), x=-0.2 + 0.01 * np.arange(40), y=52 - 0.01 * np.arange(30))
    assert pixel_of_lon_lat(grid, 359.85, 51.9) == pixel_of_lon_lat(grid, -0.15, 51.9) == (10, 5)
    assert pixel_of_lon_lat(grid, 350.0, 51.9) is None


def test_a_place_is_found_on_a_rotated_grid():
    """COSMO's pole: its origin lies at 50.75 N, 18 E; the degrees of its axes are none of a map."""
    crs = CRS.from_cf(
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": 39.25,
            "grid_north_pole_longitude": -162.0,
        }
    )
    grid = Grid(crs=crs, x=-2 + 0.02 * np.arange(201), y=2 - 0.02 * np.arange(201))
    assert pixel_of_lon_lat(grid, 18.0, 50.75) == (100, 100)
    assert lon_lat_of_pixel(grid, 100, 100) == pytest.approx((18.0, 50.75), abs=1e-6)
    assert pixel_of_lon_lat(grid, 0.0, 0.0) is None


THRESHOLDS = (0.1, 2.0)


def write_uncertain(path, rain, **changes):
    """Write a forecast with probabilities and three members: none of the rain, half of it, twice the rain."""
    probability = np.where(rain > 0, np.float32(0.8), np.float32(0.1)) * np.float32([1, 0.25]).reshape(2, 1, 1, 1)
    probability[:, np.isnan(rain)] = np.nan
    parts = {
        "output": ForecastOutput(thresholds_mm_h=THRESHOLDS, members=3),
        "probability": probability.astype(np.float32),
        "probability_method": "distribution",
        "members": np.stack([rain * np.float32(factor) for factor in (0, 0.5, 2)]),
        "field": "sharp",
    }
    return write(path, rain, **parts | changes)


@pytest.mark.parametrize("south_up", [False, True])
def test_field_probabilities_and_members_come_back(tmp_path, rain, south_up):
    file = write_uncertain(tmp_path / "f.nc", rain, south_up=south_up)
    assert (file.field, file.thresholds_mm_h, file.members) == ("sharp", THRESHOLDS, 3)
    assert file.probability_method == "distribution"
    there = rain[1, ::-1] if south_up else rain[1]
    np.testing.assert_allclose(file.frame(1), there, atol=0.006)
    likely = file.probability(1, 2.0)
    assert np.array_equal(np.isnan(likely), np.isnan(there))
    np.testing.assert_allclose(likely[there > 0], 0.2)
    np.testing.assert_allclose(likely[there == 0], 0.025, atol=0.0026)
    np.testing.assert_allclose(file.series(3, 5), [0, 42], atol=0.006)
    np.testing.assert_allclose(file.probability_series(3, 5), [[0.1, 0.8], [0.025, 0.2]], atol=0.0026)
    np.testing.assert_allclose(file.member_series(3, 5), [[0, 0], [0, 21], [0, 84]], atol=0.006)
    assert np.isnan(file.probability_series(3, 55)).all()
    assert np.isnan(file.member_series(3, 55)).all()


def test_a_threshold_that_the_file_does_not_have_is_an_error(tmp_path, rain):
    with pytest.raises(LookupError, match="no probability at 5 mm/h"):
        write_uncertain(tmp_path / "f.nc", rain).probability(0, 5.0)


def test_a_file_of_an_earlier_version_is_a_field_alone(tmp_path, rain):
    """Version 1.4 wrote neither the name of the field nor the new variables."""
    path = write(tmp_path / "f.nc", rain).path
    with netCDF4.Dataset(path, "a") as file:
        file["rainfall_rate"].delncattr("field")
    file = RainFile.open(path)
    assert (file.field, file.thresholds_mm_h, file.members, file.probability_method) == ("", (), 0, None)
    np.testing.assert_allclose(file.frame(1), rain[1], atol=0.006)
    assert file.probability_series(3, 5).shape == (0, 2)
    assert file.member_series(3, 5).shape == (0, 2)


def test_a_large_grid_keeps_its_likely_cell_and_never_turns_no_data_unlikely(tmp_path):
    rain = np.zeros((1, 37, 35), np.float32)
    rain[0, 20, 20] = np.nan
    probability = np.where(np.isnan(rain), np.nan, np.float32(0.01))[None].astype(np.float32)
    probability[0, 0, 9, 9] = 0.9
    asked = ForecastOutput(thresholds_mm_h=(0.5,))
    parts = {"output": asked, "probability": probability, "probability_method": "neighbourhood"}
    likely = write(tmp_path / "f.nc", rain, **parts).probability(0, 0.5, max_side=10)
    assert likely[2, 2] == pytest.approx(0.9)
    assert np.isnan(likely[5, 5])
    assert np.isfinite(likely).sum() == likely.size - 1
