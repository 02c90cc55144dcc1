"""RADOLAN and RADVOR composites of Deutscher Wetterdienst: an ASCII header, then one or two bytes per pixel.

DWD, "RADOLAN/RADVOR: Kompositformat" (2.5 and later) and "Radarkomposits: Projektionen und Gitter" (2022). The header
holds the valid time, of sums the end of their interval. RADVOR's forecasts (VV above 0) are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.limits import FETCH_AGAIN
from model.readers.observation_times import parse_observation_time
from model.readers.rain_rate import describe_accumulation, rain_rate_of_accumulation, rain_rate_of_reflectivity
from model.readers.source import GIVE_OBSERVATIONS, ReadOptions, Source, file_by_file
from model.readers.unsupported import polar_data

TITLE: Final = "RADOLAN"
START: Final = re.compile(rb"([A-Z][A-Z0-9])(\d{6})(\d{5})(\d{4})BY *\d")
"""Product, day, hour and minute, radar (10000: a composite), month and year, length."""
TOKENS: Final = {
    "VS": r"VS *(\d+)",
    "SW": r"SW(.{9})",
    "PR": r"PR *(E[-+]\d+)",
    "INT": r"INT *(\d+)",
    "U": r"INT *\d+ *U *(\d)",
    "GP": r"GP *(\d+ *x *\d+)",
    "VV": r"VV *(\d+)",
}
END: Final = b"\x03"
MAX_HEADER_BYTES: Final = 4096
COMPOSITE: Final = "10000"
SUMS: Final = (
    *("RW", "RY", "RZ", "RH", "RB", "RL", "RU", "RV", "RQ", "RS", "YW"),
    *("EB", "EH", "EW", "EY", "EZ", "SQ", "SH", "SF"),
)
REFLECTIVITIES: Final = ("RX", "EX", "WX", "WN")
ONE_BYTE: Final = ("RX", "EX", "WX")
VALUE_BITS, NO_DATA_BIT, CLUTTER_BIT = 0x0FFF, 0x2000, 0x8000
CLUTTER, NO_DATA = 249, 250
"""Of one-byte pixels: from 249 on they are no measurements."""
DBZ_STEP: Final = 0.5
DBZ_OFFSET: Final = -32.5
GRIDS: Final = {
    (450, 450): (2000.0, 450, 450),
    (900, 900): (1000.0, 450, 450),
    (1100, 900): (1000.0, 370, 550),
    (1200, 1100): (1000.0, 470, 600),
    (1500, 1400): (1000.0, 600, 800),
    (4800, 4400): (250.0, 470, 600),
}
"""(rows, columns): pixel size (m), and offset (km) of the lower left corner west and south of the reference."""
REFERENCE_LON_LAT: Final = (9.0, 51.0)
SPHERE: Final = "+R=6370040"
WGS84: Final = "+ellps=WGS84"
WGS84_SINCE_FORMAT: Final = 5


def matches(head: bytes, path: Path) -> bool:
    """Whether the header starts with product, time, radar and length."""
    return START.match(head) is not None


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the one frame of a composite."""
    with source.path.open("rb") as file:
        start, end, data = file.read(MAX_HEADER_BYTES).partition(END)
        if start.startswith(b"DX"):
            raise polar_data("DWD's DX")
        if not end:
            raise NotARadarFile("the header does not end", hint=FETCH_AGAIN)
        header = start.decode("ascii", "replace")
        product = header[:2]
        _check(header, product)
        options.check_single_variable(product)
        shape = _shape(header)
        grid = _grid(header, shape)
        options.budget.take(1, *shape)
        dtype = np.dtype("u1" if product in ONE_BYTE else "<u2")
        size = shape[0] * shape[1] * dtype.itemsize
        data += file.read(max(size - len(data), 0) + 1)
    if len(data) != size:
        more = "" if len(data) < size else "more than "
        raise NotARadarFile(
            f"the file holds {more}{min(len(data), size):,} of {size:,} bytes of pixels", hint=FETCH_AGAIN
        )
    pixels = np.frombuffer(data, dtype).reshape(shape)

    attributes = {"radar_format": TITLE, "source_product": f"{product} {_text(header, 'SW') or ''}".strip()}
    if product in REFLECTIVITIES:
        rain, described = rain_rate_of_reflectivity(_values(header, product, pixels), options, MARSHALL_PALMER)
        attributes |= {"quantity": "reflectivity", **described}
    else:
        minutes = _number(header, "INT") * (1440 if _text(header, "U") == "1" else 1)
        interval = np.timedelta64(minutes, "m")
        rain = rain_rate_of_accumulation(_values(header, product, pixels), interval)
        attributes["quantity"] = describe_accumulation(interval)
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([_time(header)]), grid=grid, attributes=attributes)


