"""NumPy archives (.npz) of rain rate or reflectivity, and bounded decoding of .npy arrays.

Arrays: `rain_rate` [t, y, x] (mm h-1) or `reflectivity` [t, y, x] (dBZ), and `times` [t] (datetime64, or ISO
8601 text, in UTC unless the text gives a zone). Optional: pixel centres `x` and `y`, and `crs` (WKT or an authority
code such as EPSG:32633). Without a grid, pixels are 1 km around longitude 0, latitude 0 (azimuthal equidistant):
distances are then right if the pixels are 1 km, places are not.
"""

from __future__ import annotations

import ast
import math
import re
import zipfile
from datetime import UTC, datetime
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from model.core.cf_coordinates import MAX_CRS_TEXT
from model.core.errors import InputError, NotARadarFile, TooLarge, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.limits import FETCH_AGAIN
from model.readers.observation_times import in_time_order, observation_time
from model.readers.rain_rate import rain_rate_of_reflectivity
from model.readers.source import ReadOptions, Source, file_by_file

TITLE: Final = "NumPy npz"
MAGIC: Final = b"PK\x03\x04"
VARIABLES: Final = ("rain_rate", "reflectivity")
MAX_NPY_HEADER_BYTES: Final = 65_536
SMALL_BYTES: Final = 64 << 20
"""Enough for times, coordinates, a mask."""
READ_BYTES: Final = 1 << 20
BLOCK_NUMBERS: Final = 1 << 20
"""Frames of other types than float32 are converted in blocks of this size, so memory holds them only once."""
LOCAL_PIXEL_M: Final = 1000.0
LOCAL_CRS: Final = "+proj=aeqd +lat_0=0 +lon_0=0 +x_0=0 +y_0=0 +datum=WGS84 +units=m"


def matches(head: bytes, path: Path) -> bool:
    """Whether the file is a zip archive with .npy members."""
    if not head.startswith(MAGIC):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the frames of one archive."""
    with zipfile.ZipFile(source.path) as archive:
        held = members(archive)
        name = _choose(held, options.variable)
        shape, dtype = member_header(archive, name)
        if len(shape) == 2:
            shape = (1, *shape)
        if len(shape) != 3:
            raise NotARadarFile(f"{name} has {len(shape)} dimensions, not [t, y, x]", hint="Give [t, y, x]")
        if dtype.kind not in "iuf":
            raise NotARadarFile(f"{name} holds {dtype}, not numbers", hint="Give float32")
        options.budget.take(*shape)
        values = read_float32(archive, name).reshape(shape)
        if "times" not in held:
            raise NotARadarFile("the file has no array 'times'", hint=f"Add times [t]: it holds {', '.join(held)}")
        times = _times(read_member(archive, "times"))
        grid = _grid(archive, held, (shape[1], shape[2]))

    attributes = {"radar_format": TITLE, "quantity": "rain rate"}
    if name == "reflectivity":
        values, described = rain_rate_of_reflectivity(values, options, MARSHALL_PALMER)
        attributes |= described
    if "x" not in held:
        attributes["georeference"] = "none in the file: 1 km pixels around longitude 0, latitude 0"
    values, times = in_time_order(values, times)
    return FrameSequence(rain_rate=values, times=times, grid=grid, attributes=attributes)


read_frames = file_by_file(read_file, TITLE)


def members(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays in an archive."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def member_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the declared shape and type of an array without reading it."""
    with archive.open(f"{name}.npy") as file:
        shape, dtype, _ = _npy_header(file)
    return shape, dtype


