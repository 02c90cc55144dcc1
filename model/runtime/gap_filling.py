"""Fill gaps of older frames along the motion, from the frame that holds data there and is nearest in time.

A network that never saw a gap in training takes a gap for dry weather, and lets rain decay or grow accordingly (docs:
decision 016, with figures). Lagrangian persistence (Germann and Zawadzki 2002) of the other frames is the estimate of
what a gap hides: over one or two time steps rain changes less by growth than by motion.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.core.units import FloatArray
from model.runtime.advection import advect, trajectories
from model.runtime.motion import GAP_SHARE, to_newest, warped_to_newest


def has_gaps(rain_rate_mm_h: FloatArray) -> bool:
    """Return whether any frame [time, y, x] lacks data in more than `GAP_SHARE` of the newest frame's coverage."""
    newest = np.isfinite(rain_rate_mm_h[-1])
    most = GAP_SHARE * np.count_nonzero(newest)
    return any(np.count_nonzero(np.isnan(frame) & newest) > most for frame in rain_rate_mm_h[:-1])


def context_frames(
    rain_rate_mm_h: FloatArray, motion: FloatArray | None, *, gaps: bool, lagrangian: bool
) -> Iterator[tuple[int, FloatArray]]:
    """Return the frames that a network reads, with gaps filled.

    Filled pixels count as known: networks that never saw a gap in training make rain of a mask that says otherwise.

    Parameters
    ----------
    rain_rate_mm_h : ndarray
        Frames [time, y, x] (mm h-1, NaN = no data).
    motion : ndarray, optional
        Displacement (dx, dy) per time step [y, x, 2] (pixels); None for a network that needs none and no gaps.
    gaps : bool
        Whether there are gaps to fill.
    lagrangian : bool
        Whether the network reads frames that are warped to the newest one.

    Returns
    -------
    iterator of (int, ndarray)
        Each frame's index and the frame [y, x], which is valid until the next one is yielded.
    """
    if motion is None:
        return enumerate(rain_rate_mm_h)
    if not gaps:
        return warped_to_newest(rain_rate_mm_h, motion)
    return (fill_warped_frames if lagrangian else fill_frames)(rain_rate_mm_h, motion)


def fill_warped_frames(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield frames warped to the newest one, with gaps filled from the nearest frame in time, of two the newer one.

    A gap is where an older frame lacks data, and the newest frame's coverage, moved back in time, does not. Rain that
    entered the coverage since has no history in any frame: it stays without data.
    """
    warped = to_newest(rain_rate_mm_h, motion)
    known = np.isfinite(warped)
    covered = np.where(known[-1], np.float32(0), np.float32(np.nan))
    newest = len(warped) - 1
    origins = [None, *trajectories(motion, newest)]
    for index in range(newest, -1, -1):
        frame, lag = warped[index].copy(), newest - index
        origin = origins[lag]
        if origin is not None and not known[index].all():
            gap = ~known[index] & np.isfinite(advect(covered, origin))
            for other in sorted(range(newest + 1), key=lambda other: (abs(other - index), -other)):
                filled = gap & known[other]
                frame[filled] = warped[other][filled]
                gap &= ~filled
        yield index, frame


def fill_frames(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield frames with gaps filled as in `fill_warped_frames`, and moved back to where their own rain is."""
    newest = len(rain_rate_mm_h) - 1
    forward = [None, *trajectories(-motion, newest)]
    for index, filled in fill_warped_frames(rain_rate_mm_h, motion):
        frame = rain_rate_mm_h[index]
        ahead = forward[newest - index]
        gap = np.isnan(frame) & np.isfinite(rain_rate_mm_h[-1])
        if ahead is not None and gap.any():
            frame = np.where(gap, advect(filled, ahead), frame)
        yield index, frame
