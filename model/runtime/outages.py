"""Outages that were sent as dry weather: a radar that was off, or sent before it was ready, while it rained."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import NoData
from model.core.sequence import FrameSequence
from model.core.units import FloatArray

Mask = NDArray[np.bool_]

RAINING_MM_H, TRACE_MM_H = 0.2, 0.02
"""Rain of the first rate does not fall below the second one within a time step, nor come out of less."""
MAX_SPEED_M_S: Final = 28.0
"""How fast rain moves at most."""
OUTAGE_PX, OUTAGE_OF_KNOWN = 100, 0.001
"""Of how many pixels, and of what part of the known ones, rain must be missing at least for an outage."""
OUTAGE_SHARE, OUTAGE_SHARE_OF_NEWEST = 0.1, 0.25
"""And of what part of the rain that must be there. More of the newest frame: what is taken from it is not forecast."""
WHOLE_SHARE, WHOLLY_DRY = 0.8, 0.02
"""A frame is dry as a whole where so much of that rain is missing, and less than the second part of it is there."""
EDGE_PX: Final = 3


def mask_outages(context: FrameSequence) -> FrameSequence:
    """The context without the data of frames that are suddenly dry, in whole or in part, while it rains in the others.

    Rain that is farther from the edge of what a frame knows than rain moves in a time step neither comes nor goes
    within one: a radar that was off, or sent before it was ready, is told from dry weather by that. Each frame is held
    against the next newer one; the newest against the one before, where the one before that shows the same rain, so
    that a frame full of interference condemns no other. `notes` name the frames.

    Raises
    ------
    NoData
        All of the newest frame is suddenly dry.
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
                hint="Leave that frame out, or give one that holds data",
            )
        lost[newest] = outage.where
    expected = raining[newest]
    for index in range(newest - 1, -1, -1):
        outage = _outage(trace[index], known[index], expected, reach)
        found = outage.pixels >= least and outage.share >= OUTAGE_SHARE
        if found:
            lost[index] = outage.where
        gone = expected & outage.where if found else np.zeros_like(expected)
        expected = (raining[index] & _near(trace[index + 1], reach)) | gone
    if not lost:
        return context
    mended = rain.copy()
    for index, where in lost.items():
        mended[index][where] = np.nan
    named = ", ".join(utc_text(context.times[index]) for index in sorted(lost))
    note = f"suddenly dry while it rains in the other frames, and taken as without data there: {named}"
    return replace(context, rain_rate=mended, notes=(*context.notes, note))


def _reach_px(context: FrameSequence) -> float:
    """How many pixels rain moves within a time step at most."""
    return MAX_SPEED_M_S * 60 * context.time_step_minutes() / min(context.grid.pixel_size_m)


class _Outage(NamedTuple):
    """Pixels [y, x] that are suddenly dry; how many pixels of rain are missing, and what part of the rain that must be
    there; and whether the frame is dry as a whole."""

    where: Mask
    pixels: float
    share: float
    whole: bool


def _outage(trace: Mask, known: Mask, expected: Mask, reach_px: float) -> _Outage:
    """Where a frame has no `trace` of rain within reach of what is `expected`, and farther than that from the edge of
    what is `known` of it, beyond which rain may have come from, or gone to."""
    cell, reach = _cells(reach_px)
    inside = ~_dilated(np.pad(_by_cells(~known, cell) > 0, 1, constant_values=True), reach)[1:-1, 1:-1]
    area = _by_cells(expected & known, cell) * inside
    gone = (area > 0) & ~_dilated(_by_cells(trace, cell) > 0, reach)
    pixels = float(area[gone].sum())
    around = _by_pixels(_dilated(gone, 3 * reach), cell, trace.shape)  # up to the edge, where rain alone tells nothing
    share = pixels / max(float(area.sum()), 1.0)
    whole = share >= WHOLE_SHARE and bool(np.count_nonzero(trace) < WHOLLY_DRY * np.count_nonzero(expected))
    where = known if whole else known & around & ~_dilated(trace, EDGE_PX)
    return _Outage(where, pixels, share, whole)


def _near(mask: Mask, reach_px: float) -> Mask:
    """True within reach of what is true."""
    cell, reach = _cells(reach_px)
    return _by_pixels(_dilated(_by_cells(mask, cell) > 0, reach), cell, mask.shape)


def _cells(reach_px: float) -> tuple[int, int]:
    """The side in pixels of the cells in which rain is looked for, and that in cells of a square within reach."""
    cell = max(4, int(reach_px / 4))
    return cell, 2 * math.ceil(reach_px / cell) + 1


def _by_pixels(cells: Mask, cell: int, shape: tuple[int, ...]) -> Mask:
    """Of the cell that each pixel [y, x] lies in."""
    ny, nx = shape
    return np.repeat(np.repeat(cells, cell, axis=0), cell, axis=1)[:ny, :nx]


def _by_cells(wet: Mask, cell: int) -> FloatArray:
    """Wet pixels by square cells of that side."""
    ny, nx = (-(-side // cell) for side in wet.shape)
    padded = np.zeros((ny * cell, nx * cell), np.float32)
    padded[: wet.shape[0], : wet.shape[1]] = wet
    return np.asarray(cv2.resize(padded, (nx, ny), interpolation=cv2.INTER_AREA) * cell**2, np.float32)


def _dilated(mask: Mask, side: int) -> Mask:
    """True within a square of that side around what is True."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)) > 0)


def utc_text(time: np.datetime64) -> str:
    """`2024-06-01T00:05:00Z`."""
    return f"{np.datetime_as_string(time, unit='s')}Z"
