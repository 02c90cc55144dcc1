"""GeoTIFF to rain rate, grid and time; decoded in a child process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from model.core.errors import InputError, MissingDependency, NotARadarFile, TooLarge, UnknownVariable
from model.readers import read, subprocess_decoding

pytestmark = pytest.mark.skipif(importlib.util.find_spec("rasterio") is None, reason="needs the extra geotiff")

Write = Callable[..., Path]
# In a process of its own, as in the reader: rasterio brings its own HDF5.
WRITER = """
import json, sys
import numpy as np, rasterio
from rasterio.transform import Affine
said = json.load(sys.stdin)
pixels = np.array(said["pixels"], said["type"])
pixels = pixels if pixels.ndim == 3 else pixels[np.newaxis]
profile = dict(driver="GTiff", height=pixels.shape[1], width=pixels.shape[2], count=pixels.shape[0], dtype=said["type"],
    crs=said["crs"], transform=Affine(*said["transform"]), nodata=said["nodata"])
profile |= said["profile"]
with rasterio.open(said["path"], "w", **profile) as image:
    if not said["profile"]:
        image.write(pixels)
    image.update_tags(**said["tags"])
    if said["scale"]:
        image.scales, image.offsets = [said["scale"][0]], [said["scale"][1]]
    if said["unit"]:
        image.units = [said["unit"]]
    if said["palette"]:
        image.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
"""
FMI = {"TIFFTAG_IMAGEDESCRIPTION": "COMP:PPI::DBZH", "TIFFTAG_DATETIME": "2020:07:24 12:00:00"}
PIXELS = [[144, 0, 255], [64, 20, 104]]
RAIN = [[(1e4 / 200) ** (1 / 1.6), 0, np.nan], [(1 / 200) ** (1 / 1.6), 0, (1e2 / 200) ** (1 / 1.6)]]


@pytest.fixture
def write_tif(tmp_path: Path) -> Write:
    """Writes a file like FMI's (8-bit dBZ in EPSG:3067, 250 m), with changes."""

    def write(name: str = "202007241200_composite.tif", **changes: Any) -> Path:
        path = tmp_path / name
        said = {
            "path": str(path),
            "pixels": PIXELS,
            "type": "uint8",
            "crs": "EPSG:3067",
            "transform": [250.0, 0.0, -118_331.0, 0.0, -250.0, 7_907_751.0],
            "nodata": 255,
            "scale": [0.5, -32.0],
            "unit": "",
            "tags": FMI,
            "palette": False,
            "profile": {},
        } | changes
        subprocess.run([sys.executable, "-c", WRITER], input=json.dumps(said).encode(), check=True)
        return path

    return write


