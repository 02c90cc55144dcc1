"""CF netCDF in the field: times, periods, grids and units that deviate from the conventions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer

from model.core.errors import InputError, NotARadarFile, UnknownVariable
from model.core.forecast_file import write_netcdf
from model.readers import read

Edit = Callable[[Any, Any], None]
FRAMES, NY, NX = 4, 30, 40
START = "2024-06-01T00:00:00"
MINUTES = np.arange(FRAMES) * 5
LON = 5 + 0.01 * np.arange(NX)
LAT = 52 - 0.01 * np.arange(NY)
UTM = CRS.from_epsg(32633)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes rain of 6 mm/h (or mm) on one-dimensional latitude and longitude; `edit` may change the open file."""

    def write_file(
        edit: Edit | None = None,
        *,
        name: str = "rain",
        units: str = "mm h-1",
        standard_name: str = "rainfall_rate",
        time: dict[str, str] | None = None,
        times: Any = MINUTES,
        lon: Any = LON,
        lat: Any = LAT,
        file: str = "rain.nc",
    ) -> Path:
        with netCDF4.Dataset(tmp_path / file, "w") as dataset:
            for axis, length in (("time", FRAMES), ("y", NY), ("x", NX)):
                dataset.createDimension(axis, length)
            moments = dataset.createVariable("time", np.asarray(times).dtype, ("time",))
            moments.setncatts({"units": "minutes since 2024-06-01 00:00:00", "standard_name": "time", **(time or {})})
            moments[:] = times
            for axis, standard, values in (("x", "longitude", lon), ("y", "latitude", lat)):
                coordinate = dataset.createVariable(axis, "f8", (axis,))
                unit = "degrees_east" if axis == "x" else "degrees_north"
                coordinate.setncatts({"standard_name": standard, "units": unit})
                coordinate[:] = values
            rain = dataset.createVariable(name, "f4", ("time", "y", "x"))
            rain.setncatts({"units": units} | ({"standard_name": standard_name} if standard_name else {}))
            rain[:] = 6.0
            if edit:
                edit(dataset, rain)
        return tmp_path / file

    return write_file


def put(**attributes: Any) -> Edit:
    return lambda dataset, rain: rain.setncatts(attributes)


def projected(attributes: dict[str, Any], *, units: str = "m", step: float = 1000.0, variable: str = "crs") -> Edit:
    """x and y in a projection, described by a grid mapping of these attributes."""

    def edit(dataset: Any, rain: Any) -> None:
        for axis in "xy":
            dataset[axis].setncatts({"standard_name": f"projection_{axis}_coordinate", "units": units})
        dataset["x"][:] = (5e5 + np.arange(NX) * 1000) * step / 1000
        dataset["y"][:] = (5.5e6 - np.arange(NY) * 1000) * step / 1000
        if variable:
            dataset.createVariable(variable, "i4", ()).setncatts(attributes)
            rain.grid_mapping = variable

    return edit


# Periods of accumulations


def bounds(minutes: float) -> Edit:
    def edit(dataset: Any, rain: Any) -> None:
        dataset.createDimension("nv", 2)
        dataset.createVariable("time_bnds", "f8", ("time", "nv"))[:] = np.c_[MINUTES - minutes, MINUTES]
        dataset["time"].bounds = "time_bnds"

    return edit


def amounts(write: Callable[..., Path], edit: Edit | None = None, **change: Any) -> Any:
    return read([write(edit, **{"units": "mm", "standard_name": "rainfall_amount", "name": "amount", **change})])


