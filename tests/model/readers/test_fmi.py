"""FMI PGM to rain rate, grid and time."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS, Transformer

from model.core.errors import NotARadarFile, TooLarge, UnknownVariable
from model.core.zr import FMI
from model.readers import read
from model.readers.fmi import EARTH_RADIUS_M

HEADER = """P5
# obstime {obstime}
# producttype CAPPI
# productname LOWEST
# param {param}
# metersperpixel_x {size}
# metersperpixel_y {size}
# projection radar {{
# type {kind}
# centrallongitude 25
# centrallatitude 90
# truelatitude 60
# bottomleft {left:.6f} {bottom:.6f}
# topright {right:.6f} {top:.6f}
# }}
{nx} {ny}
{largest}
"""


def pgm(pixels: np.ndarray, **change: object) -> bytes:
    """A PGM of 1 km pixels near Finland."""
    ny, nx = pixels.shape
    crs = CRS.from_proj4(f"+proj=stere +lat_0=90 +lon_0=25 +lat_ts=60 +R={EARTH_RADIUS_M} +units=m")
    to_lon_lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    left, bottom = to_lon_lat.transform(0, -3_000_000)
    right, top = to_lon_lat.transform(nx * 1000, -3_000_000 + ny * 1000)
    values = {
        "obstime": "201609281445",
        "param": "CorrectedReflectivity",
        "kind": "stereographic",
        "size": 1000.0,
        "left": left,
        "bottom": bottom,
        "right": right,
        "top": top,
        "nx": nx,
        "ny": ny,
        "largest": 255,
        **change,
    }
    return HEADER.format(**values).encode() + pixels.astype(np.uint8).tobytes()


PIXELS = np.array([[0, 255, 64, 144]] * 5)


def test_real_file_gives_the_rain_of_its_pixels(real_data: Path) -> None:
    path = sorted((real_data / "fmi").glob("*.gz"))[0]
    sequence = read([path])
    content = gzip.decompress(path.read_bytes())
    raw = np.frombuffer(content[-760 * 1226 :], np.uint8).reshape(1226, 760)
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[0]), raw == 255)
    assert sequence.rain_rate[0, raw == 0].max() == 0
    row, column = np.argwhere(raw == 124)[0]  # 30 dBZ
    assert sequence.rain_rate[0, row, column] == pytest.approx((1000 / 223) ** (1 / 1.53), rel=1e-5)
    assert str(sequence.times[0]).startswith("2016-09-28T14:45:00")
    assert sequence.attributes["zr_relation"] == "fmi: Z = 223 R^1.53"


def test_a_real_file_has_the_corners_of_its_header(real_data: Path) -> None:
    grid = read([sorted((real_data / "fmi").glob("*.gz"))[0]]).grid
    dy, dx = grid.pixel_size_m
    assert (dx, dy) == pytest.approx((999.674053, 999.62859), abs=2e-3)
    to_lon_lat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    assert to_lon_lat.transform(grid.x[0] - dx / 2, grid.y[-1] - dy / 2) == pytest.approx((18.6, 57.93), abs=1e-6)
    assert to_lon_lat.transform(grid.x[-1] + dx / 2, grid.y[0] + dy / 2) == pytest.approx((34.903, 69.005), abs=1e-6)


@pytest.mark.parametrize("compress", [False, True])
def test_plain_and_gzip_read_alike(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "anything.bin"
    path.write_bytes(gzip.compress(pgm(PIXELS)) if compress else pgm(PIXELS))
    sequence = read([path])
    expected = [0, np.nan, FMI.rain_rate_mm_h(np.float32(0)), FMI.rain_rate_mm_h(np.float32(40))]
    np.testing.assert_allclose(sequence.rain_rate[0, 0], expected, rtol=1e-5)
    assert sequence.grid.x[0] == pytest.approx(500, abs=0.5)
    assert sequence.grid.y[0] == pytest.approx(-2_995_500, abs=0.5)


def test_echo_below_minus_10_dbz_is_dry(tmp_path: Path) -> None:
    path = tmp_path / "faint.pgm"
    path.write_bytes(pgm(np.array([[43, 44], [1, 63]])))  # -10.5, -10, -31.5, -0.5 dBZ
    rain = read([path]).rain_rate[0]
    assert rain[0, 0] == 0
    assert rain[1, 0] == 0
    assert rain[0, 1] > 0
    assert rain[1, 1] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obstime": "yesterday"}, "obstime"),
        ({"obstime": ""}, "obstime"),
        ({"param": "Temperature"}, "not a reflectivity"),
        ({"kind": "mercator"}, "not stereographic"),
        ({"size": 500.0}, "pixels of 1000 along x, the file declares 500"),
        ({"largest": 65535}, "not 255"),
        ({"nx": 4000}, "cut short: it holds 20 of 20000 pixels"),
        ({"nx": 0}, "declared grid is empty"),
        ({"nx": -4}, "declared grid is empty"),
        ({"nx": "many"}, "cannot be read"),
    ],
)
def test_a_bad_header_is_refused_with_the_reason(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "upload-1"
    path.write_bytes(pgm(PIXELS, **change))
    with pytest.raises(NotARadarFile, match=message) as caught:
        read([path], names=["radar.pgm"])
    assert caught.value.where == "radar.pgm"
    assert "upload-1" not in str(caught.value)


def test_it_holds_one_variable(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(pgm(PIXELS))
    assert len(read([path], variable="reflectivity")) == 1
    with pytest.raises(UnknownVariable, match=r"a\.pgm: there is no variable 'nonsense': this format holds one"):
        read([path], variable="nonsense")


def test_the_limit_of_the_caller_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(pgm(PIXELS))
    assert len(read([path], max_pixels=20)) == 1
    with pytest.raises(TooLarge, match=r"a\.pgm: .*1 x 5 x 4 pixels"):
        read([path], max_pixels=19)


def test_a_header_that_never_ends_is_not_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "endless.pgm.gz"
    path.write_bytes(gzip.compress(b"P5\n" + b"# spam\n" * 200_000))
    with pytest.raises(NotARadarFile, match="header does not end"):
        read([path])


def test_a_gzip_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pgm.gz"
    path.write_bytes(gzip.compress(pgm(PIXELS, nx=100_000, ny=100_000)))
    with pytest.raises(TooLarge, match="100000 x 100000"):
        read([path])


def test_a_truncated_gzip_is_damaged(tmp_path: Path, real_data: Path) -> None:
    whole = sorted((real_data / "fmi").glob("*.gz"))[0].read_bytes()
    path = tmp_path / "cut.pgm.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotARadarFile, match="cut"):
        read([path])
