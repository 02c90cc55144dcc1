"""GRIB2 precipitation rate on a latitude-longitude grid: MRMS PrecipRate (NOAA), and WMO's rate parameters.

Needs the extra `grib` (eccodes), which decodes in child processes only (see `grib_child`). The valid time is
the message's. MRMS marks missing as negative (-3 no coverage, -1 missing).
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from pyproj import CRS

from model.core.errors import DuplicateTimes, MissingDependency, NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers.plausible import plausible_time
from model.readers.source import DAMAGED, MAX_GRID_PIXELS, Budget, Options, Source, reading

TITLE: Final = "GRIB2"
CHILD: Final = Path(__file__).with_name("grib_child.py")
SECONDS_PER_FILE: Final = 60.0
MAX_CHILDREN: Final = 4
PIPE_BYTES: Final = 1 << 20
RATES_MM_H: Final[dict[tuple[int, int, int], tuple[str, float]]] = {
    (209, 6, 1): ("PrecipRate", 1.0),
    (0, 1, 7): ("prate", 3600.0),
    (0, 1, 52): ("tprate", 3600.0),
    (0, 1, 65): ("rprate", 3600.0),
}
"""(discipline, category, number) -> name, and what turns its unit (mm h-1; kg m-2 s-1) into mm h-1."""


def matches(head: bytes, path: Path) -> bool:
    """`GRIB` at the start."""
    return head.startswith(b"GRIB")


def read_frames(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames of GRIB files, decoded by as many child processes as there are processors to run them.

    Raises:
        MissingDependency: eccodes is not installed.
    """
    if importlib.util.find_spec("eccodes") is None:
        with reading(sources[0], TITLE):
            raise _missing_eccodes("GRIB needs eccodes, which is not installed")
    children = max(1, min(len(sources), _processors(), MAX_CHILDREN))
    shares = [sources[index::children] for index in range(children)]
    work = _Work()
    with ThreadPoolExecutor(children) as pool:
        try:
            for share in pool.map(lambda share: _decode_share(share, options, work), shares):
                yield from share
        except BaseException:
            work.stop()  # or the pool would wait for its children to finish
            raise


@dataclass
class _Work:
    """The children of one call; whether one failed, and whether all were stopped."""

    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    failed: bool = False
    stopped: bool = False

    def stop(self) -> None:
        """End every child, those that are about to start too."""
        self.failed = self.stopped = True
        for child in self.children:
            child.kill()


def _missing_eccodes(what: str) -> MissingDependency:
    return MissingDependency(what, mend="Install it: pip install 'echocast[grib]'")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_share(sources: Sequence[Source], options: Options, work: _Work) -> list[tuple[Source, FrameSequence]]:
    """Frames of the files that one child decodes, in order; where one is bad, the other children's next is not read."""
    decoded = []
    try:
        with _child(sources, options.budget, work) as stdout:
            for source in sources:
                with reading(source, TITLE):
                    decoded.append((source, _file_frames(stdout, options)))
                if work.failed:
                    break
    except BaseException:
        work.failed = True
        raise
    return decoded


@contextmanager
def _child(sources: Sequence[Source], budget: Budget, work: _Work) -> Iterator[BufferedReader]:
    """The standard output of a child that decodes `sources`; it is killed when it takes too long."""
    # -P: the folder of the script, with its modules named like libraries, stays off the child's import path.
    command = [sys.executable, "-P", str(CHILD)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES
    ) as process:
        work.children.append(process)
        timer = threading.Timer(SECONDS_PER_FILE * len(sources), process.kill)
        timer.start()
        try:
            if work.stopped:
                process.kill()
            assert process.stdin is not None  # noqa: S101  (it is a pipe)
            most = min(MAX_GRID_PIXELS, budget.max_pixels)
            request = {"paths": [str(source.path) for source in sources], "max_pixels": most}
            with suppress(BrokenPipeError), process.stdin as stdin:  # a child that is gone shows when it is read
                stdin.write(json.dumps(request).encode())
            yield cast(BufferedReader, process.stdout)
        finally:
            timer.cancel()
            process.kill()