def test_reflectivity_as_fmi_has_it(write_tif: Write) -> None:
    sequence = read([write_tif()])
    np.testing.assert_allclose(sequence.rain_rate[0], RAIN, rtol=1e-5)
    np.testing.assert_allclose(sequence.grid.x, [-118_206, -117_956, -117_706])
    np.testing.assert_allclose(sequence.grid.y, [7_907_626, 7_907_376])
    to_lon_lat = Transformer.from_crs("EPSG:3067", "EPSG:4326", always_xy=True)
    place = to_lon_lat.transform(sequence.grid.x[0], sequence.grid.y[0])
    assert sequence.grid.lon_lat(sequence.grid.x[0], sequence.grid.y[0]) == pytest.approx(place, abs=1e-6)
    assert str(sequence.times[0]) == "2020-07-24T12:00:00.000000000"
    assert sequence.attributes["quantity"] == "reflectivity"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # FMI's rain rate: 0.01 mm/h in 16 bits.
        (
            {
                "type": "uint16",
                "pixels": [[150, 0, 65535]] * 2,
                "nodata": 65535,
                "scale": [0.01, 0],
                "tags": FMI | {"TIFFTAG_IMAGEDESCRIPTION": "COMP:PPI::RATE"},
            },
            [1.5, 0, np.nan],
        ),
        (
            {"type": "float32", "pixels": [[1.5, 0, -9999]] * 2, "nodata": -9999, "scale": None, "unit": "mm/h"},
            [1.5, 0, np.nan],
        ),
        (
            {
                "pixels": [[144, 0, 255]] * 2,
                "nodata": None,
                "scale": None,
                "tags": {"Quantity": "dBZ", "Gain": "0.5", "Offset": "-32", "Nodata": "255", "Undetect": "0"},
            },
            [RAIN[0][0], 0, np.nan],
        ),
    ],
    ids=["16-bit rain rate", "floats in mm/h", "Gain and Offset"],
)
def test_values_as_others_have_them(write_tif: Write, changes: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose(read([write_tif(**changes)]).rain_rate[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("unit", "tags", "factor"),
    [
        ("mm/s", {}, 3600),
        ("in/hr", {}, 25.4),
        ("kg m-2 s-1", {"TIFFTAG_IMAGEDESCRIPTION": "rain rate"}, 3600),
        ("0.01 mm/h", {}, 0.01),
        ("", {"UNITS": "mm min-1"}, 60),
        ("", {"Quantity": "mm/s"}, 3600),
        ("", {"TIFFTAG_IMAGEDESCRIPTION": "Rain rate (mm/s)"}, 3600),
        ("", {"TIFFTAG_IMAGEDESCRIPTION": "Rain rate (1 km)"}, 1),
    ],
)
def test_the_unit_counts(write_tif: Write, unit: str, tags: dict[str, str], factor: float) -> None:
    path = write_tif(type="float32", pixels=[[0.02, 0, -9999]] * 2, nodata=-9999, scale=None, unit=unit, tags=tags)
    np.testing.assert_allclose(read([path]).rain_rate[0, 0], [0.02 * factor, 0, np.nan], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "tags", "time"),
    [
        ("composite.tif", {}, "2020-07-24T12:00"),
        ("202007241200_FIN-DBZ-3067-250M.tif", {}, "2020-07-24T12:00"),
        ("202007241205_dbz.tif", {"TIFFTAG_DATETIME": "unknown"}, "2020-07-24T12:05"),
        ("rdr1_d01_20251202Z1900_VMI.tiff", {"TIFFTAG_DATETIME": ""}, "2025-12-02T19:00"),
        ("20240601T0006Z_MSC_Radar.tif", {"TIFFTAG_DATETIME": ""}, "2024-06-01T00:06"),
        ("2024-06-01_00-05.tif", {"TIFFTAG_DATETIME": ""}, "2024-06-01T00:05"),
        ("x.tif", {"ObservationTime": "2020-07-24T11:55:00Z"}, "2020-07-24T11:55"),
        ("x.tif", {"ObservationTime": "2020-07-24T15:00:00.500+03:00"}, "2020-07-24T12:00"),
        ("x.tif", {"ObservationTime": "2020-07-24 06:30:00 UTC-5:30"}, "2020-07-24T12:00"),
        ("x.tif", {"ObservationTime": "2020-07-24 08:00:00 PM"}, "2020-07-24T20:00"),
        ("202007241500+0300_dbz.tif", {"TIFFTAG_DATETIME": ""}, "2020-07-24T12:00"),
        ("202007241200-2.tif", {}, "2020-07-24T12:00"),
        ("202007241200-3067.tif", {}, "2020-07-24T12:00"),
    ],
)
def test_the_valid_time_is_found(write_tif: Write, name: str, tags: dict[str, str], time: str) -> None:
    path = write_tif(name, tags=FMI | tags)
    assert str(read([path]).times[0]).startswith(time)
    assert str(read([path], names=[name]).times[0]).startswith(time)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "202007241155_x.tif"}, NotARadarFile, "DateTime gives 2020-07-24T12:00Z, the name 2020-07-24T11:55Z"),
        ({"name": "x.tif", "tags": {"UNITS": "dBZ"}}, NotARadarFile, "the file has no valid time. Name it by the time"),
        ({"tags": {"TITLE": "hail"}}, UnknownVariable, "do not tell whether this is reflectivity or rain rate"),
        (
            {"tags": FMI | {"ObservationTime": "2020-07-24T12:05Z"}},
            NotARadarFile,
            "observationtime gives 2020-07-24T12:05Z, the name 2020-07-24T12:00Z",
        ),
        ({"tags": FMI | {"ObservationTime": "2020-07-24 12:00 CEST"}}, NotARadarFile, "followed by 'CEST'.*UTC"),
        ({"tags": FMI | {"ValidTime": "2020-07-24 12:00/2020-07-24 13:00"}}, NotARadarFile, "holds two times"),
        ({"name": "202007241200_202007241300_dbz.tif"}, NotARadarFile, "the tag DateTime gives .* the name .2. "),
        ({"name": "nowcast_202007241200_dbz.tif"}, NotARadarFile, "this is a forecast"),
        ({"tags": FMI | {"TITLE": "30-minute forecast"}}, NotARadarFile, "this is a forecast"),
        ({"tags": FMI | {"leadtime": "30"}}, NotARadarFile, "this is a forecast"),
        ({"unit": "mm"}, UnknownVariable, "the unit is not one of reflectivity or rain rate .*'mm'"),
        ({"unit": "mm/h*100"}, UnknownVariable, "the unit is not one of"),
        ({"unit": "mm/h", "tags": FMI | {"UNITS": "dBZ"}}, UnknownVariable, "the unit is not one of"),
        ({"tags": {"Quantity": "mm/h*100"}}, UnknownVariable, "do not tell whether this is"),
        ({"tags": FMI | {"TIFFTAG_IMAGEDESCRIPTION": "0.5 dBZ"}}, UnknownVariable, "do not tell whether this is"),
        ({"name": "202007241200_rr_accumulation_1h.tif", "tags": {}}, UnknownVariable, "this is an accumulation"),
        ({"scale": [float("nan"), 0]}, NotARadarFile, "the scale is nan"),
        ({"scale": None}, NotARadarFile, "the file holds uint8 without a scale"),
        ({"crs": None}, NotARadarFile, "no coordinate reference system"),
        ({"transform": [250.0, 9.0, 0.0, 9.0, -250.0, 0.0]}, NotARadarFile, "do not run along the axes of the CRS"),
        ({"pixels": [PIXELS] * 3, "scale": None, "nodata": None}, NotARadarFile, r"this is a picture \(3 bands\)"),
        ({"palette": True, "scale": None}, NotARadarFile, r"this is a picture \(a palette\)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_unreadable_files_are_refused_with_the_reason(
    write_tif: Write, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    name = changes.pop("name", "202007241200_x.tif")
    with pytest.raises(error, match=message) as caught:
        read([write_tif(name, **changes)])
    assert name in str(caught.value)


def test_a_cut_one_is_damaged(write_tif: Write) -> None:
    path = write_tif(pixels=np.arange(10_000).reshape(100, 100).__mod__(200).tolist())
    whole = path.read_bytes()
    for part in (0.01, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError):
            read([path])


def test_limits(write_tif: Write) -> None:
    path = write_tif()
    assert len(read([path], max_pixels=6)) == 1
    with pytest.raises(TooLarge, match="1 x 2 x 3 pixels"):
        read([path], max_pixels=5)
    bomb = write_tif("202007241200_bomb.tif", profile={"width": 30_000, "height": 30_000, "sparse_ok": True})
    with pytest.raises(TooLarge, match="30000 x 30000"):
        read([bomb])


def test_files_around_an_image_are_not_opened(write_tif: Write) -> None:
    path = write_tif(crs=None)
    path.with_suffix(".tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:3067</SRS></PAMDataset>")
    path.with_suffix(".prj").write_text("EPSG:3067")
    with pytest.raises(NotARadarFile, match="no coordinate reference system"):
        read([path])


def test_without_rasterio_the_extra_is_named(write_tif: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tif()
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"tif.*echocast\[geotiff\]"):
        read([path])


def test_the_caller_never_loads_rasterio(write_tif: Write) -> None:
    script = (
        "import sys; from pathlib import Path; from model.readers import read\n"
        "read([Path(sys.argv[1])]); print('rasterio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(write_tif())], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
