"""CF georeferencing by attributes alone, as netCDF4 and xarray give them."""

import numpy as np
import pytest
from pyproj import CRS

from model.core.cf_coordinates import axis_of, continuous_longitudes, crs_of, unit_factor
from model.core.errors import InputError, NotARadarFile

UTM = CRS.from_epsg(32633)


def test_a_grid_around_the_earth_stays_as_it_is():
    for lon in (np.arange(0, 360, 0.25), np.arange(-180, 180, 0.25)):
        assert continuous_longitudes(lon) is lon
    assert continuous_longitudes(np.mod(np.arange(180, 540, 0.25), 360)) == pytest.approx(np.arange(-180, 180, 0.25))


@pytest.mark.parametrize(
    ("name", "attributes", "axis"),
    [
        ("a", {"standard_name": "projection_x_coordinate"}, "x"),
        ("a", {"units": "degrees_north"}, "y"),
        ("a", {"axis": "T"}, "time"),
        ("valid_time", {"units": "hours since 2020-01-01"}, "time"),
        ("valid_time", None, "time"),
        ("level", {"positive": "up"}, "z"),
        ("lon", {}, "x"),
        ("member", {}, None),
    ],
)
def test_an_axis_is_known_by_standard_name_unit_axis_or_name(name, attributes, axis):
    assert axis_of(name, attributes) == axis


def test_the_first_grid_mapping_that_exists_gives_the_crs():
    mapping, other = UTM.to_cf(), CRS.from_epsg(28992).to_cf()
    named = {"grid_mapping": "crs"}
    assert crs_of(named, {"crs": mapping, "other": other}, {}, degrees=True) == UTM
    assert crs_of(named, {}, {}, degrees=True).to_epsg() == 4326
    assert crs_of({}, {"only": mapping, "station": {"units": "m"}}, {}, degrees=False) == UTM
    assert crs_of({}, {}, {"gdal_projection": "EPSG:32633"}, degrees=False) == UTM
    assert crs_of({}, {"crs": mapping, "other": other}, {}, degrees=False) is None
    with pytest.raises(InputError, match="the grid mapping cannot be read"):
        crs_of(named, {"crs": {"grid_mapping_name": "nonsense"}}, {}, degrees=False)


def test_a_coordinate_is_converted_to_the_unit_of_the_crs_or_refused():
    assert unit_factor(UTM, "x", {"units": "km"}) == 1000
    assert unit_factor(UTM, "x", {}) == 1
    assert unit_factor(CRS.from_epsg(4326), "lon", {"units": "degrees_east"}) == 1
    with pytest.raises(NotARadarFile, match="x is in 'parrots'"):
        unit_factor(UTM, "x", {"units": "parrots"})
    with pytest.raises(NotARadarFile, match="x is in 'm', the grid mapping in degrees"):
        unit_factor(CRS.from_epsg(4326), "x", {"units": "m"})
