"""Limits on the size of the input, checked on declared sizes before any memory is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from model.core.errors import NotARadarFile, TooLarge
from model.core.grid import Grid

MAX_GRID_PIXELS: Final = 200_000_000
"""Of one frame. The largest known composite has 24.5 million pixels."""
MAX_TOTAL_PIXELS: Final = 1_500_000_000
"""Frames times grid, over all files of one call: 6 GB of float32, sixty frames of the largest known composite."""
MAX_FRAMES: Final = 100_000
MIN_PIXEL_M: Final = 10.0
"""The finest rain radars resolve some tens of metres: smaller pixels are in another unit than metres."""
MAX_CHUNKS: Final = 200_000
"""Of one array in HDF5, whose library takes about 1 kB for each chunk of a read; products have up to hundreds."""
MIN_STORED: Final = 1 / 1100
"""Share of an array that its file holds at least: deflate packs zeros 1032 to 1. What is missing was never written."""
MAX_UNSTORED_BYTES: Final = 128 << 20
"""Smaller arrays may be declared only: one frame of the largest known composite fits."""
FETCH_AGAIN: Final = "Give a whole file: fetch or copy it again"


@dataclass(kw_only=True)
class PixelBudget:
    """The number of pixels that the files of one call may hold together, and the number read so far."""

    max_pixels: int = MAX_TOTAL_PIXELS
    taken: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def check(self, *shape: int) -> None:
        """Check a declared shape (..., y, x) against the limits and the rest of the budget; see `check_size`."""
        check_size(*shape, taken=self.taken, max_pixels=self.max_pixels)

    def take(self, *shape: int) -> None:
        """Check a declared shape and count its pixels; every reader calls this before it allocates frames."""
        with self._lock:
            self.check(*shape)
            self.taken += math.prod(shape)


def check_size(*shape: int, taken: int = 0, max_pixels: int = MAX_TOTAL_PIXELS) -> None:
    """Check a declared shape (..., y, x) before it is allocated; `taken` pixels of earlier files count.

    Raises
    ------
    NotARadarFile
        A length is not positive.
    TooLarge
        The grid exceeds `MAX_GRID_PIXELS`, all pixels together exceed `max_pixels`, or there are more than
        `MAX_FRAMES` frames.
    """
    lengths = [int(length) for length in shape]
    if min(lengths) < 1:
        raise NotARadarFile(f"the declared grid is empty {tuple(lengths)}", hint=FETCH_AGAIN)
    total = math.prod(lengths)
    grid = math.prod(lengths[-2:])
    if grid > MAX_GRID_PIXELS or taken + total > max_pixels or total > grid * MAX_FRAMES:
        before = f" after {taken:,} of earlier files" if taken else ""
        raise TooLarge(
            f"the file declares {' x '.join(map(str, lengths))} pixels{before}, "
            f"the limit is {MAX_GRID_PIXELS:,} per frame and {max_pixels:,} in all",
            hint="Crop the frames, or give fewer",
        )


def check_pixel_size(grid: Grid) -> None:
    """Check that projected pixels are no smaller than those of any rain radar.

    Raises
    ------
    NotARadarFile
        The pixels are too small: x and y are not in the unit of the projection.
    """
    dy, dx = grid.pixel_size_m
    if not grid.crs.is_geographic and min(dy, dx) < MIN_PIXEL_M:
        raise NotARadarFile(
            f"pixels of {dx:.3g} x {dy:.3g} m are too small, probably because x and y are in km",
            hint="Give x and y in the unit of their projection, or state their unit (units = 'km' in netCDF)",
        )
