"""The window of a start time that is scored: the wettest square of the domain by the truth, for all models alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray

Window = tuple[slice, slice]
"""Rows and columns."""


def window_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return rows and columns of a window of a domain: no longer than the domain; a side of 0 is all of it."""
    return (min(side or shape[0], shape[0]), min(side or shape[1], shape[1]))


def wettest_window(truths: Sequence[FloatArray], side: int) -> Window:
    """Return the window with the most rain over all frames; of equal ones the first.

    Parameters
    ----------
    truths : sequence of array [y, x]
        Rain rate (mm h-1, NaN = no data, which counts as dry).
    side : int
        Side of the window in pixels; 0: the domain.
    """
    rain = np.sum([np.nan_to_num(truth) for truth in truths], axis=0, dtype=np.float64)
    rows, columns = window_shape(rain.shape, side)
    table = np.pad(rain.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    total = table[rows:, columns:] - table[:-rows, columns:] - table[rows:, :-columns] + table[:-rows, :-columns]
    top, left = np.unravel_index(int(np.argmax(total)), total.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)


def cropped_around(sequence: FrameSequence, window: Window, margin: int) -> tuple[FrameSequence, Window]:
    """Return the frames in a window and a margin of pixels, as far as the domain has it; and the window in them."""
    rows, columns = (slice(max(0, side.start - margin), side.stop + margin) for side in window)
    grid = Grid(crs=sequence.grid.crs, x=sequence.grid.x[columns], y=sequence.grid.y[rows])
    inner = tuple(
        slice(side.start - cut.start, side.stop - cut.start) for side, cut in zip(window, (rows, columns), strict=True)
    )
    return replace(sequence, rain_rate=sequence.rain_rate[:, rows, columns], grid=grid), (inner[0], inner[1])
