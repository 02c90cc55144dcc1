"""KNMI HDF5 to rain rate, grid and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyproj import Transformer

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.zr import MARSHALL_PALMER, WSR88D
from model.readers import read

Write = Callable[..., Path]


def test_a_real_file_has_the_rain_of_its_formula(real_data: Path) -> None:
    path = real_data / "knmi" / "RAD_NL25_RAP_5min_201008260000.h5"
    sequence = read([path])
    with h5py.File(path) as file:
        raw = file["image1/image_data"][()]
        assert file["image1/calibration"].attrs["calibration_formulas"] == b"GEO=0.01*PV+0.0"

    row, column = np.unravel_index(np.argmax(np.where(raw == 65535, 0, raw)), raw.shape)
    # 0.01 mm per count in 5 minutes, twelve times an hour
    assert sequence.rain_rate[0, row, column] == pytest.approx(raw[row, column] * 0.01 * 12, rel=1e-6)
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[0]), raw == 65535)
    assert sequence.rain_rate[0, raw == 0].max() == 0
    assert sequence.times.tolist() == [np.datetime64("2010-08-26T00:00", "ns").astype(int)]
    assert sequence.attributes["quantity"] == "accumulation over 5 min"


def test_a_real_file_tells_its_pseudo_cappi(real_data: Path) -> None:
    sequence = read([real_data / "knmi" / "RAD_NL25_RAP_5min_201008260000.h5"])
    assert sequence.attributes["radar_product"] == "pseudo-CAPPI at 1500 m"


def test_a_real_file_has_its_own_corners(real_data: Path) -> None:
    path = real_data / "knmi" / "RAD_NL25_RAP_5min_201008260000.h5"
    grid = read([path]).grid
    with h5py.File(path) as file:
        corners = file["geographic"].attrs["geo_product_corners"].reshape(4, 2)  # LL, UL, UR, LR: lon lat
    half = 500.0
    left, right = grid.x[0] - half, grid.x[-1] + half
    top, bottom = grid.y[0] + half, grid.y[-1] - half
    for (x, y), expected in zip([(left, bottom), (left, top), (right, top), (right, bottom)], corners, strict=True):
        assert grid.lon_lat(x, y) == pytest.approx(expected, abs=2e-3)
    assert grid.north_up
    assert grid.pixel_size_m == pytest.approx((1000, 1000))


def test_92_real_frames_are_whole_and_named_where_missing(real_data: Path) -> None:
    paths = sorted((real_data / "knmi").glob("*.h5"))[:6]
    sequence = read([paths[i] for i in (4, 0, 5, 1, 3)])
    assert len(sequence) == 5
    assert sequence.attributes["gaps"] == "2010-08-26T00:10Z"
    assert sequence.time_step_minutes() == 5


def test_rain_is_accumulation_over_the_files_own_period(write_knmi: Write) -> None:
    pixels = np.array([[100, 0, 65535], [65534, 7, 0]], np.uint16)
    path = write_knmi(pixels=pixels, start="25-AUG-2010;23:55:00.000", end="26-AUG-2010;00:10:00.000")
    expected = [[4.0, 0.0, np.nan], [np.nan, 0.28, 0.0]]  # 1 mm in 15 minutes is 4 mm/h
    np.testing.assert_allclose(read([path]).rain_rate[0], expected, rtol=1e-6)


def test_calibration_is_read_not_assumed(write_knmi: Write) -> None:
    path = write_knmi(
        pixels=np.array([[1, 2], [9, 3]], np.uint8), formula="GEO = 0.5 * PV + -0.5", missing=9, outside=9
    )
    np.testing.assert_allclose(read([path]).rain_rate[0], [[0, 6], [np.nan, 12]], rtol=1e-6)


def test_reflectivity_uses_the_requested_z_r_relation(write_knmi: Write) -> None:
    path = write_knmi(
        pixels=np.array([[144, 0], [255, 40]], np.uint8),
        formula="GEO=0.5*PV+-32.0",
        parameter="REFLECTIVITY_[DBZ]",
        missing=0,
        outside=255,
    )
    rain = read([path]).rain_rate[0]
    assert rain[0, 0] == pytest.approx((10**4 / 200) ** (1 / 1.6), rel=1e-5)  # 40 dBZ, Z = 200 R^1.6
    assert rain[0, 1] == 0  # no echo
    assert rain[1, 1] == 0  # -12 dBZ
    assert np.isnan(rain[1, 0])
    other = read([path], zr="wsr-88d")
    assert other.rain_rate[0, 0, 0] == pytest.approx((10**4 / 300) ** (1 / 1.4), rel=1e-5)
    assert other.attributes["zr_relation"] == "wsr-88d: Z = 300 R^1.4"
    assert (MARSHALL_PALMER.a, WSR88D.a) == (200, 300)


def test_variable_chooses_the_image(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        file.copy("image1", "image2")
        file["image2/image_data"][...] = 100
    assert read([path], variable="image2").rain_rate.max() == pytest.approx(12)
    with pytest.raises(UnknownVariable, match=r"knmi\.h5: there is no variable 'image9'\. It holds image1, image2"):
        read([path], variable="image9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formula": "GEO=PV^2"}, "calibration formula"),
        ({"formula": "GEO=0.5*PV32"}, "calibration formula"),
        ({"formula": "GEO=-0.5*PV+32.0"}, "the gain of the formula .* is not positive"),
        ({"end": "26-AOU-2010;00:05:00"}, "product_datetime_end"),
        ({"end": "26-AUG-2010;00:00:00.000"}, "accumulation period"),
    ],
)
def test_unreadable_files_are_refused_with_the_reason(write_knmi: Write, change: dict[str, str], message: str) -> None:
    with pytest.raises(NotARadarFile, match=message) as caught:
        read([write_knmi(**change)], names=["mine.h5"])
    assert caught.value.where == "mine.h5"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("group", "attribute"),
    [
        ("image1/calibration", "calibration_formulas"),
        ("overview", "product_datetime_end"),
        ("geographic", "geo_row_offset"),
        ("geographic/map_projection", "projection_proj4_params"),
    ],
)
def test_a_missing_attribute_is_named(write_knmi: Write, group: str, attribute: str) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[group].attrs[attribute]
    with pytest.raises(NotARadarFile, match=f"lacks the attribute {attribute} of /{group}"):
        read([path])


def test_temperature_is_not_rain(write_knmi: Write) -> None:
    with pytest.raises(UnknownVariable, match=r"image1 holds TEMPERATURE_\[K\]"):
        read([write_knmi(parameter="TEMPERATURE_[K]")])


def test_real_corners_are_the_files_own(real_data: Path) -> None:
    path = real_data / "knmi" / "RAD_NL25_RAP_5min_201008260000.h5"
    grid = read([path]).grid
    with h5py.File(path) as file:
        corners = file["geographic"].attrs["geo_product_corners"].reshape(4, 2)
    to_lon_lat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    outer = [(-500, -500), (-500, 500), (500, 500), (500, -500)]
    ends = [(0, -1), (0, 0), (-1, 0), (-1, -1)]
    for (x, y), (dx, dy), corner in zip(ends, outer, corners, strict=True):
        assert to_lon_lat.transform(grid.x[x] + dx, grid.y[y] + dy) == pytest.approx(corner, abs=1e-3)


@pytest.mark.parametrize("change", [{"geo_row_offset": 3653.0}, {"geo_pixel_size_x": 1.5}, {"geo_column_offset": 1.0}])
def test_corners_that_contradict_the_grid_are_refused(write_knmi: Write, change: dict[str, float]) -> None:
    path = write_knmi()
    grid = read([path]).grid
    to_lon_lat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    ends = [(0, -4000), (0, 0), (3000, 0), (3000, -4000)]
    corners = [to_lon_lat.transform(x, -3_650_000 + y) for x, y in ends]
    with h5py.File(path, "a") as file:
        file["geographic"].attrs["geo_product_corners"] = np.float32(corners).round(3).reshape(-1)
    assert read([path]).grid.matches(grid)
    with h5py.File(path, "a") as file:
        file["geographic"].attrs.update({name: np.float32([value]) for name, value in change.items()})
    with pytest.raises(NotARadarFile, match=r"the corner \w\w lies \d+\.\d pixels off"):
        read([path])


def test_a_polar_volume_is_refused_as_polar(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        file["scan1/scan_Z_data"] = np.zeros((360, 240), np.uint8)
    for image in (True, False):
        with pytest.raises(NotARadarFile, match=r"this is polar data \(a KNMI volume.*composite first"):
            read([path])
        if image:
            with h5py.File(path, "a") as file:
                del file["image1"]


def test_a_forecast_is_not_an_observation(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        file["image1"].attrs["image_datetime_valid"] = np.bytes_("26-AUG-2010;00:05:00.000")
    assert len(read([path])) == 1
    with h5py.File(path, "a") as file:
        file["image2/image_data"] = np.zeros((4, 3), np.uint16)
        file["image2"].attrs["image_datetime_valid"] = np.bytes_("26-AUG-2010;00:10:00.000")
    with pytest.raises(NotARadarFile, match=r"this is a forecast: image2 .*00:10"):
        read([path])
