"""RADOLAN and RADVOR composites to rain rate, grid and time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from model.core.errors import NotARadarFile, TooLarge, UnknownVariable
from model.readers import read

NO_DATA, SECONDARY, CLUTTER = 0x2000 | 2500, 0x1000, 0x8000


def radolan(
    product: str = "RW",
    pixels: Any = None,
    *,
    shape: tuple[int, int] = (900, 900),
    start: str = "",
    version: int = 3,
    precision: str = "E-01",
    interval: str = "INT  60",
    lead: str = "",
    text: str = "<asb,boo,ros,hnr>",
    length: int | None = None,
) -> bytes:
    """A composite as DWD describes it, with the first row of `pixels` in the south."""
    data = np.zeros(shape, "<u2") if pixels is None else pixels
    grid = f"GP{shape[0]:>4}x{shape[1]:>4}"

    def header(size: int) -> bytes:
        tokens = f"BY{size:>7}VS{version:>2}SW  P42003HPR {precision}{interval}{grid}{lead}MF 00000001"
        return f"{start or f'{product}010550100000624'}{tokens}MS{len(text):>3}{text}".encode() + b"\x03"

    return header(length or len(header(0)) + data.nbytes) + data.tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raa01-product_10000-2406010550-dwd---bin"


def test_values_flags_and_time(path: Path) -> None:
    pixels = np.zeros((900, 900), "<u2")
    pixels[0, :6] = [0, 123, NO_DATA, SECONDARY | 40, CLUTTER | 2490, 4095]
    path.write_bytes(radolan(pixels=pixels))
    sequence = read([path])
    np.testing.assert_allclose(sequence.rain_rate[0, 0, :6], [0, 12.3, np.nan, 4.0, np.nan, 409.5], rtol=1e-6)
    assert str(sequence.times[0]) == "2024-06-01T05:50:00.000000000"
    assert sequence.attributes["quantity"] == "accumulation over 60 min"
    assert sequence.attributes["radar_format"] == "RADOLAN"


@pytest.mark.parametrize(
    ("product", "precision", "interval", "lead", "rain"),
    [
        ("RY", "E-02", "INT   5", "", 12.0),
        ("YW", "E-02", "INT   5", "", 12.0),
        ("RV", "E-02", "INT   5", "VV 000", 12.0),
        ("RW", "E-01", "INT  60", "", 10.0),
        ("SF", "E-01", "INT1440", "", 10 / 24),
        ("SF", "E-01", "INT   1U1", "", 10 / 24),
    ],
)
def test_sums_are_over_their_own_interval(
    path: Path, product: str, precision: str, interval: str, lead: str, rain: float
) -> None:
    pixels = np.full((900, 900), 100, "<u2")
    path.write_bytes(radolan(product, pixels, precision=precision, interval=interval, lead=lead))
    assert read([path]).rain_rate.max() == pytest.approx(rain, rel=1e-6)


def test_reflectivity_of_one_byte_and_of_two(path: Path) -> None:
    rain = (1e4 / 200) ** (1 / 1.6)
    pixels = np.zeros((900, 900), np.uint8)
    pixels[0, :4] = [145, 0, 249, 250]
    path.write_bytes(radolan("RX", pixels, precision="E+00", interval="INT   5"))
    np.testing.assert_allclose(read([path]).rain_rate[0, 0, :4], [rain, 0, np.nan, np.nan], rtol=1e-5)
    pixels = np.zeros((1200, 1100), "<u2")
    pixels[0, :3] = [1450, 0, NO_DATA]
    path.write_bytes(radolan("WN", pixels, shape=(1200, 1100), version=5, interval="INT   5", lead="VV 000"))
    sequence = read([path])
    np.testing.assert_allclose(sequence.rain_rate[0, 0, :3], [rain, 0, np.nan], rtol=1e-5)
    assert sequence.attributes["quantity"] == "reflectivity"


@pytest.mark.parametrize(
    ("shape", "version", "lower_left", "upper_right"),
    [
        # DWD, "Kompositformat": the outer corners of the national grids, on the sphere.
        ((900, 900), 3, (3.5889, 46.9526), (15.7208, 54.7405)),
        ((1100, 900), 3, (4.6759, 46.1929), (17.1128, 55.5342)),
        # DWD, "Radarkomposits: Projektionen und Gitter": DE1200 on WGS 84, as its HDF5 composites have it.
        ((1200, 1100), 5, (3.566994635, 45.696425377), (18.731616455, 55.845438563)),
    ],
)
def test_corners_are_those_that_dwd_publishes(
    path: Path, shape: tuple[int, int], version: int, lower_left: tuple[float, float], upper_right: tuple[float, float]
) -> None:
    path.write_bytes(radolan(shape=shape, version=version))
    grid = read([path]).grid
    assert grid.shape == shape
    assert not grid.north_up
    to_lon_lat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    half = (grid.x[1] - grid.x[0]) / 2
    assert to_lon_lat.transform(grid.x[0] - half, grid.y[0] - half) == pytest.approx(lower_left, abs=1e-4)
    assert to_lon_lat.transform(grid.x[-1] + half, grid.y[-1] + half) == pytest.approx(upper_right, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (radolan("RV", lead="VV 005"), NotARadarFile, "this is a forecast, 5 min ahead"),
        (radolan("RQ", lead="VV 060"), NotARadarFile, "this is a forecast, 60 min ahead"),
        (radolan("RE"), UnknownVariable, "product RE is not supported"),
        (radolan(start="RW010550104880624"), NotARadarFile, "single radar 10488"),
        (radolan(start="RW320550100000624"), NotARadarFile, "time 320550 0624 is not"),
        (radolan(shape=(90, 90)), NotARadarFile, "90 x 90 pixels is not one of DWD's"),
        (radolan(shape=(999999, 999999), pixels=np.zeros((2, 2), "<u2")), NotARadarFile, "one of DWD's"),
        (radolan()[:-1], NotARadarFile, "the file holds 1,619,999 of 1,620,000 bytes"),
        (radolan()[:300], NotARadarFile, "bytes of pixels"),
        (radolan()[:60], NotARadarFile, "the header does not end"),
        (radolan() + b"\x00", NotARadarFile, "more than 1,620,000 of"),
        (radolan(precision="X-01"), NotARadarFile, "no precision"),
        (radolan(interval=""), NotARadarFile, "no number INT"),
        (radolan(interval="INT   0"), NotARadarFile, "does not end after it starts"),
    ],
)
def test_unreadable_files_are_refused_with_the_reason(
    path: Path, content: bytes, error: type[Exception], message: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read([path], names=["theirs.bin"])
    assert "theirs.bin" in str(caught.value)


def test_names_of_radars_are_no_tokens(path: Path) -> None:
    path.write_bytes(radolan("RV", np.ones((900, 900), "<u2"), lead="VV 000", text="<VV 60,GP 1x 1,PR E+09>"))
    assert read([path]).rain_rate.max() == pytest.approx(0.1)


def test_the_limit_of_the_caller_counts(path: Path) -> None:
    path.write_bytes(radolan())
    with pytest.raises(TooLarge, match="1 x 900 x 900"):
        read([path], max_pixels=809_999)
