"""GRIB2 precipitation rate on a latitude-longitude grid: MRMS PrecipRate (NOAA), and WMO's rate parameters.

Needs the extra `grib` (eccodes), which never decodes in a process that must live on (see `grib_decoder`). The valid
time comes from the message. MRMS codes no data as negative rates (-3 no coverage, -1 missing). Forecasts are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.core.errors import DuplicateTimes, NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.phase import PHASE
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers import grib_decoder
from model.readers.grib_message import (
    RAIN_ALONE,
    check_observed,
    grid_of,
    mean_minutes,
    parameter,
    rain_rate,
    valid_time,
)
from model.readers.limits import FETCH_AGAIN, PixelBudget
from model.readers.rain_rate import describe_mean
from model.readers.source import ReadOptions, Source
from model.readers.subprocess_decoding import Decoder, DecoderOutput, decode

TITLE: Final = "GRIB2"
SCRIPT: Final = Path(__file__).with_name("grib_decoder.py")


def matches(head: bytes, path: Path) -> bool:
    """Whether the file starts with `GRIB`."""
    return head.startswith(b"GRIB")


def read_frames(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield the frames of GRIB files.

    Raises
    ------
    MissingDependency
        Eccodes is not installed.
    """
    decoder = Decoder(
        title=TITLE,
        family="GRIB",
        library="eccodes",
        script=SCRIPT,
        decoded=grib_decoder.decoded,
        file_frames=_file_frames,
    )
    yield from decode(sources, options, decoder)


def _file_frames(output: DecoderOutput, source: Source, options: ReadOptions) -> FrameSequence:
    """Return the frames of the next file, one for each message with the requested rain rate."""
    frames: list[tuple[np.datetime64, FloatArray]] = []
    grid: Grid | None = None
    names: dict[str, None] = {}
    means: list[float | None] = []
    read: set[str] = set()
    while not (keys := output.line()).get("end"):
        name, factor = parameter(keys)
        names[name] = None
        selected = factor is not None and options.variable in (None, name)
        values = _message_values(output, keys, options.budget, selected=selected)
        if factor is None or not selected:
            continue
        check_observed(keys)
        message_grid = grid_of(keys)
        if grid is not None and not grid.matches(message_grid):
            raise NotARadarFile("the messages lie on different grids", hint="Give one product per file")
        grid = grid or message_grid
        read.add(name)
        means.append(mean_minutes(keys))
        frames.append((valid_time(keys), rain_rate(values.reshape(grid.shape), factor, keys)))
    if grid is None:
        lacking = f"no variable {options.variable!r}" if options.variable else "no precipitation rate"
        raise UnknownVariable(f"the file has {lacking}", hint=f"It holds {', '.join(names) or 'no message'}")
    frames.sort(key=lambda frame: frame[0])
    times = np.array([time for time, _ in frames])
    if np.any(np.diff(times) == np.timedelta64(0)):
        raise DuplicateTimes("two messages hold the same valid time", hint="Give each valid time once")
    rain = frames[0][1][np.newaxis] if len(frames) == 1 else np.stack([rain for _, rain in frames])
    mean = max((minutes for minutes in means if minutes), default=None)
    quantity = "rain rate" if mean is None else describe_mean(mean)
    attributes = {"radar_format": TITLE, "quantity": quantity, "source_product": next(iter(names))}
    if read == {RAIN_ALONE}:
        attributes[PHASE] = "rain"
    return FrameSequence(rain_rate=rain, times=times, grid=grid, attributes=attributes)


def _message_values(output: DecoderOutput, keys: dict[str, Any], budget: PixelBudget, *, selected: bool) -> FloatArray:
    """Return the values that follow the keys of a message, after a check of the size against grid and limits."""
    shape = (1, int(keys.get("Nj") or 0), int(keys.get("Ni") or 0))
    (budget.take if selected else budget.check)(*shape)
    if int(keys["values"]) != math.prod(shape):
        raise NotARadarFile(
            f"the grid is {shape[1]} x {shape[2]}, the number of values is {keys['values']}", hint=FETCH_AGAIN
        )
    return output.values(math.prod(shape))