@pytest.mark.parametrize(
    ("name", "long_name", "minutes"),
    [
        ("rain_accumulation_1h", "", 60),
        ("precip_60min", "", 60),
        ("RR1h", "", 60),
        ("acc_15_min", "", 15),
        ("rain", "Hourly accumulation", 60),
        ("rain", "3-hour precipitation, updated every 5 minutes", 180),
        ("rain", "accumulation over 30 minutes", 30),
        ("rain", "PT1H accumulation", 60),
        ("rain_5min", "", 5),
        ("rain_2d", "rain on level 3", 5),
        ("rain_1km_10min", "on a grid of 1 km", 10),
        ("rain_3600s", "", 60),
        ("rain", "P1D accumulation", 1440),
        ("rain", "PT1H30M", 90),
        ("rain", "rain in one hour", 60),
        ("rain", "rain of the last hour", 60),
        ("rain", "3-hourly rain", 180),
        ("rain", "half-hourly rain", 30),
        ("rain", "quarter-hourly rain", 15),
        ("rain_15min", "sub-hourly rain", 15),
        ("rain_10min", "precipitation amount (kg m-2, at 1 s-1)", 10),
    ],
)
def test_the_period_may_be_in_a_name(write: Callable[..., Path], name: str, long_name: str, minutes: float) -> None:
    sequence = amounts(write, put(long_name=long_name), name=name)
    assert np.nanmax(sequence.rain_rate) == pytest.approx(6 * 60 / minutes)
    assert sequence.attributes["quantity"] == f"accumulation over {minutes:g} min"


def test_an_interval_that_is_longer_than_the_step_is_the_period(write: Callable[..., Path]) -> None:
    hourly = amounts(write, put(cell_methods="time: sum (interval: 1 hour)"))
    assert np.nanmax(hourly.rain_rate) == pytest.approx(6)
    sampled = amounts(write, put(cell_methods="time: sum (interval: 1 minute)"))
    assert np.nanmax(sampled.rain_rate) == pytest.approx(72)


@pytest.mark.parametrize(
    ("attributes", "minutes"),
    [
        ({"accumulation_period": "3600 s"}, 60),
        ({"accumulation_period": "01:00:00"}, 60),
        ({"accumulation_period": 60, "accumulation_period_units": "minutes"}, 60),
        ({"accumulation_period": "1", "accumulation_period_unit": "h"}, 60),
        ({"accumulation_period": "PT3600S"}, 60),
        ({"accumulation_period": "P1D"}, 1440),
        ({"accumulation_time": "0 days 00:30:00"}, 30),
        ({"accumulation_interval": "one hour"}, 60),
        ({"integration_time_seconds": 3600.0}, 60),
        ({"accumulation_minutes": 15}, 15),
        ({"statistical_process_duration": "1 hours (ending at forecast time)"}, 60),
        ({"cell_methods": "time: sum (interval: 3600 s)"}, 60),
    ],
)
def test_the_period_may_be_in_an_attribute(
    write: Callable[..., Path], attributes: dict[str, str | float], minutes: float
) -> None:
    assert amounts(write, put(**attributes)).attributes["quantity"] == f"accumulation over {minutes:g} min"


@pytest.mark.parametrize(
    "attributes",
    [
        {"accumulation_period": 60},
        {"integration_time": 3600.0},
        {"accumulation_period": "since midnight"},
        {"long_name": "rain since midnight"},
        {"long_name": "24-hour rain since 00 UTC"},
        {"long_name": "storm total rain"},
    ],
)
def test_a_period_that_is_not_clear_is_refused_without_bounds(
    write: Callable[..., Path], attributes: dict[str, str | float]
) -> None:
    with pytest.raises(NotARadarFile, match="does not give the period") as caught:
        amounts(write, put(**attributes))
    assert "with a unit" in caught.value.hint

    def with_bounds(dataset: Any, rain: Any) -> None:
        put(**{**attributes, "long_name": "rain"})(dataset, rain)
        bounds(60)(dataset, rain)

    assert np.nanmax(amounts(write, with_bounds).rain_rate) == pytest.approx(6)


def test_the_period_may_be_in_the_title_alone(write: Callable[..., Path]) -> None:
    def titled(title: str) -> Edit:
        return lambda dataset, rain: dataset.setncattr("title", title)

    hourly = amounts(write, titled("Hourly rain of the radars"))
    assert np.nanmax(hourly.rain_rate) == pytest.approx(6)
    assert "comes from the title of the file" in hourly.notes[0]
    assert np.nanmax(amounts(write, titled("Hourly rain"), name="rain_15min").rain_rate) == pytest.approx(24)
    assert np.nanmax(amounts(write, titled("Rain, a daily file")).rain_rate) == pytest.approx(72)


