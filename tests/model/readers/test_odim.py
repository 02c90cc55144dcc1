"""ODIM_H5 -> rain rate, place and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pyproj import CRS, Transformer

from model.core.errors import NotARadarFile, TooLarge, UnknownVariable
from model.readers import read

PROJDEF = "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
Write = Callable[..., Path]


@pytest.fixture
def write_odim(tmp_path: Path) -> Write:
    """Writes a composite of 2 km pixels with one image per (quantity, pixels) of `images`."""

    def write(
        name: str = "odim.h5",
        *images: tuple[str, Any],
        kind: str = "COMP",
        gain: float = 1.0,
        offset: float = 0.0,
        nodata: float = 255.0,
        undetect: float = 0.0,
        what: dict[str, Any] | None = None,
        where: dict[str, Any] | None = None,
    ) -> Path:
        images = images or (("RATE", [[1, 2, 0], [255, 3, 4]]),)
        ny, nx = np.shape(images[0][1])
        crs = CRS.from_proj4(PROJDEF)
        to_lon_lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        corners = {
            f"{corner}_{axis}": value
            for corner, x, y in (("UL", 0, 0), ("LR", nx * 2000, -ny * 2000))
            for axis, value in zip(("lon", "lat"), to_lon_lat.transform(x, y), strict=True)
        }
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
            file.create_group("what").attrs.update(
                object=np.bytes_(kind), date=np.bytes_("20180824"), time=np.bytes_("181500"), source=np.bytes_("ORG:1")
            )
            file.create_group("where").attrs.update(
                {"projdef": np.bytes_(PROJDEF), "xsize": nx, "ysize": ny, "xscale": 2000.0, "yscale": 2000.0}
                | corners
                | (where or {})
            )
            for number, (quantity, pixels) in enumerate(images, start=1):
                file[f"dataset{number}/data1/data"] = np.asarray(pixels)
                file[f"dataset{number}"].create_group("what").attrs.update(
                    {
                        "quantity": np.bytes_(quantity),
                        "gain": gain,
                        "offset": offset,
                        "nodata": nodata,
                        "undetect": undetect,
                        "startdate": np.bytes_("20180824"),
                        "starttime": np.bytes_("180000"),
                        "enddate": np.bytes_("20180824"),
                        "endtime": np.bytes_("181000"),
                    }
                    | (what or {})
                )
        return path

    return write


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


def test_real_file_lies_where_its_own_corners_say(real_data: Path) -> None:
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


def test_the_rain_is_found_beside_the_quality(write_odim: Write) -> None:
    path = write_odim("q.h5", ("QIND", [[9, 9], [9, 9]]), ("DBZH", [[1, 1], [1, 1]]), ("RATE", [[5, 5], [5, 5]]))
    assert read([path]).rain_rate.max() == 5
    assert read([path], variable="DBZH").attributes["quantity"] == "reflectivity"
    assert read([path], variable="dataset3/data1").rain_rate.max() == 5
    for bad in ("QIND", "VRAD"):
        with pytest.raises(UnknownVariable, match=r"DBZH \(dataset2/data1\)"):
            read([path], variable=bad)


def test_two_images_of_one_quantity_must_be_told_apart(write_odim: Write) -> None:
    path = write_odim("two.h5", ("RATE", [[1, 1], [1, 1]]), ("RATE", [[2, 2], [2, 2]]))
    with pytest.raises(UnknownVariable, match="2 images of RATE"):
        read([path])
    assert read([path], variable="dataset2/data1").rain_rate.max() == 2


@pytest.mark.parametrize("kind", ["PVOL", "SCAN"])
def test_polar_data_are_refused_with_the_mend(write_odim: Write, kind: str) -> None:
    with pytest.raises(NotARadarFile, match=r"polar volume .* Cartesian composite"):
        read([write_odim(kind=kind)])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": "VP"}, NotARadarFile, "object is VP"),
        ({"where": {"xscale": 1000.0}}, NotARadarFile, "xscale is 1000"),
        ({"where": {"xsize": 7}}, NotARadarFile, "its image is 2 x 3, its grid 2 x 7"),
        ({"where": {"projdef": np.bytes_("+proj=nonsense")}}, NotARadarFile, "cannot be read as ODIM_H5"),
        ({"what": {"quantity": np.bytes_("VRADH")}}, UnknownVariable, r"It holds VRADH \(dataset1/data1\)"),
    ],
)
def test_what_cannot_be_read_is_said(
    write_odim: Write, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read([write_odim(**change)], names=["odim-by-user.h5"])
    assert "odim-by-user.h5" in str(caught.value)


@pytest.mark.parametrize(
    ("group", "name"),
    [("dataset1/what", "gain"), ("dataset1/what", "undetect"), ("where", "UL_lon"), ("what", "date")],
)
def test_a_missing_attribute_is_named(write_odim: Write, group: str, name: str) -> None:
    path = write_odim()
    with h5py.File(path, "a") as file:
        del file[group].attrs[name]
    with pytest.raises(NotARadarFile, match=f"lacks the attribute {name}"):
        read([path])


def test_the_callers_limit_holds(write_odim: Write) -> None:
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
