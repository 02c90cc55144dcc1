"""FMI PGM: reflectivity composites of Finland as 8-bit images with metadata in header comments.

dBZ = (value - 64) / 2; 255 is no data, 0 is no echo. The valid time is `obstime` of the header.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.zr import FMI
from model.readers.georeferencing import GeoReference, grid_of_corners
from model.readers.limits import FETCH_AGAIN
from model.readers.observation_times import parse_observation_time
from model.readers.rain_rate import rain_rate_of_reflectivity
from model.readers.source import ReadOptions, Source, file_by_file

TITLE: Final = "FMI PGM"
PGM_MAGIC: Final = b"P5"
MAX_HEADER_BYTES: Final = 65_536
NO_DATA: Final = 255
NO_ECHO: Final = 0
EARTH_RADIUS_M: Final = 6_371_288.0
"""Radius of the sphere on which the corners and the metres per pixel of the header agree to 1 in 10^6."""


def matches(head: bytes, path: Path) -> bool:
    """Whether the file is a binary PGM."""
    return head.startswith(PGM_MAGIC)


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the one frame of a PGM file."""
    options.check_single_variable("reflectivity")
    with source.path.open("rb") as file:
        header, (ny, nx) = _header(file)
        options.budget.take(1, ny, nx)
        data = file.read(ny * nx)
    if len(data) < ny * nx:
        raise NotARadarFile(f"the file is cut short: it holds {len(data)} of {ny * nx} pixels", hint=FETCH_AGAIN)
    parameter = header.get("param", "")
    if "reflectivity" not in parameter.lower():
        raise NotARadarFile(f"param of the header is {parameter!r}, not a reflectivity", hint="Give reflectivity")
    grid = _grid(header, (ny, nx))
    pixels = np.frombuffer(data, np.uint8).reshape(1, ny, nx)
    rain_rate, described = rain_rate_of_reflectivity(_dbz_of_pixel(), options, FMI, pixels=pixels)
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


def _dbz_of_pixel() -> NDArray[np.float32]:
    """Return the reflectivity of each of the 256 pixel values."""
    dbz: NDArray[np.float32] = (np.arange(256, dtype=np.float32) - np.float32(64)) / np.float32(2)
    dbz[NO_ECHO] = -np.inf
    dbz[NO_DATA] = np.nan
    return dbz


def _header(file: BinaryIO) -> tuple[dict[str, str], tuple[int, int]]:
    """Return the header comments by their first word, and (ny, nx)."""
    comments: dict[str, str] = {}
    numbers: list[int] = []
    left = MAX_HEADER_BYTES
    first = True
    while len(numbers) < 3:
        line = file.readline(left)
        left -= len(line)
        if not line.endswith(b"\n") or left <= 0:
            raise NotARadarFile("the PGM header does not end", hint=FETCH_AGAIN)
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
        raise NotARadarFile(f"the largest pixel value is {largest}, not 255", hint="Give an 8-bit PGM")
    return comments, (ny, nx)


def _value(header: dict[str, str], key: str) -> str:
    if not header.get(key):
        raise NotARadarFile(f"the PGM header has no {key!r}", hint="Give a file with FMI's header comments")
    return header[key]


def _time(header: dict[str, str]) -> np.datetime64:
    text = _value(header, "obstime")
    problem = f"the obstime {text!r} is not YYYYMMDDhhmm"
    return parse_observation_time(text, "%Y%m%d%H%M", problem, "Correct the header")


def _grid(header: dict[str, str], shape: tuple[int, int]) -> Grid:
    """Return the grid between the outer corners `bottomleft` and `topright` (lon lat), row 0 north."""
    kind = _value(header, "type")
    if kind.lower() != "stereographic":
        raise NotARadarFile(f"the projection is {kind!r}, not stereographic", hint="Give a stereographic composite")
    lon_0, lat_0, lat_ts = (
        float(_value(header, key)) for key in ("centrallongitude", "centrallatitude", "truelatitude")
    )
    crs = CRS.from_proj4(
        f"+proj=stere +lat_0={lat_0:g} +lon_0={lon_0:g} +lat_ts={lat_ts:g} +R={EARTH_RADIUS_M:.1f} +units=m"
    )
    lon_lat = {"LL": _lon_lat(header, "bottomleft"), "UR": _lon_lat(header, "topright")}
    scale = (float(_value(header, "metersperpixel_x")), float(_value(header, "metersperpixel_y")))
    return grid_of_corners(GeoReference(crs=crs, shape=shape, lon_lat=lon_lat, scale=scale))


def _lon_lat(header: dict[str, str], key: str) -> tuple[float, float]:
    lon, lat = (float(word) for word in _value(header, key).split())
    return lon, lat