def test_of_one_frame_the_duration_of_the_file_is_the_period(write: Callable[..., Path], tmp_path: Path) -> None:
    with xr.open_dataset(write(name="amount", units="mm", standard_name="rainfall_amount")) as dataset:
        dataset.isel(time=[0]).assign_attrs(time_coverage_duration="PT1H").to_netcdf(tmp_path / "one.nc")
    assert np.nanmax(read([tmp_path / "one.nc"]).rain_rate) == pytest.approx(6)


def test_the_time_step_is_the_last_resort_with_a_note(write: Callable[..., Path]) -> None:
    assert any("the time step, 5 min" in note for note in amounts(write).notes)
    assert not amounts(write, name="rain_5min").notes


@pytest.mark.parametrize(("name", "minutes"), [("rain_1h", 5.0), ("rain_5min", 60.0), ("daily_rain", 60.0)])
def test_a_contradiction_is_refused(write: Callable[..., Path], name: str, minutes: float) -> None:
    with pytest.raises(
        NotARadarFile, match=rf"{minutes:g} min by the bounds of the time; .* by the name '{name}'"
    ) as caught:
        amounts(write, bounds(minutes), name=name)
    assert "bounds" in caught.value.hint


def test_bounds_that_are_an_hour_but_for_a_second_agree_with_the_name(write: Callable[..., Path]) -> None:
    assert np.nanmax(amounts(write, bounds(59.98), name="rain_1h").rain_rate) == pytest.approx(6, rel=1e-3)


def test_two_periods_in_one_name_need_bounds(write: Callable[..., Path]) -> None:
    with pytest.raises(NotARadarFile, match="5 or 60 min"):
        amounts(write, name="rain_1h_5min")
    assert np.nanmax(amounts(write, bounds(60), name="rain_1h_5min").rain_rate) == pytest.approx(6)


@pytest.mark.parametrize("edit", [bounds(60), put(long_name="hourly")])
def test_overlapping_means_are_noted(write: Callable[..., Path], edit: Edit) -> None:
    sequence = amounts(write, edit)
    assert np.nanmax(sequence.rain_rate) == pytest.approx(6)
    assert any("means over 60 min, one every 5 min" in note for note in sequence.notes)
    assert not amounts(write, bounds(5)).notes


def test_mean_rates_are_known_by_bounds(write: Callable[..., Path], tmp_path: Path) -> None:
    sequence = read([write(bounds(60))])
    assert np.nanmax(sequence.rain_rate) == pytest.approx(6)
    assert any("means over 60 min, one every 5 min" in note for note in sequence.notes)
    assert sequence.to_dataset().rainfall_rate.cell_methods == "time: mean"
    assert not read([write(bounds(5))]).notes


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("rain_rate_1h", {}),
        ("rain", {"long_name": "hourly mean rain rate"}),
        ("rain", {"long_name": "60 minute mean"}),
        ("rain", {"cell_methods": "time: mean (interval: 1 hour)"}),
        ("rain", {"averaging_period": "PT1H"}),
    ],
)
def test_mean_rates_are_known_by_words(write: Callable[..., Path], name: str, attributes: dict[str, str]) -> None:
    sequence = read([write(put(**attributes), name=name)])
    assert any("means over 60 min, one every 5 min" in note for note in sequence.notes)
    assert np.nanmax(sequence.rain_rate) == pytest.approx(6)


@pytest.mark.parametrize("long_name", ["rain rate in mm per hour", "rain rate, updated hourly", "kg m-2 h-1"])
def test_the_unit_of_a_rate_is_no_period(write: Callable[..., Path], long_name: str) -> None:
    sequence = read([write(put(long_name=long_name))])
    assert sequence.attributes["quantity"] == "rain rate"
    assert not sequence.notes


