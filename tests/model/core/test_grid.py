"""Grid: accepted axes, and rounded pixel centres."""

import numpy as np
import pytest
from pyproj import CRS

from model.core.cf_coordinates import crs_from_cf
from model.core.errors import InputError
from model.core.grid import Grid

DEGREES = CRS.from_epsg(4326)
X = np.linspace(5.0, 8.0, 300)


def mercator_latitudes(south: float, north: float, rows: int) -> np.ndarray:
    up = np.linspace(*(np.arcsinh(np.tan(np.deg2rad(edge))) for edge in (north, south)), rows)
    return np.rad2deg(np.arctan(np.sinh(up)))


def test_even_axes_stay_as_they_are():
    y = 52.94 - 0.08 * np.arange(256)
    grid = Grid(crs=DEGREES, x=X, y=y)
    assert np.array_equal(grid.x, X)
    assert np.array_equal(grid.y, y)


@pytest.mark.parametrize("rounded", [lambda x: x.astype(np.float32), lambda x: x.round(4)])
def test_rounded_axes_are_made_even(rounded):
    y = np.linspace(54.995, 20.005, 3500)
    grid = Grid(crs=DEGREES, x=rounded(X), y=rounded(y))
    assert np.ptp(np.diff(grid.x)) < 1e-12
    assert np.abs(grid.y - y).max() < 0.0001
    again = Grid(crs=DEGREES, x=grid.x, y=grid.y)
    assert np.array_equal(again.x, grid.x)
    assert np.array_equal(again.y, grid.y)


def test_latitudes_of_a_mercator_grid_are_refused():
    with pytest.raises(InputError, match=r"along y are not evenly spaced: they are up to \d+\.\d pixels off.*Mercator"):
        Grid(crs=DEGREES, x=X, y=mercator_latitudes(45.0, 47.5, 1000))


@pytest.mark.parametrize("y", [[50.0, 50.0, 50.0], [50.0, 49.0, 47.0], [50.0, np.nan, 48.0]])
def test_axes_without_a_spacing_are_refused(y):
    with pytest.raises(InputError, match="along y are not evenly spaced"):
        Grid(crs=DEGREES, x=X, y=np.array(y))


@pytest.mark.parametrize(("parallel", "pole"), [(60, 90), (-71, -90)])
def test_the_grid_mapping_of_a_polar_projection_names_its_pole_as_cf_requires(parallel, pole):
    crs = CRS.from_proj4(f"+proj=stere +lat_0={pole} +lon_0=0 +lat_ts={parallel} +a=6378137 +b=6356752")
    grid = Grid.regular(crs, shape=(4, 4), pixel_size=1000.0, centre=(0, -3e6))
    mapping = grid.cf_grid_mapping()
    assert (mapping["latitude_of_projection_origin"], mapping["standard_parallel"]) == (pole, parallel)
    assert crs_from_cf(mapping) == grid.crs
