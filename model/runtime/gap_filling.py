"""What a frame of the context does not hold, as the nearest frame that does would have it: filled along the motion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.core.units import FloatArray
from model.runtime.advection import advect, trajectories
from model.runtime.motion import GAP_SHARE, warped_to_newest


def has_gaps(rain_rate_mm_h: FloatArray) -> bool:
    """Whether a frame [time, y, x] lacks data where the newest one holds some, in more than `GAP_SHARE` of it."""
    newest = np.isfinite(rain_rate_mm_h[-1])
    most = GAP_SHARE * np.count_nonzero(newest)
    return any(np.count_nonzero(np.isnan(frame) & newest) > most for frame in rain_rate_mm_h[:-1])


def context_frames(
    rain_rate_mm_h: FloatArray, motion: FloatArray | None, *, gaps: bool, lagrangian: bool
) -> Iterator[tuple[int, FloatArray]]:
    """The frames [y, x] that a network reads, by their index: in the frame of reference in which it works, gaps filled.

    Networks are told that what was filled is known: those that never saw a gap make rain of frames that say otherwise.
    """
    if motion is None:
        return enumerate(rain_rate_mm_h)
    if not gaps:
        return warped_to_newest(rain_rate_mm_h, motion)
    return (filled_in_newest if lagrangian else filled_in_place)(rain_rate_mm_h, motion)


def filled_in_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Frames warped along `motion` to the place of their rain in the newest, gaps filled from the frame that is nearest
    in time, of two the newer one.

    A gap is where the newest frame has coverage and an older one has none. What came in from beyond the coverage is
    not known in older frames whatever they hold, and stays so.
    """
    warped = np.empty_like(rain_rate_mm_h)
    for index, frame in warped_to_newest(rain_rate_mm_h, motion):
        warped[index] = frame
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
                here = gap & known[other]
                frame[here] = warped[other][here]
                gap &= ~here
        yield index, frame


def filled_in_place(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """The same, each frame where its own rain is."""
    newest = len(rain_rate_mm_h) - 1
    forward = [None, *trajectories(-motion, newest)]
    for index, filled in filled_in_newest(rain_rate_mm_h, motion):
        frame = rain_rate_mm_h[index]
        ahead = forward[newest - index]
        gap = np.isnan(frame) & np.isfinite(rain_rate_mm_h[-1])
        if ahead is not None and gap.any():
            frame = np.where(gap, advect(filled, ahead), frame)
        yield index, frame