@pytest.mark.parametrize(("units", "standard_name"), [("mm h-1", "rainfall_rate"), ("mm", "rainfall_amount")])
def test_what_lasts_a_period_counts_at_its_end(write: Callable[..., Path], units: str, standard_name: str) -> None:
    """As in IMERG, the time is the start of the bounds."""

    def ahead(dataset: Any, rain: Any) -> None:
        dataset.createDimension("nv", 2)
        dataset.createVariable("time_bnds", "f8", ("time", "nv"))[:] = np.c_[MINUTES, MINUTES + 30]
        dataset["time"].bounds = "time_bnds"

    sequence = read([write(ahead, units=units, standard_name=standard_name)])
    np.testing.assert_array_equal(sequence.times, np.datetime64("2024-06-01T00:30") + MINUTES.astype("timedelta64[m]"))


def test_what_is_measured_at_a_point_of_time_counts_then(write: Callable[..., Path]) -> None:
    def instant(dataset: Any, rain: Any) -> None:
        bounds(60)(dataset, rain)
        dataset["time_bnds"][:] += 30
        rain.cell_methods = "time: point"

    sequence = read([write(instant)])
    assert sequence.times[0] == np.datetime64(START)
    assert not sequence.notes


def test_overlapping_means_of_several_files_are_noted(write_knmi: Callable[..., Path]) -> None:
    """In every format: here KNMI's, one frame per file."""
    paths = [
        write_knmi(f"{end}.h5", start=f"25-AUG-2010;23:{end:02}:00.000", end=f"26-AUG-2010;00:{end:02}:00.000")
        for end in (5, 10, 15)
    ]
    assert "means over 60 min, one every 5 min" in read(paths).notes[0]
    assert not read(paths[:1]).notes


# Times


@pytest.mark.parametrize(
    ("units", "times"),
    [
        ("nanoseconds since 1970-01-01", (1_717_200_000 + MINUTES * 60) * 10**9),
        ("ns since 2024-06-01T00:00:00Z", MINUTES * 60.0e9),
        ("microseconds since 2024-06-01", MINUTES * 60_000_000),
        ("days since 2024-06-01", MINUTES / 1440),
        ("hours since 2024-05-31 22:00:00 -2:00", MINUTES / 60),
        ("hours since 2024-06-01 05:30:00 +05:30", MINUTES / 60),
        ("seconds since 2024-06-01T00:00:00Z", MINUTES * 60),
        ("minutes since 2024-06-01 00:00 UTC", MINUTES),
        ("minutes since 2024-06-01 02:00 +2", MINUTES),
        ("minutes since 2024-06-01 02:00:00 UTC+2", MINUTES),
        ("minutes since 2024-06-01 01:00 GMT+1", MINUTES),
        ("minutes since 2024-05-31 18:0:0.0 -6", MINUTES),
        ("minutes since 2024-06-01 053000 +0530", MINUTES),
        ("minutes since 2024-05-31 1800", MINUTES + 360),
        ("minutes since 2024-05-31T18Z", MINUTES + 360),
        ("minutes since 2024/06/01", MINUTES),
        ("minutes since 20240601", MINUTES),
        ("minutes since 20240601T000000Z", MINUTES),
        ("minutes since 2024-6-1 0:0:0.0 0:00", MINUTES),
        ("seconds since 2024-06-01 00:00:00.000000000 (UTC)", MINUTES * 60),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "gregorian", "proleptic_gregorian", "julian", "noleap"])
def test_times_are_read_to_the_second(write: Callable[..., Path], units: str, times: Any, calendar: str) -> None:
    if calendar == "noleap" and "1970" in units:  # 14 leap days lie between
        calendar = "standard"
    sequence = read([write(time={"units": units, "calendar": calendar}, times=times)])
    expected = np.datetime64(START) + MINUTES * np.timedelta64(1, "m")
    assert np.abs(sequence.times - expected).max() < np.timedelta64(1, "ms")


def test_a_unit_as_long_as_a_book_is_refused_at_once(write: Callable[..., Path]) -> None:
    with pytest.raises(NotARadarFile, match="characters"):
        read([write(time={"units": "minutes since 2024-06-01" + " " * 1_000_000 + "x1"})])


