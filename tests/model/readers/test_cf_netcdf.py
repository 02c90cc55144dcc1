"""CF netCDF: rain rate, grid and time; and files of Echocast read back unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import InputError, MixedGrids, NotARadarFile, TooLarge, UnknownVariable
from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.packing import PACKED_RESOLUTION_MM_H
from model.core.sequence import FrameSequence
from model.readers import read

Write = Callable[..., Path]
TIMES = np.array(["2020-01-01T00:00", "2020-01-01T00:05", "2020-01-01T00:10"], "datetime64[ns]")
VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


@pytest.fixture
def write_cf(tmp_path: Path) -> Write:
    """Writes `variable(time, y, x)` on a 1 km UTM grid; `edit` may change the open file before it closes."""

    def write(
        name: str = "cf.nc",
        values: Any = VALUES,
        *,
        units: str = "mm h-1",
        standard_name: str = "rainfall_rate",
        dimensions: tuple[str, ...] = ("time", "y", "x"),
        variable: str = "rain",
        minutes: Any = (0, 5, 10),
        format: str = "NETCDF4",
        edit: Callable[[netCDF4.Dataset], None] | None = None,
        fill: float | None = None,
    ) -> Path:
        path = tmp_path / name
        shape = np.shape(values)
        with netCDF4.Dataset(path, "w", format=format) as file:
            for dimension, length in zip(dimensions, shape, strict=True):
                file.createDimension(dimension, length)
            if "time" in dimensions:
                time = file.createVariable("time", "f8", ("time",))
                time.setncatts({"standard_name": "time", "units": "minutes since 2020-01-01 00:00:00 UTC"})
                time[:] = minutes
            for axis in ("x", "y"):
                coordinate = file.createVariable(axis, "f8", (axis,))
                coordinate.setncatts({"standard_name": f"projection_{axis}_coordinate", "units": "m"})
                length = shape[dimensions.index(axis)]
                coordinate[:] = np.arange(length) * (1000.0 if axis == "x" else -1000.0)
            crs = file.createVariable("crs", "i4", ())
            crs.setncatts({key: value for key, value in CRS.from_epsg(32633).to_cf().items() if value is not None})
            rain = file.createVariable(variable, np.asarray(values).dtype, dimensions, fill_value=fill)
            rain.setncatts({"units": units, "grid_mapping": "crs"})
            if standard_name:
                rain.standard_name = standard_name
            rain.set_auto_maskandscale(False)
            rain[:] = values
            if edit:
                edit(file)
        return path

    return write


def sequence_of(rain: np.ndarray, **change: Any) -> FrameSequence:
    ny, nx = rain.shape[-2:]
    grid = Grid.regular(CRS.from_epsg(32633), shape=(ny, nx), pixel_size=1000.0, centre=(5e5, 5e6))
    attributes = {"radar_format": "KNMI HDF5", "quantity": "accumulation over 5 min", "zr_relation": "none"}
    return FrameSequence(**{"rain_rate": rain, "times": TIMES, "grid": grid, "attributes": attributes, **change})


# Real files


def test_real_file_gives_the_rain_of_its_counts(real_data: Path) -> None:
    path = real_data / "bom" / "66_20201031_060000.prcp-c10.nc"
    sequence = read([path])
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        raw = file["precipitation"][:]
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[0]), raw == -1)
    seen = raw != -1
    np.testing.assert_allclose(sequence.rain_rate[0][seen], raw[seen] * 0.05 * 6, rtol=1e-5)  # mm in 10 minutes
    assert sequence.rain_rate.max() > 10
    assert str(sequence.times[0]).startswith("2020-10-31T06:00:00")  # the end of its period
    assert sequence.attributes["quantity"] == "accumulation over 10 min"


def test_a_real_file_is_centred_on_its_radar(real_data: Path) -> None:
    grid = read([real_data / "bom" / "66_20201031_060000.prcp-c10.nc"]).grid
    assert grid.pixel_size_m == pytest.approx((500, 500))
    assert grid.lon_lat(0, 0) == pytest.approx((153.24, -27.7178), abs=1e-3)  # Mt Stapylton
    assert grid.north_up


# Files of Echocast


@pytest.mark.parametrize("mask", [None, np.eye(4, 5, dtype=bool)])
def test_our_own_sequence_comes_back_as_it_was(tmp_path: Path, mask: np.ndarray | None) -> None:
    rain = VALUES.copy()
    rain[0, 0, 0] = np.nan
    before = sequence_of(rain, mask=mask)
    before.to_dataset().to_netcdf(tmp_path / "own.nc")
    after = read([tmp_path / "own.nc"])
    assert after.digest() == before.digest()
    assert after.grid.matches(before.grid)
    assert dict(after.attributes) == dict(before.attributes)
    if mask is None:
        assert after.mask is None
    else:
        np.testing.assert_array_equal(after.mask, mask)


def test_our_own_packed_file_comes_back_to_its_packing(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rain = rng.gamma(0.3, 5, (3, 40, 50)).astype(np.float32)
    rain[1, :5] = np.nan
    before = sequence_of(rain)
    write_netcdf(before, tmp_path / "packed.nc")
    after = read([tmp_path / "packed.nc"])
    np.testing.assert_array_equal(np.isnan(after.rain_rate), np.isnan(rain))
    np.testing.assert_allclose(after.rain_rate, rain, atol=PACKED_RESOLUTION_MM_H / 2 + 1e-5)
    np.testing.assert_array_equal(after.times, before.times)
    assert after.grid.matches(before.grid)


def test_our_own_forecast_is_no_observation_and_its_input_is(tmp_path: Path) -> None:
    sequence = sequence_of(VALUES)
    forecast = Forecast(
        rain_rate=VALUES,
        reference_time=np.datetime64("2020-01-01T00:00", "ns"),
        lead_minutes=np.array([5.0, 10.0, 15.0]),
        grid=sequence.grid,
        attributes={"model": "persistence@1"},
    )
    write_netcdf(forecast, tmp_path / "nowcast.nc")
    with pytest.raises(NotARadarFile, match=r"n\.nc: this is a forecast, from 2020-01-01T00:00Z\. Give observed"):
        read([tmp_path / "nowcast.nc"], names=["n.nc"])
    write_netcdf(sequence, tmp_path / "input.nc")
    np.testing.assert_allclose(read([tmp_path / "input.nc"]).rain_rate, VALUES, atol=0.006)


def lead_time(name: str, dimensions: tuple[str, ...], values: Any, **attributes: str) -> Callable[..., None]:
    def add(file: netCDF4.Dataset) -> None:
        variable = file.createVariable(name, "f8", dimensions)
        variable.setncatts(attributes)
        variable[...] = values

    return add


SINCE = "minutes since 2020-01-01 00:00:00 UTC"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lead_time("forecast_period", ("time",), [0, 5, 10], units="min"), "this is a forecast"),
        (lead_time("lead", (), 5, units="min", standard_name="forecast_period"), "this is a forecast"),
        (lead_time("lead", ("time",), [np.nan, 5, 10], standard_name="forecast_period"), "this is a forecast"),
        (
            lead_time("run", (), 5, units=SINCE, standard_name="forecast_reference_time"),
            "this is a forecast, from 2020-01-01T00:05Z",
        ),
    ],
)
def test_forecasts_of_others_are_no_observations(write_cf: Write, edit: Callable[..., None], message: str) -> None:
    with pytest.raises(NotARadarFile, match=message):
        read([write_cf(edit=edit)])


def called(name: str, **attributes: str) -> Callable[..., None]:
    return lambda file: (file[name] if name else file).setncatts(attributes)


@pytest.mark.parametrize(
    "edit",
    [
        called("time", long_name="forecast time"),  # pysteps' export
        called("", title="pysteps-generated nowcast"),
        called("", title="Rainfall forecast"),
        lead_time("leadtime", ("time",), [0, 5, 10], units="min"),
        lead_time("lead_time", (), 5, units="min"),
        lead_time("forecast_hour", (), 1, units="h"),
        lead_time("tau", ("time",), [0, 5, 10], units="min", long_name="lead time since the start"),
    ],
)
def test_a_forecast_may_be_known_by_its_words(write_cf: Write, edit: Callable[..., None]) -> None:
    with pytest.raises(NotARadarFile, match="this is a forecast"):
        read([write_cf(edit=edit)])


@pytest.mark.parametrize(
    "edit",
    [
        called("time", long_name="GRIB forecast or observation time"),
        called("", title="Radar composite of the Forecast Office"),
        called("", title="Radar input for nowcasting"),
        called("", title="Observed rain, as given to a nowcast"),
        lead_time("lead_time", (), 0, units="min"),
        lead_time("forecast_time", (), 10, units=SINCE),
    ],
)
def test_mentions_of_forecasts_do_not_make_one(write_cf: Write, edit: Callable[..., None]) -> None:
    np.testing.assert_array_equal(read([write_cf(edit=edit)]).rain_rate, VALUES)


def test_a_forecast_along_its_lead_times_is_no_observation(write_cf: Write) -> None:
    path = write_cf(
        dimensions=("lead", "y", "x"),
        edit=lead_time("lead", ("lead",), [5, 10, 15], units="min", standard_name="forecast_period"),
    )
    with pytest.raises(NotARadarFile, match="this is a forecast"):
        read([path])


@pytest.mark.parametrize(
    "edit",
    [
        lead_time("forecast_period", ("time",), 0, units="min"),
        lead_time("run", (), 10, units=SINCE, standard_name="forecast_reference_time"),
    ],
)
def test_an_analysis_is_an_observation(write_cf: Write, edit: Callable[..., None]) -> None:
    np.testing.assert_array_equal(read([write_cf(edit=edit)]).rain_rate, VALUES)


# Values


@pytest.mark.parametrize(
    ("units", "standard_name", "factor"),
    [
        ("mm h-1", "rainfall_rate", 1.0),
        ("mm/h", "", 1.0),
        ("kg m-2 s-1", "precipitation_flux", 3600.0),
        ("m s-1", "lwe_precipitation_rate", 3.6e6),
        ("mm", "rainfall_amount", 12.0),
        ("m", "lwe_thickness_of_precipitation_amount", 12_000.0),
        ("kg m-2", "precipitation_amount", 12.0),
    ],
)
def test_every_unit_becomes_mm_per_hour(write_cf: Write, units: str, standard_name: str, factor: float) -> None:
    values = (VALUES / factor).astype(np.float32)
    sequence = read([write_cf(values=values, units=units, standard_name=standard_name)])
    np.testing.assert_allclose(sequence.rain_rate, VALUES, rtol=1e-5)
    np.testing.assert_array_equal(sequence.times, TIMES)


def test_reflectivity_uses_the_requested_relation(write_cf: Write) -> None:
    path = write_cf(values=np.full((3, 4, 5), 40.0), units="dBZ", standard_name="equivalent_reflectivity_factor")
    assert read([path]).rain_rate[0, 0, 0] == pytest.approx((1e4 / 200) ** (1 / 1.6), rel=1e-5)
    assert read([path], zr="fmi").rain_rate[0, 0, 0] == pytest.approx((1e4 / 223) ** (1 / 1.53), rel=1e-5)


def test_packed_and_masked_values(write_cf: Write) -> None:
    counts = np.arange(60, dtype=np.int16).reshape(3, 4, 5)

    def pack(file: netCDF4.Dataset) -> None:
        file["rain"].setncatts({"scale_factor": 0.5, "add_offset": 10.0, "valid_max": np.int16(50)})

    expected = counts * 0.5 + 10.0
    expected[(counts == 7) | (counts > 50)] = np.nan
    np.testing.assert_allclose(read([write_cf(values=counts, fill=7, edit=pack)]).rain_rate, expected)


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        ({"valid_range": np.array([0, 20], np.float32)}, 0.0, 20.0),
        ({"valid_range": np.array([1, 20.5], np.float32)}, 1.0, 20.5),
        ({"valid_min": np.float64(2), "valid_max": np.float32(150)}, 2.0, 150.0),
        ({"valid_max": 25.0}, 0.0, 25.0),
        ({"valid_range": np.array([0, 50], np.int16)}, 0.0, 25.0),
    ],
)
def test_a_valid_range_of_floats_is_that_of_the_unpacked_values(
    write_cf: Write, limits: dict[str, Any], least: float, most: float
) -> None:
    counts = np.arange(60, dtype=np.int16).reshape(3, 4, 5)

    def pack(file: netCDF4.Dataset) -> None:
        file["rain"].setncatts({"scale_factor": np.float32(0.5), "missing_value": np.int16(3), **limits})

    expected = counts * 0.5
    expected[(counts == 7) | (counts == 3) | (expected < least) | (expected > most)] = np.nan
    np.testing.assert_allclose(read([write_cf(values=counts, fill=7, edit=pack)]).rain_rate, expected)


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF4"])
def test_classic_and_hdf5_read_alike(write_cf: Write, format: str) -> None:
    np.testing.assert_array_equal(read([write_cf(format=format)]).rain_rate, VALUES)


@pytest.mark.parametrize("dimensions", [("time", "x", "y"), ("y", "x", "time"), ("x", "time", "y")])
def test_any_order_of_dimensions(write_cf: Write, dimensions: tuple[str, ...]) -> None:
    order = [("time", "y", "x").index(dimension) for dimension in dimensions]
    path = write_cf(values=VALUES.transpose(order), dimensions=dimensions)
    np.testing.assert_array_equal(read([path]).rain_rate, VALUES)


def test_many_blocks_read_like_one(write_cf: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.readers.cf_netcdf.BLOCK_PIXELS", 40)  # two frames of 20, then one
    np.testing.assert_array_equal(read([write_cf()]).rain_rate, VALUES)


# Times


def test_bounds_give_the_period_and_its_end(write_cf: Write) -> None:
    def bound(file: netCDF4.Dataset) -> None:
        file.createDimension("two", 2)
        bounds = file.createVariable("time_bnds", "f8", ("time", "two"))
        bounds[:] = [(-2, 2), (3, 7), (8, 12)]  # 4 minutes around each time
        file["time"].bounds = "time_bnds"

    sequence = read([write_cf(units="mm", standard_name="rainfall_amount", edit=bound)])
    np.testing.assert_allclose(sequence.rain_rate, VALUES * 15, rtol=1e-6)
    assert [str(time)[11:16] for time in sequence.times] == ["00:02", "00:07", "00:12"]


def sampled(file: netCDF4.Dataset) -> None:
    file["rain"].cell_methods = "time: sum (interval: 1 min)"


def test_the_interval_of_the_samples_is_not_the_period(write_cf: Write) -> None:
    sequence = read([write_cf(units="mm", standard_name="rainfall_amount", edit=sampled)])
    np.testing.assert_allclose(sequence.rain_rate, VALUES * 12, rtol=1e-6)


def test_a_gap_does_not_lengthen_the_period(write_cf: Write) -> None:
    path = write_cf(minutes=(0, 15, 5), units="mm", standard_name="rainfall_amount")
    np.testing.assert_allclose(read([path]).rain_rate, VALUES[[0, 2, 1]] * 12, rtol=1e-6)


def test_a_start_time_gives_the_period(write_cf: Write) -> None:
    def start(file: netCDF4.Dataset) -> None:
        sampled(file)
        lead_time("start_time", ("time",), [-10], units=SINCE)(file)

    path = write_cf(values=VALUES[:1], minutes=[0], units="mm", standard_name="rainfall_amount", edit=start)
    np.testing.assert_allclose(read([path]).rain_rate, VALUES[:1] * 6, rtol=1e-6)


def test_an_interval_that_no_radar_has_is_the_period_of_one_frame(write_cf: Write) -> None:
    def hourly(file: netCDF4.Dataset) -> None:
        file["rain"].cell_methods = "time: sum (interval: 1 hour)"

    path = write_cf(values=VALUES[:1], minutes=[0], units="mm", standard_name="rainfall_amount", edit=hourly)
    assert read([path]).attributes["quantity"] == "accumulation over 60 min"


@pytest.mark.parametrize("edit", [None, sampled])
def test_an_accumulation_without_a_period_is_refused(write_cf: Write, edit: Callable[..., None] | None) -> None:
    path = write_cf(values=VALUES[:1], minutes=[0], units="mm", standard_name="rainfall_amount", edit=edit)
    with pytest.raises(NotARadarFile, match=r"does not give the period of the accumulation rain\. Give bounds"):
        read([path])


def test_a_scalar_time_and_single_length_dimensions(write_cf: Write) -> None:
    def add_time(file: netCDF4.Dataset) -> None:
        time = file.createVariable("valid_time", "i8", ())
        time.setncatts({"units": "seconds since 1970-01-01 00:00:00 UTC", "standard_name": "time"})
        time[...] = 1_577_836_800

    path = write_cf(values=VALUES[:1], dimensions=("height", "y", "x"), edit=add_time)
    sequence = read([path])
    assert sequence.rain_rate.shape == (1, 4, 5)
    assert str(sequence.times[0]).startswith("2020-01-01T00:00")


def test_times_in_another_zone_become_utc(write_cf: Write) -> None:
    def shift(file: netCDF4.Dataset) -> None:
        file["time"].units = "minutes since 2020-01-01 08:00:00 +08:00"

    np.testing.assert_array_equal(read([write_cf(edit=shift)]).times, TIMES)


def test_frames_out_of_order_are_sorted(write_cf: Write) -> None:
    sequence = read([write_cf(minutes=(10, 0, 5))])
    np.testing.assert_array_equal(sequence.times, TIMES)
    np.testing.assert_array_equal(sequence.rain_rate, VALUES[[1, 2, 0]])


# Grid


def test_kilometres_become_metres(write_cf: Write) -> None:
    def in_km(file: netCDF4.Dataset) -> None:
        for axis in ("x", "y"):
            file[axis].units = "km"
            file[axis][:] = file[axis][:] / 1000

    grid = read([write_cf(edit=in_km)]).grid
    assert grid.pixel_size_m == pytest.approx((1000, 1000))
    np.testing.assert_allclose(grid.x, np.arange(5) * 1000.0)


def test_kilometres_without_their_unit_are_refused(write_cf: Write) -> None:
    def in_km(file: netCDF4.Dataset) -> None:
        for axis in ("x", "y"):
            file[axis].delncattr("units")
            file[axis][:] = file[axis][:] / 1000

    with pytest.raises(NotARadarFile, match=r"pixels of 1 x 1 m are too small, probably because x and y are in km"):
        read([write_cf(edit=in_km)])


def test_ascending_rows_stay_ascending(write_cf: Write) -> None:
    def ascend(file: netCDF4.Dataset) -> None:
        file["y"][:] = np.arange(4) * 1000.0

    sequence = read([write_cf(edit=ascend)])
    assert not sequence.grid.north_up
    np.testing.assert_array_equal(sequence.rain_rate, VALUES)


def test_columns_from_east_to_west_are_turned(write_cf: Write) -> None:
    def turn(file: netCDF4.Dataset) -> None:
        file["x"][:] = np.arange(5)[::-1] * 1000.0

    sequence = read([write_cf(edit=turn)])
    assert sequence.grid.x[0] < sequence.grid.x[-1]
    np.testing.assert_array_equal(sequence.rain_rate, VALUES[..., ::-1])


def latlon(file: netCDF4.Dataset, first: float = 230.0) -> None:
    for axis, name, units in (("x", "longitude", "degrees_east"), ("y", "latitude", "degrees_north")):
        file[axis].setncatts({"standard_name": name, "units": units})
    file["x"][:] = first + np.arange(5) * 0.01
    file["y"][:] = 50 - np.arange(4) * 0.01
    file["rain"].delncattr("grid_mapping")


def test_longitude_and_latitude_need_no_grid_mapping(write_cf: Write) -> None:
    grid = read([write_cf(edit=latlon)]).grid
    assert grid.crs.is_geographic
    assert (grid.x[0], grid.y[0]) == pytest.approx((-130.0, 50.0))


def test_files_of_other_places_do_not_mix(write_cf: Write) -> None:
    one, other = write_cf("one.nc", edit=latlon), write_cf("two.nc", minutes=(15, 20, 25))
    with pytest.raises(MixedGrids, match=r"two\.nc: the grid is 4 x 5 .*, the grid of .*one\.nc is 4 x 5"):
        read([one, other])


# Unreadable files


def drop(attribute: str, variable: str) -> Callable[[netCDF4.Dataset], None]:
    return lambda file: file[variable].delncattr(attribute)


def put(variable: str, **attributes: Any) -> Callable[[netCDF4.Dataset], None]:
    return lambda file: file[variable].setncatts(attributes)


def without_crs(named: str = "") -> Callable[[netCDF4.Dataset], None]:
    def edit(file: netCDF4.Dataset) -> None:
        for name in file["crs"].ncattrs():
            file["crs"].delncattr(name)
        file["rain"].delncattr("grid_mapping")
        if named:
            file["rain"].grid_mapping = named

    return edit


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"edit": without_crs()}, NotARadarFile, "grid mapping of rain is not given"),
        ({"edit": without_crs("gone")}, NotARadarFile, "absent: 'gone'"),
        ({"edit": put("crs", crs_wkt="nonsense")}, InputError, "grid mapping cannot be read"),
        ({"edit": put("x", units="degC")}, NotARadarFile, "x is in 'degC'"),
        ({"edit": put("time", units="fortnights since my birthday")}, NotARadarFile, "which has no date"),
        (
            {"edit": put("time", units="days since 2019-01-01", calendar="360_day"), "minutes": (58, 59, 60)},
            NotARadarFile,
            "calendar '360_day'",
        ),
        ({"units": "K", "standard_name": ""}, UnknownVariable, r"It holds rain \(K\)"),
        ({"values": VALUES[0], "dimensions": ("y", "x")}, NotARadarFile, "the file has no valid time"),
        ({"dimensions": ("realization", "y", "x")}, UnknownVariable, "dimension realization of length 3"),
        ({"minutes": (0, 0, 5)}, InputError, "strictly increase"),
        ({"minutes": np.ma.masked_equal([0, 1, 2], 2)}, NotARadarFile, "time is missing for a frame"),
    ],
)
def test_unreadable_files_are_refused_with_the_reason(
    write_cf: Write, change: dict[str, Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read([write_cf("upload-3", **change)], names=["user.nc"])
    assert "user.nc" in caught.value.where
    assert "upload-3" not in str(caught.value)
    assert caught.value.hint


def test_a_declared_bomb_is_refused(tmp_path: Path, write_cf: Write) -> None:
    path = tmp_path / "bomb.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", 1), ("y", 20_000), ("x", 20_000)):
            file.createDimension(name, length)
            file.createVariable(name, "f8", (name,))
            file[name][:] = np.arange(length)
        file["time"].units = "minutes since 2020-01-01"
        file.createVariable("rain", "u1", ("time", "y", "x"), zlib=True, chunksizes=(1, 100, 100)).units = "mm/h"
    with pytest.raises(TooLarge, match="20000 x 20000"):
        read([path])


@pytest.mark.parametrize("format", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_the_limit_of_the_caller_counts(write_cf: Write, format: str) -> None:
    path = write_cf(format=format)
    assert len(read([path], max_pixels=60)) == 3
    with pytest.raises(TooLarge, match=r"cf\.nc: the file declares 3 x 4 x 5 pixels.* 59 in all"):
        read([path], max_pixels=59)


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_file_is_damaged(write_cf: Write, part: float) -> None:
    for format in ("NETCDF4", "NETCDF3_CLASSIC"):
        path = write_cf(f"{format}.nc", format=format)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        with pytest.raises(InputError, match=format):
            read([path])
