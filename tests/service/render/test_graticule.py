"""Meridians and parallels: they must be at their true places."""

import numpy as np
import pytest
from pyproj import CRS

from model.core.grid import Grid
from model.core.grid_places import bounds_lon_lat
from service.render.graticule import graticule


def lines_of(grid):
    return {label: np.array(points) for label, points in graticule(grid)}


@pytest.mark.parametrize("south_up", [False, True])
def test_lines_lie_where_their_degrees_are(south_up):
    grid = Grid.regular(CRS.from_epsg(4326), shape=(100, 200), pixel_size=0.01, centre=(5.0, 52.0))
    if south_up:
        grid = Grid(crs=grid.crs, x=grid.x, y=grid.y[::-1])
    lines = lines_of(grid)
    assert np.allclose(lines["5°E"][:, 0], 0.5, atol=1e-3)
    assert np.allclose(lines["4.5°E"][:, 0], 0.25, atol=1e-3)
    assert np.allclose(lines["52.4°N"][:, 1], 0.1, atol=1e-3)
    assert bounds_lon_lat(grid) == pytest.approx((4.005, 51.505, 5.995, 52.495))


def test_lines_lie_where_their_degrees_are_on_a_large_grid_in_float32():
    lon, lat = np.linspace(100.005, 149.995, 5000), np.linspace(49.995, 20.005, 3000)
    lines = lines_of(Grid(crs=CRS.from_epsg(4326), x=lon.astype(np.float32), y=lat.astype(np.float32)))
    assert np.allclose(lines["140°E"][:, 0], 0.8, atol=1e-4)
    assert np.allclose(lines["30°N"][:, 1], 2 / 3, atol=1e-4)


def test_longitudes_from_0_to_360_are_labelled_as_west():
    grid = Grid.regular(CRS.from_epsg(4326), shape=(100, 200), pixel_size=0.01, centre=(262.0, 35.0))
    assert np.allclose(lines_of(grid)["98°W"][:, 0], 0.5, atol=1e-3)


def test_a_polar_stereographic_grid_has_curved_lines_that_cross_it():
    crs = CRS.from_proj4("+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378140 +b=6356750 +x_0=0 +y_0=0 +units=m")
    grid = Grid.regular(crs, shape=(765, 700), pixel_size=1000.0, centre=(350_000.0, -4_030_000.0))
    lines = lines_of(grid)
    assert {label[-1] for label in lines} == {"E", "N"}
    inside = [((points > 0) & (points < 1)).all(axis=1).any() for points in lines.values()]
    assert sum(inside) > 4


def test_a_grid_over_180_degrees_has_a_graticule_too():
    """Fiji: its bounds must not seem to go around the earth."""
    grid = Grid.regular(CRS.from_epsg(32701), shape=(100, 200), pixel_size=2000.0, centre=(160_000.0, 8_000_000.0))
    west, _, east, _ = bounds_lon_lat(grid)
    assert east - west < 5
    labels = set(lines_of(grid))
    assert {"179°E", "179°W"} <= labels


def test_lines_over_a_rotated_grid_are_those_of_a_map():
    crs = CRS.from_proj4("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +datum=WGS84")
    grid = Grid(crs=crs, x=-2 + 0.02 * np.arange(201), y=2 - 0.02 * np.arange(201))
    line = lines_of(grid)["18°E"]
    assert np.allclose(line[:, 0], 0.5, atol=1e-2)
    assert bounds_lon_lat(grid)[1] > 48