@pytest.mark.parametrize("zone", ["CEST", "(CET)", "Europe/Berlin", "local", "PM", "UTC+2x", "+2:00:00"])
def test_a_zone_by_name_is_refused(write: Callable[..., Path], zone: str) -> None:
    with pytest.raises(NotARadarFile, match=re.escape(f"zone {zone!r}")):
        read([write(time={"units": f"minutes since 2024-06-01 02:00:00 {zone}"})])


@pytest.mark.parametrize("date", ["2024", "2024-06", "01-06-2024", "1 June 2024"])
def test_a_unit_without_a_date_is_refused(write: Callable[..., Path], date: str) -> None:
    with pytest.raises(NotARadarFile, match="which has no date"):
        read([write(time={"units": f"minutes since {date}"})])


@pytest.mark.parametrize(
    ("calendar", "units"),
    [
        ("julian", "minutes since 1850-01-01"),
        ("noleap", "minutes since 2000-01-01"),
        ("360_day", "days since 2000-01-01"),
    ],
)
def test_a_calendar_of_other_dates_is_refused(write: Callable[..., Path], calendar: str, units: str) -> None:
    days = (np.datetime64(START) - np.datetime64(units.split()[-1])) / np.timedelta64(1, "D")
    minutes = days * (1 if units.startswith("days") else 1440) + MINUTES
    with pytest.raises(NotARadarFile, match=f"calendar '{calendar}'"):
        read([write(time={"units": units, "calendar": calendar}, times=minutes)])


@pytest.mark.parametrize(
    "attributes",
    [
        {"nominal_product_time": "2024-06-01T00:05:00Z", "time_coverage_end": "2024-06-01T00:09:00Z"},
        {"time_coverage_start": "2024-06-01T00:00:00Z", "time_coverage_end": "2024-06-01T00:05:00.000Z"},
        {"valid_time": "20240601T000500Z"},
        {"nominal_time": "2024-06-01 02:05:00+02:00"},
        {"time_coverage_end": "2024-06-01 00:05:00 UTC"},
    ],
)
def test_a_valid_time_may_stand_in_the_files_attributes(tmp_path: Path, attributes: dict[str, str]) -> None:
    field = xr.DataArray(
        np.full((NY, NX), 6.0, np.float32),
        dims=("lat", "lon"),
        coords={"lat": 52 - 0.01 * np.arange(NY), "lon": 5 + 0.01 * np.arange(NX)},
        attrs={"units": "mm/h"},
    )
    field.to_dataset(name="rain").assign_attrs(attributes).to_netcdf(tmp_path / "a.nc")
    assert str(read([tmp_path / "a.nc"]).times[0]).startswith("2024-06-01T00:05:00")


