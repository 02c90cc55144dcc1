"""MeteoNet (Meteo-France): ten days of rainfall in an .npz, and the grid of its zone in another.

https://meteofrance.github.io/meteonet/english/data/rain-radar: `data` [t, y, x] in 0.01 mm per 5 minutes, -1 missing;
`dates` and `miss_dates`, Python datetimes; `radar_coords_ZONE.npz` with `lats` and `lons` of the pixel centres, among
the files or in the same folder. Reflectivity and quality codes have the same arrays, and 255 for missing.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.readers.limits import FETCH_AGAIN
from model.readers.npz import MAGIC, SMALL_BYTES, member_header, members, read_float32, read_member
from model.readers.observation_times import in_time_order
from model.readers.rain_rate import describe_accumulation, rain_rate_of_accumulation
from model.readers.source import ReadOptions, Source, input_errors

TITLE: Final = "MeteoNet npz"
MM_PER_COUNT: Final = np.float32(0.01)
STEP: Final = np.timedelta64(5, "m")
COORDINATES: Final = re.compile(r"radar_coords_(\w+)\.npz$")
ZONE: Final = re.compile(r"rainfall_([A-Z]+)_")
NOT_RAINFALL: Final = re.compile("reflectivity|quality", re.IGNORECASE)
MISSING_CODE: Final = 255
"""Of reflectivity and quality codes."""
MAX_OFFSET_PX: Final = 0.5
"""The largest distance of a coordinate from an even grid."""
PICKLED_BY_NUMPY: Final = (
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
)
GIVE_COORDINATES: Final = "Give radar_coords_ZONE.npz of the zone as well, among the files or in the same folder"


def matches(head: bytes, path: Path) -> bool:
    """Whether the .npz holds frames (`data`, `dates`) or coordinates (`lats`, `lons`)."""
    if not head.startswith(MAGIC):
        return False
    with zipfile.ZipFile(path) as archive:
        held = members(archive)
    return {"data", "dates"} <= set(held) or {"lats", "lons"} <= set(held)


def read_frames(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield the frames of each file with rainfall, on the grid of its zone."""
    grids: list[tuple[Source, Grid]] = []
    frames = []
    for source in sources:
        with input_errors(source, TITLE), zipfile.ZipFile(source.path) as archive:
            if NOT_RAINFALL.search(PurePath(source.content_name).name):
                raise _not_rainfall()
            if "data" in members(archive):
                frames.append(source)
            else:
                grids.append((source, _grid(archive)))
    for source in frames:
        with input_errors(source, TITLE):
            sequence = _read_file(source, options, _grid_of(source, grids))
        yield source, sequence


def _read_file(source: Source, options: ReadOptions, grid: Grid) -> FrameSequence:
    options.check_single_variable("data")
    with zipfile.ZipFile(source.path) as archive:
        shape, dtype = member_header(archive, "data")
        if dtype.kind not in "iu" or len(shape) != 3:
            raise NotARadarFile(
                f"the data are {dtype} in {len(shape)} dimensions, not counts [t, y, x]", hint=FETCH_AGAIN
            )
        if shape[1:] != grid.shape:
            ny, nx = grid.shape
            raise NotARadarFile(
                f"the frames are {shape[1]} x {shape[2]}, the coordinates {ny} x {nx}", hint=GIVE_COORDINATES
            )
        options.budget.take(*shape)
        times = _dates(archive)
        counts = read_float32(archive, "data").reshape(shape)
    if float(counts.min(initial=0)) == 0 and float(counts.max(initial=0)) == MISSING_CODE:
        raise _not_rainfall()
    for frame in counts:  # one by one: ten days of frames are gigabytes
        frame[frame < 0] = np.nan
        frame[:] = rain_rate_of_accumulation(frame * MM_PER_COUNT, STEP)
    counts, times = in_time_order(counts, times)
    attributes = {"radar_format": TITLE, "quantity": describe_accumulation(STEP)}
    return FrameSequence(rain_rate=counts, times=times, grid=grid, attributes=attributes)