def read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read a small array of an archive; never unpickles, and reads no more than the header declares.

    Raises
    ------
    NotARadarFile
        The array is cut short, or holds Python objects.
    TooLarge
        The array declares more than `SMALL_BYTES`.
    """
    with archive.open(f"{name}.npy") as file:
        shape, dtype, fortran = _npy_header(file)
        size = math.prod(shape) * dtype.itemsize
        if size > SMALL_BYTES:
            raise TooLarge(f"{name} declares {size:,} bytes, the limit is {SMALL_BYTES:,}", hint="Give less at once")
        data = np.empty(size, np.uint8)
        _fill(data, file, name)
    return _shaped(data.view(dtype), shape, fortran)


def read_float32(archive: zipfile.ZipFile, name: str) -> FloatArray:
    """Read an array of numbers as float32, with infinity for numbers beyond; the caller has checked the size.

    Raises
    ------
    NotARadarFile
        The array is cut short.
    """
    with archive.open(f"{name}.npy") as file:
        shape, dtype, fortran = _npy_header(file)
        values = np.empty(math.prod(shape), np.float32)
        if dtype == values.dtype:
            _fill(values.view(np.uint8), file, name)
        else:
            for start in range(0, values.size, BLOCK_NUMBERS):
                part = values[start : start + BLOCK_NUMBERS]
                block = np.empty(part.size, dtype)
                _fill(block.view(np.uint8), file, name)
                with np.errstate(over="ignore"):
                    part[:] = block
    return _shaped(values, shape, fortran)


def _fill(data: NDArray[np.uint8], file: IO[bytes], name: str) -> None:
    left = data.data
    # readinto of a zip member first makes a bytes object of the requested size.
    while left and (count := cast(BufferedIOBase, file).readinto(left[:READ_BYTES])):
        left = left[count:]
    if left:
        raise NotARadarFile(f"{name} is cut short", hint=FETCH_AGAIN)


def _shaped(flat: NDArray[Any], shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Return shape, type and order of a .npy stream (numpy.lib.format), also of Python 2's, which writes `480L`."""
    if file.read(6) != b"\x93NUMPY":
        raise NotARadarFile("a member is not a .npy array", hint=FETCH_AGAIN)
    major = file.read(2)[0]
    length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
    if length > MAX_NPY_HEADER_BYTES:
        raise NotARadarFile("the header of an array is too long", hint=FETCH_AGAIN)
    text = file.read(length).decode("latin-1")
    header = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text.strip()))
    shape = tuple(int(size) for size in header["shape"])
    dtype = np.dtype(header["descr"])
    if dtype.kind not in "biufMUS" or min(shape, default=0) < 0:
        raise NotARadarFile(f"an array holds {dtype}, which is not supported", hint="Give numbers, times or text")
    return shape, dtype, bool(header["fortran_order"])


def _choose(held: list[str], variable: str | None) -> str:
    requested = VARIABLES if variable is None else (variable,)
    found = next((name for name in requested if name in held and name in VARIABLES), None)
    if found is None:
        raise UnknownVariable(f"the file has no array {' or '.join(requested)}", hint=f"It holds {', '.join(held)}")
    return found


def _times(values: NDArray[Any]) -> NDArray[np.datetime64]:
    if values.dtype.kind == "M":
        moments = values.reshape(-1).astype("datetime64[us]").tolist()
        if not all(isinstance(moment, datetime) for moment in moments):  # NaT, or beyond the years of a date
            raise NotARadarFile("times holds an invalid time", hint="Give each frame its time")
        return np.array([observation_time(moment) for moment in moments], "datetime64[ns]")
    if values.dtype.kind not in "US":
        raise NotARadarFile(f"times are {values.dtype}", hint="Give datetime64, or ISO 8601 text")
    texts = [t.decode("ascii", "replace") if isinstance(t, bytes) else str(t) for t in values.reshape(-1)]
    return np.array([_time(text) for text in texts], "datetime64[ns]")


def _time(text: str) -> np.datetime64:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotARadarFile(f"the time {text!r} is not ISO 8601", hint="Give 2010-08-26T00:05:00Z") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return observation_time(moment)


def _grid(archive: zipfile.ZipFile, held: list[str], shape: tuple[int, int]) -> Grid:
    given = [name for name in ("x", "y", "crs") if name in held]
    if not given:
        crs = CRS.from_proj4(LOCAL_CRS)
        return Grid.regular(crs, shape=shape, pixel_size=LOCAL_PIXEL_M, centre=(0.0, 0.0))
    if len(given) < 3:
        raise NotARadarFile(
            f"the grid is incomplete: only {', '.join(given)}", hint="Give x, y and crs, or none of them"
        )
    text = str(read_member(archive, "crs").reshape(-1)[0])[:MAX_CRS_TEXT]
    try:
        crs = CRS.from_user_input(text)
    except CRSError:
        raise NotARadarFile(f"unknown crs {text[:80]!r}", hint="Give WKT, or a code such as EPSG:32633") from None
    x, y = (read_member(archive, axis).astype(np.float64) for axis in "xy")
    if (y.size, x.size) != shape:
        raise InputError(f"x and y make {y.size} x {x.size}, the frames are {shape[0]} x {shape[1]}", where="grid")
    return Grid(crs=crs, x=x, y=y)