def test_an_amounts_period_may_stand_in_the_files_attributes(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(name="amount", units="mm", standard_name="rainfall_amount")
    coverage = {"time_coverage_start": "2024-06-01T00:00:00Z", "time_coverage_end": "2024-06-01T00:30:00Z"}
    with xr.open_dataset(path) as dataset:
        dataset.isel(time=0).drop_vars("time").assign_attrs(coverage).to_netcdf(tmp_path / "one.nc")
    assert np.nanmax(read([tmp_path / "one.nc"]).rain_rate) == pytest.approx(12)


@pytest.mark.parametrize("year", [1, 1500, 1939, 2100, 2607, 9999])
def test_times_that_no_radar_has_seen_are_refused(write: Callable[..., Path], year: int) -> None:
    with pytest.raises(NotARadarFile, match=r"before the first weather radars|ahead of this machine's clock"):
        read([write(time={"units": f"minutes since {year:04}-02-03"})])


def test_no_format_takes_such_times(write_knmi: Callable[..., Path], write_npz: Callable[..., Path]) -> None:
    def knmi(year: int) -> Path:
        return write_knmi(start=f"26-AUG-{year:04};00:00:00.000", end=f"26-AUG-{year:04};00:05:00.000")

    def npz(year: int) -> Path:
        return write_npz(rain_rate=np.ones((1, 3, 3)), times=np.array([f"{year:04}-01-01"], "datetime64[s]"))

    def text(year: int) -> Path:
        return write_npz(rain_rate=np.ones((1, 3, 3)), times=np.array([f"{year:04}-01-01T00:00"]))

    for make in (knmi, npz, text):
        read([make(2020)])
        for year in (1, 1900, 2607, 9999):
            with pytest.raises(NotARadarFile, match=r"the time|invalid"):
                read([make(year)])


# Grids


@pytest.mark.parametrize(
    ("first", "west"), [(359.8, -0.2), (179.8, 179.8), (-0.2, -0.2), (230.0, -130.0), (10.0, 10.0)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_longitudes_may_jump(write: Callable[..., Path], first: float, west: float, turned: bool) -> None:
    step = 0.01 * np.arange(NX)
    lon = np.mod(first + step, 360) if first > 300 else np.mod(first + step + 180, 360) - 180
    if first == 230:
        lon = first + step
    sequence = read([write(lon=lon[::-1] if turned else lon)])
    assert sequence.grid.x == pytest.approx(west + step)


@pytest.mark.parametrize(
    "attributes",
    [
        {"proj4": "+proj=utm +zone=33 +datum=WGS84 +units=m"},
        {"proj4_params": "+proj=utm +zone=33 +datum=WGS84 +units=m", "long_name": "the projection"},
        {"proj4text": " +proj=utm +zone=33 +datum=WGS84"},
        {"spatial_ref": UTM.to_wkt()},
        {"crs_wkt": UTM.to_wkt()},
        {"epsg_code": "EPSG:32633"},
        {"epsg": 32633},
        {"gdal_projection": "+proj=utm +zone=33 +datum=WGS84 +units=m"},
    ],
)
def test_a_grid_mapping_may_be_a_text_of_proj(write: Callable[..., Path], attributes: dict[str, Any]) -> None:
    grid = read([write(projected(attributes))]).grid
    there = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(5e5, 5.5e6)
    assert grid.lon_lat(float(grid.x[0]), float(grid.y[0])) == pytest.approx(there, abs=1e-9)


def test_a_projection_may_stand_in_the_files_attributes(write: Callable[..., Path]) -> None:
    """As in NWC-SAF's products; also a grid mapping that the variable does not name."""

    def of_the_file(dataset: Any, rain: Any) -> None:
        projected({}, variable="")(dataset, rain)
        dataset.gdal_projection = "+proj=utm +zone=33 +datum=WGS84 +units=m"

    def not_named(dataset: Any, rain: Any) -> None:
        projected(UTM.to_cf())(dataset, rain)
        rain.delncattr("grid_mapping")

    for edit in (of_the_file, not_named):
        assert read([write(edit)]).grid.crs.utm_zone == "33N"


@pytest.mark.parametrize(
    ("units", "step"), [("kilometers", 1.0), ("kilometres", 1.0), ("Km", 1.0), ("meter", 1000.0), ("100 km", 0.01)]
)
def test_lengths_are_read_in_any_unit(write: Callable[..., Path], units: str, step: float) -> None:
    grid = read([write(projected(UTM.to_cf(), units=units, step=step))]).grid
    assert grid.pixel_size_m == pytest.approx((1000, 1000))
    assert grid.x[0] == pytest.approx(5e5)


def test_a_satellites_scanning_angles_become_metres(write: Callable[..., Path]) -> None:
    height = 35_785_831.0

    def edit(dataset: Any, rain: Any) -> None:
        mapping = {
            "grid_mapping_name": "geostationary",
            "perspective_point_height": height,
            "longitude_of_projection_origin": 0.0,
            "sweep_angle_axis": "y",
            "semi_major_axis": 6378137.0,
            "semi_minor_axis": 6356752.3,
        }
        projected(mapping)(dataset, rain)
        for axis, first in (("x", 0.01), ("y", 0.12)):
            dataset[axis].setncatts({"units": "radian", "standard_name": f"projection_{axis}_angular_coordinate"})
            dataset[axis][:] = first + (1 if axis == "x" else -1) * 8.4e-5 * np.arange(dataset[axis].size)

    grid = read([write(edit)]).grid
    assert grid.x[0] == pytest.approx(0.01 * height)
    assert 40 < grid.lon_lat(float(grid.x[0]), float(grid.y[0]))[1] < 60


ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def rotated(dataset: Any, rain: Any) -> None:
    for axis, name, values in (
        ("x", "grid_longitude", np.arange(NX) - 20.0),
        ("y", "grid_latitude", 15 - np.arange(NY)),
    ):
        dataset[axis].setncatts({"standard_name": name, "units": "degrees"})
        dataset[axis][:] = values * 0.1
    dataset.createVariable("rotated_pole", "i4", ()).setncatts(ROTATED)
    rain.grid_mapping = "rotated_pole"


def rotated_by_hand(lon: float, lat: float) -> tuple[float, float]:
    """Geographic longitude and latitude of a place in rotated coordinates, by spherical trigonometry."""
    lam, phi, pole = np.radians(lon), np.radians(lat), np.radians(39.25)
    north = np.arcsin(np.sin(phi) * np.sin(pole) + np.cos(phi) * np.cos(lam) * np.cos(pole))
    east = np.arctan2(np.cos(phi) * np.sin(lam), np.sin(pole) * np.cos(phi) * np.cos(lam) - np.sin(phi) * np.cos(pole))
    return float(np.degrees(east)) - 162 + 180, float(np.degrees(north))


def test_a_rotated_pole_survives_a_file(write: Callable[..., Path], tmp_path: Path) -> None:
    sequence = read([write(rotated)])
    write_netcdf(sequence, tmp_path / "ours.nc")
    with xr.open_dataset(tmp_path / "ours.nc") as dataset:
        assert (dataset.x.standard_name, dataset.y.standard_name) == ("grid_longitude", "grid_latitude")
        assert dataset.x.units == dataset.y.units == "degrees"
        assert dataset.crs.grid_mapping_name == ROTATED["grid_mapping_name"]
    for grid in (sequence.grid, read([tmp_path / "ours.nc"]).grid):
        place = grid.lon_lat(float(grid.x[3]), float(grid.y[4]))
        assert place == pytest.approx(rotated_by_hand(float(grid.x[3]), float(grid.y[4])), abs=0.2)  # a sphere's
        x, y = grid.x_y(*place)
        assert (float(x), float(y)) == pytest.approx((grid.x[3], grid.y[4]), abs=1e-6)


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        (CRS.from_epsg(5773), "EGM96 height' is a Vertical CRS"),
        (CRS.from_epsg(4978), "is a Geocentric CRS"),
        (CRS.from_wkt('LOCAL_CS["my field",UNIT["metre",1]]'), "is a Engineering CRS"),
    ],
)
def test_what_places_nothing_on_a_map_is_no_grid(
    write: Callable[..., Path], write_npz: Callable[..., Path], crs: CRS, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read([write(projected({"crs_wkt": crs.to_wkt()}))])
    arrays = {"x": np.arange(4.0), "y": np.arange(3.0), "crs": np.array(crs.to_wkt())}
    with pytest.raises(InputError, match=message):
        read([write_npz(rain_rate=np.ones((1, 3, 4)), times=np.array(["2020-01-01T00:00"]), **arrays)])


def test_of_a_compound_system_the_horizontal_part_counts(write: Callable[..., Path], tmp_path: Path) -> None:
    sequence = read([write(projected({"crs_wkt": CRS.from_epsg(5555).to_wkt()}))])
    assert sequence.grid.crs.to_epsg() == 25832
    write_netcdf(sequence, tmp_path / "ours.nc")
    assert read([tmp_path / "ours.nc"]).grid.matches(sequence.grid)
    assert len(read([write(projected({"crs_wkt": CRS.from_epsg(4979).to_wkt()}, units="degrees", step=0.01))]).grid.x)


def test_a_grid_off_the_earth_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="latitudes reach"):
        read([write(lat=500 - 0.1 * np.arange(NY))])
    with pytest.raises(NotARadarFile, match="does not lie on earth"):
        read([write(projected(UTM.to_cf(), step=1e12))])
    with pytest.raises(NotARadarFile, match="x is in 'm', the grid mapping in degrees"):
        read([write(projected(CRS.from_epsg(4326).to_cf()))])


# Data that are no maps


def cfradial(path: Path, *, conventions: str, names: tuple[str, str, str]) -> Path:
    with netCDF4.Dataset(path, "w") as dataset:
        rays, gates, _ = names
        if conventions:
            dataset.Conventions = conventions
        for name, length in ((rays, 36), (gates, 50)):
            dataset.createDimension(name, length)
            dataset.createVariable(name, "f4", (name,))[:] = np.arange(length)
        dataset.createVariable(names[2], "f4", (rays,))[:] = np.arange(36) * 10
        dataset.createVariable("DBZ", "f4", (rays, gates)).units = "dBZ"
    return path


@pytest.mark.parametrize(
    ("conventions", "names"),
    [
        ("CF/Radial instrument_parameters", ("time", "range", "azimuth")),
        ("Cf/Radial-2.0", ("time", "range", "azimuth")),
        ("", ("azimuth", "range", "elevation")),
        ("", ("rays", "gates", "beam")),
    ],
)
def test_polar_data_is_refused_as_polar(tmp_path: Path, conventions: str, names: tuple[str, str, str]) -> None:
    with pytest.raises(NotARadarFile, match=r"this is polar data \(.*not a map\. Make a Cartesian composite") as e:
        read([cfradial(tmp_path / "sweep.nc", conventions=conventions, names=names)])
    assert "wradlib" in e.value.hint
    assert "Py-ART" in e.value.hint


def test_a_volume_in_groups_is_called_polar(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "v2.nc", "w") as dataset:
        dataset.createGroup("sweep_0001")
    with pytest.raises(NotARadarFile, match="CfRadial"):
        read([tmp_path / "v2.nc"])


def test_two_dimensional_latitude_and_longitude_are_refused(tmp_path: Path) -> None:
    lon, lat = np.meshgrid(5 + 0.01 * np.arange(NX), 52 - 0.01 * np.arange(NY))
    xr.Dataset(
        {"rain": (("time", "j", "i"), np.ones((1, NY, NX), np.float32), {"units": "mm/h"})},
        coords={
            "time": np.array([START], "datetime64[ns]"),
            "lon": (("j", "i"), lon, {"units": "degrees_east"}),
            "lat": (("j", "i"), lat, {"units": "degrees_north"}),
        },
    ).to_netcdf(tmp_path / "curved.nc")
    with pytest.raises(
        NotARadarFile, match=r"latitude and longitude of the pixels are two-dimensional \(lo?a?"
    ) as caught:
        read([tmp_path / "curved.nc"])
    assert "regrid" in caught.value.hint


@pytest.mark.parametrize(
    ("dimension", "what"), [("height", "is a volume"), ("realization", "has a dimension realization")]
)
def test_an_extra_dimension_is_named(tmp_path: Path, dimension: str, what: str) -> None:
    xr.Dataset(
        {"dbz": (("time", dimension, "lat", "lon"), np.ones((1, 3, NY, NX), np.float32), {"units": "dBZ"})},
        coords={
            "time": np.array([START], "datetime64[ns]"),
            dimension: (dimension, [500.0, 1000.0, 1500.0], {"units": "m"} if dimension == "height" else {}),
            "lat": 52 - 0.01 * np.arange(NY),
            "lon": 5 + 0.01 * np.arange(NX),
        },
    ).to_netcdf(tmp_path / "volume.nc")
    with pytest.raises(UnknownVariable, match=what):
        read([tmp_path / "volume.nc"])


@pytest.mark.parametrize("attribute", ["unit", "Units", "UNITS"])
def test_other_words_for_units_are_read(write: Callable[..., Path], attribute: str) -> None:
    def edit(dataset: Any, rain: Any) -> None:
        rain.delncattr("units")
        rain.setncattr(attribute, "millimeter/hour")

    assert np.nanmax(read([write(edit)]).rain_rate) == pytest.approx(6)
