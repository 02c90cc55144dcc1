"""FMI PGM: reflectivity composites of Finland as 8-bit images, plain or gzip, described in header comments.

dBZ = (value - 64) / 2, 255 is no data, 0 is no echo. The valid time is the header's `obstime`.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FMI
from model.readers.plausible import plausible_time
from model.readers.source import (
    DAMAGED,
    Options,
    Source,
    check_one_variable,
    file_by_file,
    rain_of_reflectivity,
)

TITLE: Final = "FMI PGM"
GZIP_MAGIC: Final = b"\x1f\x8b"
PGM_MAGIC: Final = b"P5"
MAX_HEADER_BYTES: Final = 65_536
NO_DATA: Final = 255
NO_ECHO: Final = 0
EARTH_RADIUS_M: Final = 6_371_288.0
"""Sphere of FMI's composites: on it the header's corners and its metres per pixel agree to 1 in 10^6."""
MAX_PIXEL_MISMATCH: Final = 0.01


def matches(head: bytes, path: Path) -> bool:
    """A binary PGM, as it is or inside gzip."""
    if head.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 2)
        except zlib.error:
            return False
    return head.startswith(PGM_MAGIC)


def read_file(source: Source, options: Options) -> FrameSequence:
    """The one frame of a PGM file."""
    check_one_variable(options, "reflectivity")
    with closing(_open(source.path)) as file:
        header, (ny, nx) = _header(file)
        options.budget.take(1, ny, nx)
        data = file.read(ny * nx)
    if len(data) < ny * nx:
        raise NotARadarFile(f"it is cut short: {len(data)} of {ny * nx} pixels are there", mend=DAMAGED)
    parameter = header.get("param", "")
    if "reflectivity" not in parameter.lower():
        raise NotARadarFile(f"its header's param is {parameter!r}, not a reflectivity", mend="Give reflectivity")
    grid = _grid(header, (ny, nx))
    pixels = np.frombuffer(data, np.uint8).reshape(1, ny, nx)
    rain_rate, described = rain_of_reflectivity(_dbz_of_value(), options, FMI, pixels=pixels)
    return FrameSequence(
        rain_rate=rain_rate,
        times=np.array([_time(header)]),
        grid=grid,
        attributes={
            "radar_format": TITLE,
            "source_product": f"{header.get('producttype', '')} {header.get('productname', '')}".strip(),
            **described,
        },
    )


read_frames = file_by_file(read_file, TITLE)


def _dbz_of_value() -> NDArray[np.float32]:
    """Reflectivity of each of the 256 pixel values."""
    dbz: NDArray[np.float32] = (np.arange(256, dtype=np.float32) - np.float32(64)) / np.float32(2)
    dbz[NO_ECHO] = -np.inf
    dbz[NO_DATA] = np.nan
    return dbz


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    # gzip is read in bounded pieces only: a small file may unpack to anything.
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb")


def _header(file: BinaryIO) -> tuple[dict[str, str], tuple[int, int]]:
    """Header comments by their first word, and (ny, nx)."""
    comments: dict[str, str] = {}
    numbers: list[int] = []
    left = MAX_HEADER_BYTES
    first = True
    while len(numbers) < 3:
        line = file.readline(left)
        left -= len(line)
        if not line.endswith(b"\n") or left <= 0:
            raise NotARadarFile("its PGM header does not end", mend=DAMAGED)
        text = line.decode("ascii", "replace")
        if first:
            text, first = text.removeprefix("P5"), False
        body, _, comment = text.partition("#")
        key, _, value = comment.strip().partition(" ")
        if key:
            comments.setdefault(key.lower(), value.strip())
        numbers += [int(word) for word in body.split()]
    nx, ny, largest = numbers
    if largest != 255:
        raise NotARadarFile(f"its largest pixel value is {largest}, not 255", mend="Give an 8-bit PGM")
    return comments, (ny, nx)


def _value(header: dict[str, str], key: str) -> str:
    if not header.get(key):
        raise NotARadarFile(f"its PGM header has no {key!r}", mend="Give a file with FMI's header comments")
    return header[key]


def _time(header: dict[str, str]) -> np.datetime64:
    text = _value(header, "obstime")
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M")  # noqa: DTZ007  (UTC: datetime64 has no zone)
    except ValueError:
        raise NotARadarFile(f"its obstime {text!r} is not YYYYMMDDhhmm", mend="Correct its header") from None
    return plausible_time(moment)


def _grid(header: dict[str, str], shape: tuple[int, int]) -> Grid:
    """Pixel centres between the outer corners `bottomleft` and `topright` (lon lat), row 0 north."""
    kind = _value(header, "type")
    if kind.lower() != "stereographic":
        raise NotARadarFile(f"its projection is {kind!r}, not stereographic", mend="Give a stereographic composite")
    lon_0, lat_0, lat_ts = (
        float(_value(header, key)) for key in ("centrallongitude", "centrallatitude", "truelatitude")
    )
    crs = CRS.from_proj4(
        f"+proj=stere +lat_0={lat_0:g} +lon_0={lon_0:g} +lat_ts={lat_ts:g} +R={EARTH_RADIUS_M:.1f} +units=m"
    )
    to_xy = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    left, bottom = to_xy.transform(*_lon_lat(header, "bottomleft"))
    right, top = to_xy.transform(*_lon_lat(header, "topright"))
    ny, nx = shape
    dx, dy = (right - left) / nx, (top - bottom) / ny
    for axis, size in (("x", dx), ("y", dy)):
        declared = float(_value(header, f"metersperpixel_{axis}"))
        if not abs(size / declared - 1) < MAX_PIXEL_MISMATCH:
            raise NotARadarFile(
                f"its corners make pixels of {size:.1f} m along {axis}, its header says {declared:.1f} m",
                mend="Correct its header",
            )
    return Grid(crs=crs, x=left + (np.arange(nx) + 0.5) * dx, y=top - (np.arange(ny) + 0.5) * dy)


def _lon_lat(header: dict[str, str], key: str) -> tuple[float, float]:
    lon, lat = (float(word) for word in _value(header, key).split())
    return lon, lat