read_frames = file_by_file(read_file, TITLE)


def _check(header: str, product: str) -> None:
    """Refuse single radars, products other than rain, and forecasts."""
    if header[8:13] != COMPOSITE:
        raise NotARadarFile(f"this is the single radar {header[8:13]}, not a composite", hint="Give a composite")
    if product not in SUMS + REFLECTIVITIES:
        raise UnknownVariable(
            f"the product {product} is not supported", hint=f"Give one of {', '.join(SUMS + REFLECTIVITIES)}"
        )
    lead = _text(header, "VV")
    if lead and int(lead) > 0:
        raise NotARadarFile(f"this is a forecast, {int(lead)} min ahead", hint=GIVE_OBSERVATIONS)


def _values(header: str, product: str, pixels: NDArray[np.unsignedinteger]) -> FloatArray:
    """Return dBZ or mm, float32 [y, x], row 0 in the south; NaN for no data and clutter."""
    if product in ONE_BYTE:
        values = pixels * np.float32(DBZ_STEP) + np.float32(DBZ_OFFSET)
        missing = pixels >= CLUTTER
    else:
        precision = _text(header, "PR")
        if precision is None:
            raise NotARadarFile("the header has no precision (PR)", hint=FETCH_AGAIN)
        values = (pixels & VALUE_BITS) * np.float32(f"1{precision}")
        if product in REFLECTIVITIES:
            values = values * np.float32(DBZ_STEP) + np.float32(DBZ_OFFSET)
        missing = (pixels & (NO_DATA_BIT | CLUTTER_BIT)) != 0
    values[missing] = np.nan
    return values.astype(np.float32, copy=False)


def _shape(header: str) -> tuple[int, int]:
    text = _text(header, "GP")
    if text is None:
        raise NotARadarFile("the header has no grid size (GP)", hint=FETCH_AGAIN)
    rows, columns = (int(number) for number in text.split("x"))
    return rows, columns


def _grid(header: str, shape: tuple[int, int]) -> Grid:
    """Return the grid in metres, row 0 in the south, on a sphere, since format version 5 on the WGS 84 ellipsoid."""
    if shape not in GRIDS:
        raise NotARadarFile(
            f"the grid of {shape[0]} x {shape[1]} pixels is not one of DWD's",
            hint=f"Give a grid of {', '.join(f'{ny} x {nx}' for ny, nx in GRIDS)}",
        )
    earth = WGS84 if _number(header, "VS") >= WGS84_SINCE_FORMAT else SPHERE
    crs = CRS.from_proj4(f"+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +x_0=0 +y_0=0 {earth} +units=m")
    x, y = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(*REFERENCE_LON_LAT)
    (rows, columns), (size, west, south) = shape, GRIDS[shape]
    return Grid(
        crs=crs,
        x=x - west * 1000.0 + (np.arange(columns) + 0.5) * size,
        y=y - south * 1000.0 + (np.arange(rows) + 0.5) * size,
    )


def _time(header: str) -> np.datetime64:
    day, clock, month_year = header[2:4], header[4:8], header[13:17]
    problem = f"the time {header[2:8]} {month_year} is not DDhhmm MMyy"
    return parse_observation_time(f"{day}{month_year}{clock}", "%d%m%y%H%M", problem, FETCH_AGAIN)


def _number(header: str, token: str) -> int:
    text = _text(header, token)
    if text is None:
        raise NotARadarFile(f"the header has no number {token}", hint=FETCH_AGAIN)
    return int(text)


def _text(header: str, token: str) -> str | None:
    """Return the value of one of `TOKENS`, None where absent; MS, with the names of radars, may hold any text."""
    match = re.search(TOKENS[token], header.partition("MS")[0][17:])
    return match[1].strip() if match else None
