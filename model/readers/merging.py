"""Merging of the frames of several files into one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import DuplicateTimes, MixedGrids, NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.times import most_common_step, utc_text
from model.readers.limits import check_pixel_size
from model.readers.no_data import mask_implausible_rain_rate
from model.readers.observation_times import check_times
from model.readers.rain_rate import CAPPED, period_minutes
from model.readers.source import Source, input_errors

Part = tuple[Source, FrameSequence]
MAX_GAPS_NAMED: Final = 20
MAX_EMPTY_NAMED: Final = 20
SAMPLE: Final = 16
OVERLAP: Final = 1.5
"""Periods of more time steps than this overlap; below, a frame only came late."""
MAX_VALUES_NAMED: Final = 5
MAX_ATTRIBUTE: Final = 2000
"""Characters of one attribute that are kept."""
MAX_ATTRIBUTES: Final = 100


def plausible_frames(parts: Iterator[Part]) -> Iterator[Part]:
    """Yield the same frames with implausible rain rates masked.

    Raises
    ------
    NotARadarFile, FutureFrame
        Valid times, pixel sizes or values are impossible.
    """
    for source, frames in parts:
        with input_errors(source, "a radar file"):
            check_times(frames.times)
            check_pixel_size(frames.grid)
            mask_implausible_rain_rate(frames.rain_rate)
        yield source, frames


def merge_frames(parts: Iterator[Part]) -> FrameSequence:
    """Merge the frames of all files into one sequence, sorted by valid time.

    Gaps and frames without data are no errors: the attributes `gaps` and `frames_without_data` name them, and
    whoever needs these frames decides.

    Raises
    ------
    NotARadarFile
        No file holds a frame.
    MixedGrids
        A file has another grid than the first.
    DuplicateTimes
        Two files hold the same valid time.
    """
    read: list[Part] = []
    for source, frames in parts:
        if read and not frames.grid.matches(read[0][1].grid):
            first, held = read[0]
            raise MixedGrids(
                f"the grid is {_describe(frames.grid)}, the grid of {first.name} is {_describe(held.grid)}",
                where=source.name,
                hint="Give frames of one radar product on one grid",
            )
        if not read:
            _check_on_earth(source, frames.grid)
        read.append((source, frames))
    if not read:
        raise NotARadarFile("no file holds a radar frame", where="input", hint="Give at least one radar file")

    grid = read[0][1].grid
    masks = [frames.mask for _, frames in read if frames.mask is not None]
    times, owners, rows = _sorted_times(read)
    notes = [*(note for _, frames in read for note in frames.notes), *_overlap(read, times), *_mixed(read)]
    counted = {"gaps": describe_gaps(times), "frames_without_data": _describe_empty(read), CAPPED: _capped(read)}
    attributes = {name: text for name, text in _common_attributes(read).items() if name not in counted}
    attributes |= {name: text for name, text in counted.items() if text}
    if len(read) == 1 and bool(np.all(rows == np.arange(rows.size))):
        rain_rate = read[0][1].rain_rate
    else:
        rain_rate = np.empty((times.size, *grid.shape), np.float32)
        # Each part is released as soon as it is copied, so the peak is one sequence and not two.
        places = [np.flatnonzero(owners == part) for part in range(len(read))]
        read.reverse()
        for place in places:
            _, frames = read.pop()
            for to, row in zip(place, rows[place], strict=True):
                rain_rate[to] = frames.rain_rate[row]
    return FrameSequence(
        rain_rate=rain_rate,
        times=times,
        grid=grid,
        mask=np.logical_or.reduce(masks) if masks else None,
        attributes=attributes,
        notes=tuple(dict.fromkeys(notes)),
    )


def describe_gaps(times: NDArray[np.datetime64]) -> str:
    """Return the valid times missing at the most common step: `2010-08-26T00:10Z 2010-08-26T00:15Z`; '' if none."""
    if times.size < 3:
        return ""
    seconds = times.astype("datetime64[s]").astype("int64")
    step = int(most_common_step(times) / np.timedelta64(1, "s"))
    if step <= 0:
        return ""
    missing: list[str] = []
    count = 0
    for before, after in pairwise(seconds):
        absent = round((after - before) / step) - 1
        count += max(absent, 0)
        for index in range(1, min(absent, MAX_GAPS_NAMED - len(missing)) + 1):
            missing.append(utc_text(np.datetime64(int(before + index * step), "s")))
    more = f" and {count - len(missing)} more" if count > len(missing) else ""
    return " ".join(missing) + more


def _check_on_earth(source: Source, grid: Grid) -> None:
    """Refuse a grid without any pixel on earth: a forecast on this grid could be neither shown nor queried."""
    x, y = (centres[[0, centres.size // 2, -1]] for centres in (grid.x, grid.y))
    if not grid.is_on_earth(*np.meshgrid(x, y)).any():
        raise NotARadarFile(
            f"the grid does not lie on earth: {_describe(grid)}",
            where=source.name,
            hint="Correct the coordinates, or their unit",
        )


def _describe_empty(read: list[Part]) -> str:
    """Return the files of frames without any data, newest first: `b.h5; a.nc at 2010-08-26T00:10Z`; '' if none."""
    empty = [
        (time, source.name if len(frames) == 1 else f"{source.name} at {utc_text(time)}")
        for source, frames in read
        for time, rain_rate in zip(frames.times, frames.rain_rate, strict=True)
        # A sample shows of most frames that they hold data; only the others are searched in full.
        if not (np.isfinite(rain_rate[::SAMPLE, ::SAMPLE]).any() or np.isfinite(rain_rate).any())
    ]
    names = [name for _, name in sorted(empty, reverse=True)]
    more = f" and {len(names) - MAX_EMPTY_NAMED} more" if len(names) > MAX_EMPTY_NAMED else ""
    return "; ".join(names[:MAX_EMPTY_NAMED]) + more


def _capped(read: list[Part]) -> str:
    """Return the number of pixels above the hail cap in all frames; '' if none."""
    counts = [frames.attributes.get(CAPPED, "") for _, frames in read]
    return str(sum(int(count) for count in counts if count.isdecimal()) or "")


def _overlap(read: list[Part], times: NDArray[np.datetime64]) -> list[str]:
    """Return a note where accumulations or means last longer than the time step."""
    periods = [period_minutes(frames.attributes.get("quantity", "")) for _, frames in read]
    period = max((period for period in periods if period is not None), default=0.0)
    if times.size < 2 or period <= OVERLAP * (step := float(most_common_step(times) / np.timedelta64(1, "s")) / 60):
        return []
    return [
        f"the frames are means over {period:g} min, one every {step:g} min: they overlap and lag behind the rain, and "
        "count as the rate at the end of each period"
    ]


def _mixed(read: list[Part]) -> list[str]:
    """Return a note where frames come from different quantities: one radar product rarely mixes them."""
    kinds = dict.fromkeys(frames.attributes.get("quantity", "") for _, frames in read)
    return [f"the frames come from different quantities: {', '.join(filter(None, kinds))}"] if len(kinds) > 1 else []


def _sorted_times(read: list[Part]) -> tuple[NDArray[np.datetime64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the valid times in order, and for each time the index of the part and of the row in that part."""
    times = np.concatenate([frames.times for _, frames in read])
    owners = np.repeat(np.arange(len(read)), [len(frames) for _, frames in read])
    rows = np.concatenate([np.arange(len(frames)) for _, frames in read])
    order = np.argsort(times, kind="stable")
    times, owners, rows = times[order], owners[order], rows[order]
    for index in np.flatnonzero(np.diff(times) == np.timedelta64(0)):
        one, other = (read[int(owners[i])][0].name for i in (index, index + 1))
        raise DuplicateTimes(
            f"{one} and {other} both hold {utc_text(times[index])}", where=other, hint="Give each valid time once"
        )
    return times, owners, rows


def _common_attributes(read: list[Part]) -> dict[str, str]:
    """Return the attributes of all files; where the values differ, the first few."""
    names = dict.fromkeys(name[:MAX_ATTRIBUTE] for _, frames in read for name in frames.attributes)
    values = {
        name: dict.fromkeys(frames.attributes[name][:MAX_ATTRIBUTE] for _, frames in read if name in frames.attributes)
        for name in list(names)[:MAX_ATTRIBUTES]
    }
    return {
        name: "; ".join(list(found)[:MAX_VALUES_NAMED]) + ("; ..." if len(found) > MAX_VALUES_NAMED else "")
        for name, found in values.items()
    }


def _describe(grid: Grid) -> str:
    ny, nx = grid.shape
    operation = grid.crs.coordinate_operation
    name = operation.method_name if operation and grid.crs.name in ("unknown", "undefined") else grid.crs.name
    return f"{ny} x {nx} from x {grid.x[0]:.6g}, y {grid.y[0]:.6g} in {name}"
