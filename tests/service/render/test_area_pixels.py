"""Pixels of an area: exact shares, against a supersampling of each pixel by brute force."""

import numpy as np
import pytest
import shapely
from pyproj import CRS
from shapely import MultiPolygon, Polygon

from model.core.area_pixels import pixels_of_area
from model.core.errors import TooLarge
from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.forecast_variables import PROBABILITY
from model.core.grid import Grid
from model.core.grid_places import NotOnEarth
from service.render.area_series import area_statistics
from service.render.forecast_reader import RainFile

SUPERSAMPLING = 16
GRIDS = {
    "projected": Grid.regular(CRS.from_epsg(3035), shape=(36, 44), pixel_size=1000.0, centre=(4e6, 3e6)),
    "rows run north": Grid(crs=CRS.from_epsg(3035), x=4e6 + 1e3 * np.arange(44), y=3e6 + 1e3 * np.arange(36)),
    "polar": Grid.regular(CRS.from_epsg(3413), shape=(36, 44), pixel_size=4000.0, centre=(2e5, -3e5)),
    "degrees": Grid.regular(CRS.from_epsg(4326), shape=(36, 44), pixel_size=0.02, centre=(5.0, 52.0)),
}
SHAPES = {
    "triangle": shapely.from_wkt("POLYGON((10.2 8.1, 30.7 12.4, 18.3 29.9, 10.2 8.1))"),
    "with a hole": Polygon([(5.5, 5.5), (35.2, 6), (33, 30), (6, 28)], [[(12, 12), (22.3, 13), (20, 22.7)]]),
    "two parts": MultiPolygon([shapely.box(2.3, 2.6, 9.1, 7.7), shapely.box(20.5, 15.5, 20.9, 15.8)]),
    "across the border": shapely.box(-8, -5, 12.4, 9.3),
    "smaller than a pixel": shapely.box(7.2, 7.3, 7.4, 7.8),
}


def on_earth(grid, shape):
    """The area in degrees, of one in columns and rows from the corner of the first pixel."""

    def to_lon_lat(pixels):
        x = grid.x[0] + (pixels[:, 0] - 0.5) * (grid.x[1] - grid.x[0])
        y = grid.y[0] + (pixels[:, 1] - 0.5) * (grid.y[1] - grid.y[0])
        return np.column_stack(grid.lon_lat(x, y))

    return shapely.transform(shapely.segmentize(shape, 0.25), to_lon_lat)


