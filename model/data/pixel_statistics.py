"""Statistics of an archive: pixel values by day, and gaps. Several days are read in parallel."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.data.archive import RAIN_OF_PIXEL, Archive, DamagedFrame
from model.data.split import Block, Day

NO_DATA: Final = 256
"""Index of the count of missing pixels, after those of the 256 values."""
CHUNK_PIXELS: Final = 1_000_000
HOURS_PER_DAY: Final = 24


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """How often each pixel value occurs.

    `by_day`: counts of the 256 values and, last, of missing pixels, int64 [257], by day or block of hours. `damaged`:
    frames that cannot be read.
    """

    by_day: dict[Day, NDArray[np.int64]]
    damaged: list[DamagedFrame] = field(default_factory=list)

    @property
    def total(self) -> NDArray[np.int64]:
        """Counts of all days, int64 [257]."""
        return sum(self.by_day.values(), start=np.zeros(NO_DATA + 1, np.int64))


def count_pixels(
    archive: Archive,
    on_frame: Callable[[], None] = lambda: None,
    days: Mapping[Day, NDArray[np.datetime64]] | None = None,
) -> PixelCounts:
    """Count the pixel values of all frames; memory holds a frame or two per core.

    Parameters
    ----------
    archive
        The archive.
    on_frame
        Called after each frame.
    days
        Valid times that are counted together, by day or block; by default those of each day.
    """
    days = frames_by_day(archive) if days is None else days
    result = PixelCounts({})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = pool.map(lambda day: _count(archive, days[day], on_frame), days)
        for day, (counts, damaged) in zip(days, counted, strict=True):
            result.by_day[day] = counts
            result.damaged.extend(damaged)
    return result


def _count(
    archive: Archive, times: NDArray[np.datetime64], on_frame: Callable[[], None]
) -> tuple[NDArray[np.int64], list[DamagedFrame]]:
    counts = np.zeros(NO_DATA + 1, np.int64)
    damaged = []
    for time in times:
        try:
            pixels, missing = archive.read_pixels(time)
        except DamagedFrame as error:
            damaged.append(error)
        else:
            known = pixels[~missing]
            for first in range(0, known.size, CHUNK_PIXELS):
                counts[:NO_DATA] += np.bincount(known[first : first + CHUNK_PIXELS], minlength=NO_DATA)
            counts[NO_DATA] += pixels.size - known.size
        on_frame()
    return counts, damaged


def frames_by_day(archive: Archive) -> dict[Day, NDArray[np.datetime64]]:
    """Return the valid times of the frames of each day (UTC, datetime64[D])."""
    days, starts = np.unique(archive.times.astype("datetime64[D]"), return_index=True)
    return dict(zip(days, np.split(archive.times, starts[1:]), strict=True)) if days.size else {}


def frames_by_block(archive: Archive, hours: int, gap_minutes: float = 0.0) -> dict[Day, NDArray[np.datetime64]]:
    """Return the valid times of the frames of each block of `hours` hours from midnight (UTC) of the first day on.

    Blocks without a frame after their first `gap_minutes` are left out.
    """
    if not archive.times.size:
        return {}
    midnight, length = archive.times[0].astype("datetime64[D]"), np.timedelta64(hours, "h")
    numbers, starts = np.unique((archive.times - midnight) // length, return_index=True)
    firsts = [(midnight + number * length).astype("datetime64[m]") for number in numbers]
    blocks = [Block(first, first + length) for first in firsts]
    frames = dict(zip(blocks, np.split(archive.times, starts[1:]), strict=True))
    gap = np.timedelta64(math.ceil(gap_minutes), "m")
    return {block: times for block, times in frames.items() if times[-1] >= block.begin + gap}


def wet_fraction(counts: NDArray[np.int64], threshold_mm_h: float) -> float | None:
    """Return the fraction of the pixels with data that reach a threshold; None if no pixel holds data."""
    known = int(counts[:NO_DATA].sum())
    return float(counts[:NO_DATA][threshold_mm_h <= RAIN_OF_PIXEL].sum()) / known if known else None


def mean_amount_mm(counts: NDArray[np.int64]) -> float:
    """Return the mean rain over frames and pixels, in mm per 24 hours."""
    known = int(counts[:NO_DATA].sum())
    return float(counts[:NO_DATA] @ RAIN_OF_PIXEL.astype(np.float64)) / known * HOURS_PER_DAY if known else 0.0


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A number of missing `frames` between the valid times of two frames (UTC)."""

    after: np.datetime64
    before: np.datetime64
    frames: int


def find_gaps(archive: Archive) -> Iterator[Gap]:
    """Yield the gaps at the archive's time step.

    Missing whole days are not gaps: archives of selected days, such as HKO-7, lack most days.
    """
    step = np.timedelta64(round(archive.step_minutes * 60), "s")
    times = archive.times
    days = times.astype("datetime64[D]")
    missing = np.round(np.diff(times) / step).astype(np.int64) - 1
    for at in np.flatnonzero((missing > 0) & (np.diff(days) <= np.timedelta64(1, "D"))):
        yield Gap(after=times[at], before=times[at + 1], frames=int(missing[at]))
