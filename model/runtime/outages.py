"""Mask outages that were sent as dry weather: frames of a radar that was off, or not ready, while it rained.

Decision 016 in docs/decisions has the reasons, `benchmarks.outages` the effect on forecasts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import NoData
from model.core.sequence import FrameSequence
from model.core.times import utc_text
from model.core.units import FloatArray

Mask = NDArray[np.bool_]

RAINING_MM_H, TRACE_MM_H = 0.2, 0.02
"""Rain of the first rate does not weaken below the second one within a time step, nor start from less (mm h-1)."""
MAX_SPEED_M_S: Final = 28.0
"""Upper limit of the speed of rain: that of the fastest squall lines and winter storms (100 km/h)."""
OUTAGE_PX, OUTAGE_OF_KNOWN = 100, 0.001
"""Smallest outage: pixels of missing rain, and their share of the pixels with data."""
OUTAGE_SHARE, OUTAGE_SHARE_OF_NEWEST = 0.1, 0.25
"""Smallest share of the expected rain that is missing in an outage. The newest frame needs more evidence: where it is
masked, there is no forecast."""
WHOLE_SHARE, WHOLLY_DRY = 0.8, 0.02
"""The whole frame is an outage if at least the first share of the expected rain is missing, and there are fewer wet
pixels than the second share of those expected."""
EDGE_PX: Final = 3
"""Margin around observed rain that is not masked (pixels)."""


def mask_outages(context: FrameSequence) -> FrameSequence:
    """Return a context in which frames, or parts of them, that are suddenly dry hold no data.

    Rain that is farther from the edge of the coverage than rain moves in a time step neither arrives nor leaves within
    the step. So a frame without rain where it must rain shows an outage, not dry weather. Each frame is compared with
    the next newer one, and the newest with the one before it; of the latter only that rain counts which the frame
    before it shows, too, so that a single frame full of interference masks no other.

    Parameters
    ----------
    context : FrameSequence
        Frames at a regular time step.

    Returns
    -------
    FrameSequence
        The same frames, NaN in place of outages; `notes` name the frames.

    Raises
    ------
    NoData
        The whole newest frame is an outage.
    """
    rain, reach = context.rain_rate, _reach_px(context)
    known, raining, trace = np.isfinite(rain), rain >= RAINING_MM_H, rain >= TRACE_MM_H
    least = max(OUTAGE_PX, OUTAGE_OF_KNOWN * max(np.count_nonzero(each) for each in known))
    if max(np.count_nonzero(each) for each in raining) < least:
        return context
    newest = len(rain) - 1
    lost: dict[int, Mask] = {}
    expected = raining[newest - 1] & _near(trace[newest - 2], reach) if newest > 1 else raining[newest - 1]
    outage = _outage(trace[newest], known[newest], expected, reach)
    if outage.pixels >= least and outage.share >= OUTAGE_SHARE_OF_NEWEST:
        if outage.whole:
            raise NoData(
                f"the newest frame ({utc_text(context.times[newest])}) is suddenly dry: it rained on "
                f"{np.count_nonzero(raining[newest - 1]):,} pixels at {utc_text(context.times[newest - 1])}",
                where="input",
                hint="Omit that frame, or give one that holds data",
            )
        lost[newest] = outage.where
    expected = raining[newest]
    for index in range(newest - 1, -1, -1):
        outage = _outage(trace[index], known[index], expected, reach)
        is_outage = outage.pixels >= least and outage.share >= OUTAGE_SHARE
        if is_outage:
            lost[index] = outage.where
        # Rain that an outage hides is expected in the frame before it as well.
        hidden = expected & outage.where if is_outage else np.zeros_like(expected)
        expected = (raining[index] & _near(trace[index + 1], reach)) | hidden
    if not lost:
        return context
    masked = rain.copy()
    for index, where in lost.items():
        masked[index][where] = np.nan
    named = ", ".join(utc_text(context.times[index]) for index in sorted(lost))
    note = f"suddenly dry while it rains in the other frames, and masked as an outage: {named}"
    return replace(context, rain_rate=masked, notes=(*context.notes, note))


def _reach_px(context: FrameSequence) -> float:
    """Return how far rain moves within a time step at most (pixels)."""
    return MAX_SPEED_M_S * 60 * context.time_step_minutes() / min(context.grid.pixel_size_m)


class _Outage(NamedTuple):
    """An outage in one frame.

    Attributes
    ----------
    where : ndarray of bool
        Pixels that are suddenly dry [y, x].
    pixels : float
        Number of pixels where rain is missing.
    share : float
        Their share of the pixels where rain is expected.
    whole : bool
        Whether the whole frame is an outage.
    """

    where: Mask
    pixels: float
    share: float
    whole: bool


def _outage(trace: Mask, known: Mask, expected: Mask, reach_px: float) -> _Outage:
    """Find the expected rain without a trace of rain within reach.

    Only rain that is out of reach of the edge of the coverage counts: across the edge rain may arrive and leave. The
    search runs on cells of a quarter of the reach, which makes it cheap.

    Parameters
    ----------
    trace, known, expected : ndarray of bool
        Where the frame holds a trace of rain, where it holds data, and where rain is expected [y, x].
    reach_px : float
        How far rain moves within a time step (pixels).
    """
    cell, reach = _cells(reach_px)
    inside = ~_dilated(np.pad(_by_cells(~known, cell) > 0, 1, constant_values=True), reach)[1:-1, 1:-1]
    area = _by_cells(expected & known, cell) * inside
    gone = (area > 0) & ~_dilated(_by_cells(trace, cell) > 0, reach)
    pixels = float(area[gone].sum())
    around = _by_pixels(_dilated(gone, 3 * reach), cell, trace.shape)  # up to the edge of the coverage
    share = pixels / max(float(area.sum()), 1.0)
    whole = share >= WHOLE_SHARE and bool(np.count_nonzero(trace) < WHOLLY_DRY * np.count_nonzero(expected))
    where = known if whole else known & around & ~_dilated(trace, EDGE_PX)
    return _Outage(where, pixels, share, whole)


def _near(mask: Mask, reach_px: float) -> Mask:
    """Return whether a pixel lies within reach of the mask."""
    cell, reach = _cells(reach_px)
    return _by_pixels(_dilated(_by_cells(mask, cell) > 0, reach), cell, mask.shape)


def _cells(reach_px: float) -> tuple[int, int]:
    """Return the side of a cell (pixels), and the side of the square within reach of a cell (cells)."""
    cell = max(4, int(reach_px / 4))
    return cell, 2 * math.ceil(reach_px / cell) + 1


def _by_pixels(cells: Mask, cell: int, shape: tuple[int, ...]) -> Mask:
    """Return the value of the cell that each pixel [y, x] lies in."""
    ny, nx = shape
    return np.repeat(np.repeat(cells, cell, axis=0), cell, axis=1)[:ny, :nx]


def _by_cells(wet: Mask, cell: int) -> FloatArray:
    """Return the number of wet pixels in square cells."""
    ny, nx = (-(-side // cell) for side in wet.shape)
    padded = np.zeros((ny * cell, nx * cell), np.float32)
    padded[: wet.shape[0], : wet.shape[1]] = wet
    return np.asarray(cv2.resize(padded, (nx, ny), interpolation=cv2.INTER_AREA) * cell**2, np.float32)


def _dilated(mask: Mask, side: int) -> Mask:
    """Return the mask dilated by a square."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)) > 0)
