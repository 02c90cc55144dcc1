"""ODIM_H5 to rain rate, grid and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pyproj import Transformer

from model.core.errors import NotARadarFile, TooLarge, UnknownVariable
from model.readers import read

Write = Callable[..., Path]


def test_real_file_gives_its_own_rates(real_data: Path) -> None:
    path = real_data / "opera" / "T_PAAH21_C_EUOC_20180824180000.hdf"
    sequence = read([path])
    with h5py.File(path) as file:
        raw = file["dataset1/data1/data"][()]
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[0]), raw == -9999000.0)
    assert sequence.rain_rate[0, raw == -8888000.0].max() == 0
    wet = raw > 0
    assert wet.any()
    np.testing.assert_allclose(sequence.rain_rate[0][wet], raw[wet], rtol=1e-6)
    assert str(sequence.times[0]).startswith("2018-08-24T18:00:00")
    assert sequence.attributes["radar_format"] == "ODIM_H5"


def test_a_real_file_has_its_own_corners(real_data: Path) -> None:
    path = real_data / "opera" / "T_PAAH21_C_EUOC_20180824180000.hdf"
    grid = read([path]).grid
    with h5py.File(path) as file:
        where = dict(file["where"].attrs)
    to_lon_lat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    for corner, x, y in (
        ("UL", grid.x[0] - 1000, grid.y[0] + 1000),
        ("UR", grid.x[-1] + 1000, grid.y[0] + 1000),
        ("LR", grid.x[-1] + 1000, grid.y[-1] - 1000),
        ("LL", grid.x[0] - 1000, grid.y[-1] - 1000),
    ):
        expected = (where[f"{corner}_lon"], where[f"{corner}_lat"])
        assert to_lon_lat.transform(x, y) == pytest.approx(expected, abs=1e-4)


def test_undetect_is_dry_and_nodata_is_not(write_odim: Write) -> None:
    path = write_odim(gain=0.5, offset=1.0)
    np.testing.assert_allclose(read([path]).rain_rate[0], [[1.5, 2.0, 0.0], [np.nan, 2.5, 3.0]])


def test_accumulation_is_over_its_own_period_and_counts_at_its_end(write_odim: Write) -> None:
    sequence = read([write_odim("acrr.h5", ("ACRR", [[1, 2], [0, 255]]))])  # 10 minutes
    np.testing.assert_allclose(sequence.rain_rate[0], [[6, 12], [0, np.nan]], rtol=1e-6)
    assert str(sequence.times[0]).startswith("2018-08-24T18:10:00")
    assert sequence.attributes["quantity"] == "accumulation over 10 min"


@pytest.mark.parametrize("quantity", ["DBZH", "TH", "DBZ"])
def test_reflectivity_becomes_rain(write_odim: Write, quantity: str) -> None:
    path = write_odim("z.h5", (quantity, [[144, 0], [255, 20]]), gain=0.5, offset=-32.0)
    sequence = read([path])
    assert sequence.rain_rate[0, 0, 0] == pytest.approx((1e4 / 200) ** (1 / 1.6), rel=1e-5)
    assert sequence.rain_rate[0, 0, 1] == 0
    assert np.isnan(sequence.rain_rate[0, 1, 0])
    assert sequence.rain_rate[0, 1, 1] == 0  # -22 dBZ
    assert sequence.attributes["zr_relation"] == "marshall-palmer: Z = 200 R^1.6"


@pytest.mark.parametrize(
    ("what", "quantity", "told"),
    [
        ({"product": "PPI", "prodpar": 0.5}, "DBZH", "PPI at 0.5 degrees"),
        ({"product": "CAPPI", "prodpar": 1000.0}, "DBZH", "CAPPI at 1000 m"),
        ({"product": "PCAPPI", "prodpar": "500,?"}, "RATE", "pseudo-CAPPI at 500 m"),
        ({"product": "MAX"}, "DBZH", "column maximum"),
        ({"product": "COMP", "source": "ORG:247"}, "DBZH", "column maximum"),
        ({"product": "COMP", "source": "ORG:247"}, "RATE", None),
        ({"product": "COMP", "source": "ORG:82"}, "DBZH", None),
    ],
)
def test_what_the_radar_made_the_image_of_is_told(
    write_odim: Write, what: dict[str, Any], quantity: str, told: str | None
) -> None:
    path = write_odim("p.h5", (quantity, [[1, 1], [1, 1]]))
    with h5py.File(path, "r+") as file:
        for name, value in what.items():
            file["what" if name == "source" else "dataset1/what"].attrs[name] = value
    assert read([path]).attributes.get("radar_product") == told


def test_rain_is_preferred_over_quality(write_odim: Write) -> None:
    path = write_odim("q.h5", ("QIND", [[9, 9], [9, 9]]), ("DBZH", [[1, 1], [1, 1]]), ("RATE", [[5, 5], [5, 5]]))
    assert read([path]).rain_rate.max() == 5
    assert read([path], variable="DBZH").attributes["quantity"] == "reflectivity"
    assert read([path], variable="dataset3/data1").rain_rate.max() == 5
    for bad in ("QIND", "VRAD"):
        with pytest.raises(UnknownVariable, match=r"DBZH \(dataset2/data1\)"):
            read([path], variable=bad)


def test_the_user_chooses_among_two_images_of_one_quantity(write_odim: Write) -> None:
    path = write_odim("two.h5", ("RATE", [[1, 1], [1, 1]]), ("RATE", [[2, 2], [2, 2]]))
    with pytest.raises(UnknownVariable, match="2 images of RATE"):
        read([path])
    assert read([path], variable="dataset2/data1").rain_rate.max() == 2


@pytest.mark.parametrize("kind", ["PVOL", "SCAN"])
def test_polar_data_are_refused_with_a_hint(write_odim: Write, kind: str) -> None:
    with pytest.raises(NotARadarFile, match=rf"this is polar data \(ODIM_H5 object {kind}.* Cartesian composite"):
        read([write_odim(kind=kind)])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": "VP"}, NotARadarFile, "object is VP"),
        ({"what": {"gain": 0.0}}, NotARadarFile, "gain is 0"),
        ({"what": {"gain": -1.0}}, NotARadarFile, "gain is -1, not a positive number"),
        ({"what": {"gain": np.nan}}, NotARadarFile, "gain is nan"),
        ({"what": {"offset": np.nan}}, NotARadarFile, "offset is nan"),
        ({"where": {"xsize": 7}}, NotARadarFile, "the image is 2 x 3, the grid 2 x 7"),
        ({"where": {"projdef": np.bytes_("+proj=nonsense")}}, NotARadarFile, "cannot be read as ODIM_H5"),
        ({"what": {"quantity": np.bytes_("VRADH")}}, UnknownVariable, r"It holds VRADH \(dataset1/data1\)"),
    ],
)
def test_unreadable_files_are_refused_with_the_reason(
    write_odim: Write, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read([write_odim(**change)], names=["odim-by-user.h5"])
    assert "odim-by-user.h5" in str(caught.value)


@pytest.mark.parametrize(
    ("group", "name"),
    [("dataset1/what", "nodata"), ("where", "projdef"), ("what", "date")],
)
def test_a_missing_attribute_is_named(write_odim: Write, group: str, name: str) -> None:
    path = write_odim()
    with h5py.File(path, "a") as file:
        del file[group].attrs[name]
    with pytest.raises(NotARadarFile, match=f"lacks the attribute {name}"):
        read([path])


@pytest.mark.parametrize("quantity", ["RATE", "DBZH"])
def test_floats_without_scaling_are_the_values_themselves(write_odim: Write, quantity: str) -> None:
    pixels = np.array([[7.5, 0.0, np.nan], [2.5, 40.0, -32.0 if quantity == "DBZH" else 0.0]], np.float32)
    path = write_odim("float.h5", (quantity, pixels))
    with h5py.File(path, "a") as file:
        for name in ("gain", "offset", "nodata", "undetect"):
            del file["dataset1/what"].attrs[name]
    rain = read([path]).rain_rate[0]
    np.testing.assert_array_equal(np.isnan(rain), np.isnan(pixels))
    assert rain[1, 2] == 0
    expected = 40.0 if quantity == "RATE" else (1e4 / 200) ** (1 / 1.6)
    assert rain[1, 1] == pytest.approx(expected, rel=1e-5)


def test_integers_do_with_one_of_gain_and_offset(write_odim: Write) -> None:
    for absent, expected in (("offset", 0.5), ("gain", 4.0)):
        path = write_odim(gain=0.5, offset=3.0)
        with h5py.File(path, "a") as file:
            del file["dataset1/what"].attrs[absent]
        assert read([path]).rain_rate[0, 0, 0] == expected
    with h5py.File(path, "a") as file:
        del file["dataset1/what"].attrs["offset"]
    with pytest.raises(NotARadarFile, match="lacks the attribute gain"):
        read([path])


def test_integers_do_without_undetect(write_odim: Write) -> None:
    path = write_odim(gain=0.5)
    with h5py.File(path, "a") as file:
        del file["dataset1/what"].attrs["undetect"]
    np.testing.assert_allclose(read([path]).rain_rate[0], [[0.5, 1, 0], [np.nan, 1.5, 2]])


def test_a_fill_value_beyond_float32_is_no_data(write_odim: Write) -> None:
    path = write_odim("big.h5", ("RATE", np.array([[1.0, 1e300], [2.0, -1e300]])), nodata=1e300, undetect=-1e300)
    np.testing.assert_array_equal(read([path]).rain_rate[0], [[1, np.nan], [2, 0]])


def test_a_forecast_is_not_an_observation(write_odim: Write) -> None:
    later = {"startdate": np.bytes_("20180824"), "starttime": np.bytes_("182000"), "endtime": np.bytes_("182500")}
    with pytest.raises(NotARadarFile, match="forecast"):
        read([write_odim("fc.h5", ("ACRR", [[1, 2], [0, 255]]), what=later)])


@pytest.mark.parametrize(("clock", "minute"), [("1815", "18:15:00"), ("181507", "18:15:07")])
def test_a_time_of_four_digits_has_no_seconds(write_odim: Write, clock: str, minute: str) -> None:
    path = write_odim()
    with h5py.File(path, "a") as file:
        file["what"].attrs["time"] = np.bytes_(clock)
    assert str(read([path]).times[0])[11:19] == minute


@pytest.mark.parametrize("clock", ["18150", "181", "18150700", "18:15", ""])
def test_a_time_of_other_digits_is_refused(write_odim: Write, clock: str) -> None:
    path = write_odim()
    with h5py.File(path, "a") as file:
        file["what"].attrs["time"] = np.bytes_(clock)
    with pytest.raises(NotARadarFile, match="is not YYYYMMDDhhmmss"):
        read([path])


@pytest.mark.parametrize(
    ("start", "end", "quantity"),
    [("171500", "181500", "rain rate, mean over 60 min"), ("180500", "182000", "rain rate"), ("18", "18", "rain rate")],
    ids=["a mean", "when the radars scanned", "at one moment"],
)
def test_a_rate_that_is_a_mean_is_called_one(write_odim: Write, start: str, end: str, quantity: str) -> None:
    what = {"starttime": np.bytes_(start.ljust(6, "0")), "endtime": np.bytes_(end.ljust(6, "0"))}
    assert read([write_odim(what=what)]).attributes["quantity"] == quantity


def test_the_limit_of_the_caller_counts(write_odim: Write) -> None:
    assert len(read([write_odim()], max_pixels=6)) == 1
    with pytest.raises(TooLarge, match="1 x 2 x 3 pixels"):
        read([write_odim()], max_pixels=5)


def test_a_declared_bomb_is_refused(write_odim: Write) -> None:
    path = write_odim()
    with h5py.File(path, "a") as file:
        del file["dataset1/data1/data"]
        file.create_dataset("dataset1/data1/data", shape=(20_000, 20_000), dtype="u1", chunks=(100, 100))
    with pytest.raises(TooLarge, match="20000 x 20000"):
        read([path])