def sampled(shape, grid):
    """The share of each pixel [y, x] that a shape in pixels covers, counted at many places in it."""
    steps = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING
    ny, nx = grid.shape
    x, y = np.meshgrid((np.arange(nx)[:, None] + steps).ravel(), (np.arange(ny)[:, None] + steps).ravel())
    inside = shapely.contains_xy(shape, x, y)
    return inside.reshape(ny, SUPERSAMPLING, nx, SUPERSAMPLING).mean(axis=(1, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_shares_of_pixels_are_those_counted_by_brute_force(grid, shape):
    grid, shape = GRIDS[grid], SHAPES[shape]
    pixels = pixels_of_area(grid, on_earth(grid, shape))
    fraction = pixels.weight / (np.cos(np.deg2rad(grid.y[pixels.rows])) if grid.crs.is_geographic else 1)
    found = np.zeros(grid.shape)
    found[pixels.rows, pixels.columns] = fraction
    expected = sampled(shape, grid)
    assert np.abs(found - expected).max() < 1.5 / SUPERSAMPLING
    assert found.sum() == pytest.approx(expected.sum(), rel=0.02, abs=0.02)
    on_grid = shape.intersection(shapely.box(0, 0, grid.shape[1], grid.shape[0])).area
    assert found.sum() == pytest.approx(on_grid, rel=2e-4)
    assert pixels.inside == pytest.approx(on_grid / shape.area, rel=2e-4)


def test_the_size_is_that_on_the_ellipsoid():
    zone = 2 * np.pi * 6371.0**2 * (np.sin(np.deg2rad(53)) - np.sin(np.deg2rad(52))) * 90 / 360
    assert pixels_of_area(GRIDS["degrees"], shapely.box(5, 52, 95, 53)).km2 == pytest.approx(zone, rel=0.005)


@pytest.mark.parametrize("area", [shapely.box(100, -40, 101, -39), shapely.box(4.0, 53.1, 4.1, 53.2)])
def test_an_area_elsewhere_has_no_pixels(area):
    pixels = pixels_of_area(GRIDS["projected"], area)
    assert (pixels.rows.size, pixels.inside) == (0, 0)


def test_a_part_without_a_place_in_the_projection_is_cut_off():
    satellite = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84")
    grid = Grid.regular(satellite, shape=(40, 40), pixel_size=20000.0, centre=(0, 4e6))
    pixels = pixels_of_area(grid, shapely.box(-120, 41, 3, 44))
    west = min(grid.lon_lat(grid.x[0], grid.y[row])[0] for row in set(pixels.rows.tolist()))
    assert pixels.inside == pytest.approx((3 - west) / 123, rel=0.1)
    assert pixels.columns.min() == 0


def test_a_grid_without_relation_to_the_earth_and_one_too_large_are_refused():
    mars = Grid.regular(CRS.from_user_input("ESRI:104905"), shape=(20, 20), pixel_size=0.1, centre=(0, 0))
    with pytest.raises(NotOnEarth):
        pixels_of_area(mars, shapely.box(0, 0, 1, 1))
    large = Grid.regular(CRS.from_epsg(3035), shape=(2000, 2000), pixel_size=100.0, centre=(4e6, 3e6))
    with pytest.raises(TooLarge, match="pixels"):
        pixels_of_area(large, shapely.box(0, 40, 20, 60))


def test_means_and_totals_are_those_of_the_pixels(tmp_path):
    grid, rng = GRIDS["degrees"], np.random.default_rng(0)
    rain = rng.gamma(0.5, 4, (3, *grid.shape)).astype(np.float32).round(2)
    rain[:, :, 30:] = np.nan
    rain[1, 10, 12] = np.nan
    members = np.stack([rain, 2 * rain])
    probability = np.stack([np.clip(rain / 20, 0, 1), np.clip(rain / 40, 0, 1)])
    forecast = Forecast(
        rain_rate=rain,
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.array([5.0, 10, 15]),
        grid=grid,
        attributes={},
        field="sharp",
        members=members,
        probability=probability,
        output=ForecastOutput(thresholds_mm_h=(0.1, 2.0), members=2),
        probability_method="distribution",
    )
    write_netcdf(forecast, tmp_path / "f.nc")
    file = RainFile.open(tmp_path / "f.nc")
    shape = SHAPES["with a hole"]
    pixels = pixels_of_area(grid, on_earth(grid, shape))
    weight = sampled(shape, grid) * np.cos(np.deg2rad(grid.y))[:, None]
    touched = np.zeros(grid.shape, bool)
    touched[pixels.rows, pixels.columns] = True
    known = np.isfinite(rain)
    hours = np.array([0, 1 / 12, 1 / 12])
    found = area_statistics(file, file.variable, pixels, hours)
    expected = [np.average(field[here], weights=weight[here]) for field, here in zip(rain, known, strict=True)]
    np.testing.assert_allclose(found.mean, expected, rtol=0.02)
    np.testing.assert_allclose(
        found.highest, [field[touched & here].max() for field, here in zip(rain, known, strict=True)], atol=0.006
    )
    np.testing.assert_allclose(found.share, [(weight * here).sum() / weight.sum() for here in known], rtol=0.01)
    complete = known[1] & known[2]
    total = (rain[1] + rain[2]) / 12
    assert found.total == pytest.approx(np.average(total[complete], weights=weight[complete]), rel=0.02)
    assert found.highest_total == pytest.approx(total[touched & complete].max(), abs=0.002)
    of_members = area_statistics(file, "rainfall_rate", pixels)
    np.testing.assert_allclose(of_members.mean[1], 2 * found.mean, rtol=2e-3)
    of_probability = area_statistics(file, PROBABILITY, pixels)
    expected = np.average(probability[0, 0][known[0]], weights=weight[known[0]])
    assert of_probability.mean[0, 0] == pytest.approx(expected, rel=0.03)
