"""Exogenous fields: the sun where the pixel is, and files that are placed in space and time, or refused by name."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.errors import InputError
from model.core.grid import Grid
from model.runtime.exogenous_fields import fields_for, planes_of

WORLD = Grid.regular(CRS.from_epsg(4326), shape=(3, 5), pixel_size=1.0, centre=(15.0, 50.0))
DUTCH = Grid.regular(CRS.from_epsg(28992), shape=(20, 30), pixel_size=1000.0, centre=(155000.0, 463000.0))


def at(*texts):
    return np.array(texts, "datetime64[ns]")


def write(folder, name, values, x, y, times=None, **of_x):
    dims = ("y", "x") if times is None else ("time", "y", "x")
    coords = {"x": ("x", x, {"units": "degrees_east"} | of_x), "y": ("y", y, {"units": "degrees_north"} | of_x)}
    if times is not None:
        coords["time"] = times
    xr.Dataset({name: (dims, np.asarray(values, np.float32))}, coords).to_netcdf(folder / f"{name}.nc")


def test_solar_noon_comes_with_the_longitude():
    fields = fields_for(("solar-time",), at("2020-06-01T11:00", "2020-06-01T23:00"), WORLD, None)
    assert fields.shape == (2, 2, 3, 5)
    assert fields.dtype == np.float32
    assert fields[0, :, 1, 2] == pytest.approx([0, -1], abs=1e-6)  # 15 degrees east: noon an hour before Greenwich
    assert fields[1, :, 1, 2] == pytest.approx([0, 1], abs=1e-6)
    assert fields[0, 0, 1, 0] > 0 > fields[0, 0, 1, 4]  # morning in the west, afternoon in the east


def test_the_season_turns_once_a_year():
    times = at("2020-01-01", "2020-07-02", "2021-01-01")
    fields = fields_for(("season",), times, DUTCH, None)
    assert fields.shape == (3, 2, 20, 30)
    assert fields[:, 1, 0, 0] == pytest.approx([1, -1, 1], abs=1e-3)


def test_a_field_is_read_at_the_radar_in_any_projection_and_order(tmp_path):
    lon, lat = np.arange(0, 12, 0.5), np.arange(58, 45, -0.5)
    write(tmp_path, "height", lon + 100 * lat[:, None], lon, lat)
    (field,) = fields_for(("height",), at("2020-01-01"), DUTCH, tmp_path)[0]
    for row, column in ((0, 0), (7, 21), (19, 29)):
        there = DUTCH.lon_lat(DUTCH.x[column], DUTCH.y[row])
        assert field[row, column] == pytest.approx(there[0] + 100 * there[1], rel=1e-6)


def test_projected_coordinates_in_km_are_those_of_the_grid_mapping(tmp_path):
    x, y = np.arange(100, 210, 2.0), np.arange(420, 520, 2.0)
    dataset = xr.Dataset(
        {"a": (("y", "x"), (x + 0 * y[:, None]).astype(np.float32), {"grid_mapping": "crs"}), "crs": 0},
        {name: (name, v, {"axis": name.upper(), "units": "km"}) for name, v in (("x", x), ("y", y))},
    )
    dataset["crs"].attrs = DUTCH.cf_grid_mapping()
    dataset.to_netcdf(tmp_path / "a.nc")
    (field,) = fields_for(("a",), at("2020-01-01"), DUTCH, tmp_path)[0]
    assert field[3] == pytest.approx(DUTCH.x / 1000, rel=1e-6)


@pytest.mark.parametrize("spelling", ["kilometres", "Kilometers", "1000 m"])
def test_a_field_has_its_unit_in_every_spelling_that_radar_files_may_have(tmp_path, spelling):
    x, y = np.arange(100, 210, 2.0), np.arange(420, 520, 2.0)
    values = (x + 0 * y[:, None]).astype(np.float32)
    xr.Dataset(
        {"a": (("y", "x"), values, {"grid_mapping": "crs"}), "crs": ((), 0, {"proj4": "EPSG:28992"})},
        {name: (name, v, {"axis": name.upper(), "units": spelling}) for name, v in (("x", x), ("y", y))},
    ).to_netcdf(tmp_path / "a.nc")
    (field,) = fields_for(("a",), at("2020-01-01"), DUTCH, tmp_path)[0]
    assert field[3] == pytest.approx(DUTCH.x / 1000, rel=1e-6)


def test_a_field_in_an_unknown_unit_or_without_a_projection_is_refused(tmp_path):
    x = np.arange(0, 400.0, 10.0)
    for name, units, mapping in (("furlongs", "parrots", {"proj4": "EPSG:28992"}), ("nowhere", "km", {})):
        xr.Dataset(
            {
                name: (("y", "x"), np.zeros((x.size, x.size), np.float32), {"grid_mapping": "crs"}),
                "crs": ((), 0, mapping),
            }
            if mapping
            else {name: (("y", "x"), np.zeros((x.size, x.size), np.float32))},
            {axis: (axis, x, {"axis": axis.upper(), "units": units}) for axis in "xy"},
        ).to_netcdf(tmp_path / f"{name}.nc")
    with pytest.raises(InputError, match=r"furlongs\.nc: x is in 'parrots'"):
        fields_for(("furlongs",), at("2020-01-01"), DUTCH, tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.nc: the coordinates x and y are not in degrees"):
        fields_for(("nowhere",), at("2020-01-01"), DUTCH, tmp_path)


def test_longitudes_across_0_degrees_stay_in_order(tmp_path):
    lon, lat = np.arange(350, 370, 1.0) % 360, np.arange(40, 61, 1.0)
    write(tmp_path, "a", np.arange(20.0) + 0 * lat[:, None], lon, lat)
    grid = Grid.regular(CRS.from_epsg(4326), shape=(3, 3), pixel_size=1.0, centre=(-0.5, 50.0))
    assert fields_for(("a",), at("2020-01-01"), grid, tmp_path)[0, 0, 1].tolist() == [8.5, 9.5, 10.5]


def test_longitudes_from_0_to_360_hold_the_west_too(tmp_path):
    lon, lat = np.arange(0, 360, 1.0), np.arange(40, 61, 1.0)
    write(tmp_path, "a", lon + 0 * lat[:, None], lon, lat)
    grid = Grid.regular(CRS.from_epsg(4326), shape=(3, 3), pixel_size=1.0, centre=(-20.0, 50.0))
    assert fields_for(("a",), at("2020-01-01"), grid, tmp_path)[0, 0, 1].tolist() == [339, 340, 341]


def test_between_two_times_a_field_is_between_its_values(tmp_path):
    lon, lat, times = np.arange(5, 25, 1.0), np.arange(45, 55, 1.0), at("2020-01-01T00:00", "2020-01-01T01:00")
    write(tmp_path, "cape", np.array([10.0, 20.0])[:, None, None] + 0 * lat[:, None] + 0 * lon, lon, lat, times)
    wanted = at("2020-01-01T00:00", "2020-01-01T00:15", "2020-01-01T01:00")
    fields = fields_for(("cape", "season"), wanted, WORLD, tmp_path)
    assert fields.shape == (3, 3, 3, 5)
    assert fields[:, 0, 1, 1] == pytest.approx([10, 12.5, 20])
    with pytest.raises(InputError, match=r"cape.nc.*2020-01-01T00:00Z to 2020-01-01T01:00Z do not cover"):
        fields_for(("cape",), at("2020-01-01T01:05"), WORLD, tmp_path)


def test_the_package_comes_before_the_folder(tmp_path):
    lon, lat = np.arange(5, 25, 1.0), np.arange(45, 55, 1.0)
    for name, value in (("a", 1.0), ("field-a", 2.0)):
        write(tmp_path, name, value + 0 * lat[:, None] + 0 * lon, lon, lat)
    assert fields_for(("a",), at("2020-01-01"), WORLD, tmp_path)[0, 0, 0, 0] == 1
    assert fields_for(("a",), at("2020-01-01"), WORLD, None, package=tmp_path)[0, 0, 0, 0] == 2


def test_unusable_fields_are_refused_by_name(tmp_path):
    lon, lat, now = np.arange(5, 25, 1.0), np.arange(45, 55, 1.0), at("2020-01-01")
    with pytest.raises(InputError, match=r"the file orography\.nc is missing.*ECHOCAST_FIELDS"):
        fields_for(("orography",), now, WORLD, tmp_path)
    write(tmp_path, "small", 0 * lat[:4, None] + 0 * lon, lon, lat[:4])
    with pytest.raises(InputError, match=r"small\.nc.*does not cover the grid"):
        fields_for(("small",), now, WORLD, tmp_path)
    write(tmp_path, "holed", np.full((lat.size, lon.size), np.nan), lon, lat)
    with pytest.raises(InputError, match="missing values"):
        fields_for(("holed",), now, WORLD, tmp_path)
    xr.Dataset({name: (("y", "x"), np.zeros((2, 2))) for name in "ab"}).to_netcdf(tmp_path / "two.nc")
    with pytest.raises(InputError, match=r"two\.nc: it holds 2 fields"):
        fields_for(("two",), now, WORLD, tmp_path)
    xr.Dataset({"a": (("level", "x"), np.zeros((2, 2)))}).to_netcdf(tmp_path / "level.nc")
    with pytest.raises(InputError, match="dimensions level, x"):
        fields_for(("level",), now, WORLD, tmp_path)
    (tmp_path / "bad.nc").write_bytes(b"no netCDF")
    with pytest.raises(InputError, match=r"bad\.nc.*cannot be read"):
        fields_for(("bad",), now, WORLD, tmp_path)


def test_computed_fields_are_two_planes_and_a_file_is_one():
    assert planes_of(("solar-time", "orography", "season")) == 5