def _file_frames(stdout: BufferedReader, options: Options) -> FrameSequence:
    """The frames of the next file, one per message that holds the rain rate asked for."""
    frames: list[tuple[np.datetime64, FloatArray]] = []
    grid: Grid | None = None
    held: dict[str, None] = {}
    while not (keys := _next_line(stdout)).get("end"):
        if "unavailable" in keys:
            raise _missing_eccodes(f"eccodes cannot be loaded ({keys['unavailable']})")
        if "error" in keys:
            raise NotARadarFile(f"cannot be read as {TITLE}: {keys['error']}", mend=DAMAGED)
        name, factor = _rate(keys)
        held[name] = None
        wanted = factor is not None and options.variable in (None, name)
        values = _message_values(stdout, keys, options.budget, wanted=wanted)
        if factor is None or not wanted:
            continue
        message_grid = _grid(keys)
        if grid is not None and not grid.matches(message_grid):
            raise NotARadarFile("its messages lie on different grids", mend="Give one product per file")
        grid = grid or message_grid
        frames.append((_valid_time(keys), _rain_rate(values.reshape(grid.shape), factor, keys)))
    if grid is None:
        lacking = f"no variable {options.variable!r}" if options.variable else "no precipitation rate"
        raise UnknownVariable(f"it has {lacking}", mend=f"It holds {', '.join(held) or 'no message'}")
    frames.sort(key=lambda frame: frame[0])
    times = np.array([time for time, _ in frames])
    if np.any(np.diff(times) == np.timedelta64(0)):
        raise DuplicateTimes("two of its messages hold the same valid time", mend="Give each valid time once")
    rain = frames[0][1][np.newaxis] if len(frames) == 1 else np.stack([rain for _, rain in frames])
    attributes = {"radar_format": TITLE, "quantity": "rain rate", "source_product": next(iter(held))}
    return FrameSequence(rain_rate=rain, times=times, grid=grid, attributes=attributes)


def _next_line(stdout: BufferedReader) -> dict[str, Any]:
    line = stdout.readline()
    if not line.endswith(b"\n"):
        raise NotARadarFile("decoding it ended in a crash, or took too long", mend=DAMAGED)
    content: dict[str, Any] = json.loads(line)
    return content


def _message_values(stdout: BufferedReader, keys: dict[str, Any], budget: Budget, *, wanted: bool) -> FloatArray:
    """The values that follow the description of a message, once its size was held against its grid and the limits."""
    shape = (1, int(keys.get("Nj") or 0), int(keys.get("Ni") or 0))
    (budget.take if wanted else budget.check)(*shape)
    if int(keys["values"]) != math.prod(shape):
        raise NotARadarFile(f"its grid is {shape[1]} x {shape[2]}, its values are {keys['values']}", mend=DAMAGED)
    return _next_values(stdout, math.prod(shape))


def _next_values(stdout: BufferedReader, count: int) -> FloatArray:
    values = np.empty(count, np.float32)
    view = values.data.cast("B")
    while len(view):
        read = stdout.readinto(view)
        if not read:
            raise NotARadarFile("decoding it ended in a crash, or took too long", mend=DAMAGED)
        view = view[read:]
    return values


def _rate(keys: dict[str, Any]) -> tuple[str, float | None]:
    """The parameter's name, and the factor to mm h-1 where it is a precipitation rate."""
    parameter = tuple(int(keys.get(key, -1)) for key in ("discipline", "parameterCategory", "parameterNumber"))
    if keys.get("edition") == 2 and parameter in RATES_MM_H:
        return RATES_MM_H[parameter]
    name = str(keys.get("shortName", "unknown"))
    return (f"parameter {'/'.join(map(str, parameter))}" if name == "unknown" else name), None


def _rain_rate(values: FloatArray, factor: float, keys: dict[str, Any]) -> FloatArray:
    """Rain rate (mm h-1) [y, x] with x increasing; negative is missing."""
    values[values < 0] = np.nan
    if factor != 1.0:
        values *= np.float32(factor)
    return values[:, ::-1] if keys.get("iScansNegatively") else values


def _grid(keys: dict[str, Any]) -> Grid:
    """Pixel centres in degrees, longitudes from -180 where the grid starts beyond 180."""
    kind = keys.get("gridType")
    if kind != "regular_ll":
        raise NotARadarFile(f"its grid is {kind}, not regular_ll", mend="Give a regular latitude-longitude grid")
    if keys.get("jPointsAreConsecutive") or keys.get("alternativeRowScanning"):
        raise NotARadarFile("its rows do not run along parallels in one direction", mend="Give scanning mode 0 or 64")
    nx, ny = int(keys["Ni"]), int(keys["Nj"])
    dx, dy = float(keys["iDirectionIncrementInDegrees"]), float(keys["jDirectionIncrementInDegrees"])
    west = float(keys["longitudeOfFirstGridPointInDegrees"])
    if keys.get("iScansNegatively"):
        west -= (nx - 1) * dx
    if west >= 180.0:
        west -= 360.0
    first = float(keys["latitudeOfFirstGridPointInDegrees"])
    y = first + np.arange(ny) * (dy if keys.get("jScansPositively") else -dy)
    # Rounded: GRIB holds microdegrees, and 230.005 - 360 should read -129.995.
    return Grid(crs=CRS.from_epsg(4326), x=np.round(west + np.arange(nx) * dx, 9), y=np.round(y, 9))


def _valid_time(keys: dict[str, Any]) -> np.datetime64:
    date, clock = int(keys["validityDate"]), int(keys["validityTime"])
    try:
        moment = datetime(date // 10000, date // 100 % 100, date % 100, clock // 100, clock % 100)  # noqa: DTZ001
        return plausible_time(moment + timedelta(seconds=int(keys.get("second") or 0)))
    except ValueError:
        raise NotARadarFile(f"its valid time {date} {clock:04} is not a time", mend=DAMAGED) from None
