"""GRIB2 precipitation rate on a latitude-longitude grid: MRMS PrecipRate (NOAA), and WMO's rate parameters.

Needs the extra `grib` (eccodes), which decodes in child processes only (see `grib_child`). The valid time is
the message's. MRMS marks missing as negative (-3 no coverage, -1 missing). Forecasts are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.core.errors import DuplicateTimes, NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers.children import Answer, Decoder, decode
from model.readers.grib_message import check_observed, grid_of, mean_minutes, rain_rate, rate, valid_time
from model.readers.source import DAMAGED, Budget, Options, Source, describe_mean

TITLE: Final = "GRIB2"
CHILD: Final = Path(__file__).with_name("grib_child.py")


def matches(head: bytes, path: Path) -> bool:
    """`GRIB` at the start."""
    return head.startswith(b"GRIB")


def read_frames(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames of GRIB files.

    Raises
    ------
    MissingDependency
        Eccodes is not installed.
    """
    decoder = Decoder(title=TITLE, family="GRIB", library="eccodes", script=CHILD, file_frames=_file_frames)
    yield from decode(sources, options, decoder)


def _file_frames(answer: Answer, source: Source, options: Options) -> FrameSequence:
    """The frames of the next file, one per message that holds the rain rate asked for."""
    frames: list[tuple[np.datetime64, FloatArray]] = []
    grid: Grid | None = None
    held: dict[str, None] = {}
    means: list[float | None] = []
    while not (keys := answer.line()).get("end"):
        name, factor = rate(keys)
        held[name] = None
        wanted = factor is not None and options.variable in (None, name)
        values = _message_values(answer, keys, options.budget, wanted=wanted)
        if factor is None or not wanted:
            continue
        check_observed(keys)
        message_grid = grid_of(keys)
        if grid is not None and not grid.matches(message_grid):
            raise NotARadarFile("its messages lie on different grids", hint="Give one product per file")
        grid = grid or message_grid
        means.append(mean_minutes(keys))
        frames.append((valid_time(keys), rain_rate(values.reshape(grid.shape), factor, keys)))
    if grid is None:
        lacking = f"no variable {options.variable!r}" if options.variable else "no precipitation rate"
        raise UnknownVariable(f"it has {lacking}", hint=f"It holds {', '.join(held) or 'no message'}")
    frames.sort(key=lambda frame: frame[0])
    times = np.array([time for time, _ in frames])
    if np.any(np.diff(times) == np.timedelta64(0)):
        raise DuplicateTimes("two of its messages hold the same valid time", hint="Give each valid time once")
    rain = frames[0][1][np.newaxis] if len(frames) == 1 else np.stack([rain for _, rain in frames])
    mean = max((minutes for minutes in means if minutes), default=None)
    quantity = "rain rate" if mean is None else describe_mean(mean)
    attributes = {"radar_format": TITLE, "quantity": quantity, "source_product": next(iter(held))}
    return FrameSequence(rain_rate=rain, times=times, grid=grid, attributes=attributes)


def _message_values(answer: Answer, keys: dict[str, Any], budget: Budget, *, wanted: bool) -> FloatArray:
    """The values that follow the description of a message, once its size was held against its grid and the limits."""
    shape = (1, int(keys.get("Nj") or 0), int(keys.get("Ni") or 0))
    (budget.take if wanted else budget.check)(*shape)
    if int(keys["values"]) != math.prod(shape):
        raise NotARadarFile(f"its grid is {shape[1]} x {shape[2]}, its values are {keys['values']}", hint=DAMAGED)
    return answer.values(math.prod(shape))