def _not_rainfall() -> NotARadarFile:
    return NotARadarFile("this is MeteoNet's reflectivity or quality code, not rainfall", hint="Give rainfall_*.npz")


def _grid_of(source: Source, given: list[tuple[Source, Grid]]) -> Grid:
    """Return the grid of the zone, from the given coordinates or from those in the folder of the file."""
    if not given and not source.upload:
        for path in sorted(source.path.resolve().parent.glob("radar_coords_*.npz")):
            beside = Source(path=path, name=path.name)
            with input_errors(beside, TITLE), zipfile.ZipFile(path) as archive:
                given = [*given, (beside, _grid(archive))]
    zone = ZONE.search(PurePath(source.content_name).name)
    of_zone = [
        grid
        for coordinates, grid in given
        if zone and (match := COORDINATES.search(coordinates.content_name)) and match[1] == zone[1]
    ]
    grids = of_zone or [grid for _, grid in given]
    if len(grids) != 1:
        raise NotARadarFile(
            "the file does not hold its grid" if not grids else f"{len(grids)} files of coordinates fit the file",
            hint=GIVE_COORDINATES,
        )
    return grids[0]


def _grid(archive: zipfile.ZipFile) -> Grid:
    lats, lons = (read_member(archive, name).astype(np.float64) for name in ("lats", "lons"))
    return Grid(crs=CRS.from_epsg(4326), x=_axis(lons, "lons", along=1), y=_axis(lats, "lats", along=0))


def _axis(values: NDArray[np.float64], name: str, *, along: int) -> NDArray[np.float64]:
    """Return the pixel centres along one axis, from values of this axis alone or of a whole grid [y, x]."""
    grid = values if values.ndim == 2 else np.expand_dims(values, 1 - along)
    centres = np.linspace(grid[0, 0], grid[-1, -1], grid.shape[along])
    offset = np.abs(grid - np.expand_dims(centres, 1 - along)).max() / abs(centres[1] - centres[0])
    if not offset <= MAX_OFFSET_PX:
        raise NotARadarFile(f"the {name} are not evenly spaced", hint="Give the coordinates as published")
    return centres


def _dates(archive: zipfile.ZipFile) -> NDArray[np.datetime64]:
    """Return the valid times. An array of Python objects is a pickle, from which only datetimes are made."""
    with archive.open("dates.npy") as file:
        data = file.read(SMALL_BYTES + 1)
    if len(data) > SMALL_BYTES:
        raise NotARadarFile(f"the dates are more than {SMALL_BYTES:,} bytes", hint=FETCH_AGAIN)
    stream = io.BytesIO(data)
    major, _ = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    _, _, dtype = header(stream)
    if dtype.kind != "O":
        return read_member(archive, "dates").reshape(-1).astype("datetime64[ns]")
    dates = _Datetimes(stream).load()
    found = dates.objects if isinstance(dates, _Array) else []
    if not all(isinstance(date, datetime) for date in found):
        raise NotARadarFile("the dates are not dates", hint=FETCH_AGAIN)
    return np.array(found, "datetime64[ns]")


class _Array:
    """Stand-in for a NumPy array of objects and for the callables in its pickle; keeps the objects."""

    def __init__(self, *_: object) -> None:
        self.objects: list[object] = []

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.objects = state[-1] if isinstance(state[-1], list) else []


class _Datetimes(pickle._Unpickler):
    """Unpickler that makes datetimes and `_Array`, and refuses everything else.

    It is the one in Python: that in C allocates as much memory as a number in the pickle says.
    """

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (any callable)
        if (module, name) == ("datetime", "datetime"):
            return datetime
        if (module, name) in PICKLED_BY_NUMPY:
            return _Array
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 2 and old protocols write them
            return _encode
        raise NotARadarFile(f"the dates are a pickle that calls {module}.{name}", hint="Give the file as published")


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin-1")
