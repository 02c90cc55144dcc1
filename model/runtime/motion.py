"""Estimate the motion of rain between frames by optical flow, and warp frames along it.

Motion is dense inverse search optical flow (DIS; Kroeger et al. 2016, arXiv:1603.03590) of consecutive frames. It is
averaged and smoothed with the rain as weight, so that dry areas take the motion of the rain around them. Older frames
are then warped along this first guess to the newest frame, and the flow that is left between them corrects it: over
several time steps an error of the motion shows several times as large. All of this happens on a coarse grid, because
motion is smooth; so large domains stay cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.normalisation import hko7_fraction
from model.core.units import FloatArray
from model.runtime.advection import Number, advect, sample, trajectories

__all__ = ["advect", "estimate_motion", "to_newest", "trajectories"]

MAX_FLOW_SIDE = 512
"""Longest side of the grid on which flow is computed."""
FLOW_SHRINK, ENOUGH_FLOW_SIDE = 2.5, 256
"""Smaller domains are shrunk, too, by up to the first, but not below the second."""
NEWEST_PAIRS = 2
"""Number of pairs of consecutive frames for the first guess: older ones show a motion that has changed since."""

SMOOTHING_FRACTION, MIN_SMOOTHING_PX = 24, 6.0
"""The smoothing length is the longer side of the flow grid over the first, and at least the second."""
CORRECTION_FRACTION, MIN_CORRECTION_PX = 48, 4.0
"""The same for the correction."""
CORRECTION_FRACTION_WITH_GAPS = 24
"""The same with gaps: fewer frames contribute to the correction, and it is smoothed more."""
SURE_DISPLACEMENT_PX = 1.6
"""Displacement over all frames, on the flow grid, at which half of the correction is applied: flow is accurate to a
fraction of a pixel, and cannot correct a smaller displacement."""
GAP_SHARE = 0.001
"""Share of the domain that older frames may lack without counting as frames with gaps. Where there is a gap, the
correction comes from the other frames."""
BACKGROUND_WEIGHT = 1e-4
"""Weight of the mean motion, relative to the mean weight of the rain: it takes over far from any rain."""
WET_MARGIN_PX = 32
"""Margin around all rain, on the flow grid, within which flow is computed."""

Flow = tuple[FloatArray, FloatArray]
"""Displacement (dx, dy) [y, x, 2] on the flow grid, and its weight [y, x]: the rain that shows it."""


class _FlowFrame(NamedTuple):
    """A frame on the flow grid: rain on a logarithmic scale, and the share of each pixel that holds data (0 to 255)."""

    rain: NDArray[np.uint8]
    known: NDArray[np.uint8]


def estimate_motion(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Estimate the motion of rain.

    Parameters
    ----------
    rain_rate_mm_h : ndarray
        Frames [time, y, x] (mm h-1, NaN = no data) at a regular time step.

    Returns
    -------
    ndarray
        Displacement (dx, dy) per time step [y, x, 2] (pixels, float32); zero without any rain.
    """
    ny, nx = rain_rate_mm_h.shape[1:]
    longer = max(ny, nx)
    shrink = max(longer / MAX_FLOW_SIDE, min(FLOW_SHRINK, max(1.0, longer / ENOUGH_FLOW_SIDE)))
    size = (max(16, round(nx / shrink)), max(16, round(ny / shrink)))
    # By lag behind the newest frame; frames without any data contribute nothing.
    frames = {
        lag: _flow_frame(frame, size) for lag, frame in enumerate(rain_rate_mm_h[::-1]) if np.isfinite(frame).any()
    }
    if len(frames) < 2 or 0 not in frames:
        return np.zeros((ny, nx, 2), np.float32)
    steps = max(frames)
    gaps = len(frames) < len(rain_rate_mm_h) or any(
        _gap(each.known, frames[0].known).mean() > GAP_SHARE for each in frames.values()
    )
    wet = _around_rain(list(frames.values()))
    first = [_between(frames, lag, newer, wet) for newer, lag in pairwise(list(frames)[: NEWEST_PAIRS + 1])]
    raining = np.sum([rain for _, rain in first], axis=0)
    if not raining.any():
        return np.zeros((ny, nx, 2), np.float32)
    motion = _smoothed(first, max(MIN_SMOOTHING_PX, max(size) / SMOOTHING_FRACTION))

    fraction = CORRECTION_FRACTION_WITH_GAPS if gaps else CORRECTION_FRACTION
    smoothing = max(MIN_CORRECTION_PX, max(size) / fraction)
    correction = _smoothed(_left_over(frames, motion, wet, gaps=gaps), smoothing)
    mean = np.average(motion.reshape(-1, 2), axis=0, weights=raining.ravel())
    displacement = steps * float(np.linalg.norm(mean))
    motion += np.float32(displacement**2 / (displacement**2 + SURE_DISPLACEMENT_PX**2)) * correction
    motion *= np.array([nx / size[0], ny / size[1]], np.float32)
    return _resized(motion, (nx, ny))


def to_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> FloatArray:
    """Return frames [time, y, x] that are warped along `motion` [y, x, 2] to the time of the newest one."""
    warped = np.empty_like(rain_rate_mm_h)
    for index, frame in warped_to_newest(rain_rate_mm_h, motion):
        warped[index] = frame
    return warped


def warped_to_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield the frames of `to_newest`, the newest first: index, and a frame that is valid until the next one."""
    newest = len(rain_rate_mm_h) - 1
    yield newest, rain_rate_mm_h[newest]
    warped = np.empty_like(rain_rate_mm_h[newest])
    for lag, origin in enumerate(trajectories(motion, newest), start=1):
        yield newest - lag, advect(rain_rate_mm_h[newest - lag], origin, out=warped)


def _between(frames: Mapping[int, _FlowFrame], lag: int, newer: int, wet: tuple[slice, slice]) -> Flow:
    """Return the flow per time step from the frame of lag `lag` to that of lag `newer`."""
    before, after = frames[lag], frames[newer]
    # Areas that only one of them covers show no motion, and the edge of a gap must not look like an edge of rain.
    gap = (before.known >= 128) != (after.known >= 128)
    moved, weight = _flow(np.where(gap, after.rain, before.rain), after.rain, wet)
    weight[gap] = 0
    return moved / np.float32(lag - newer), weight


def _left_over(
    frames: Mapping[int, _FlowFrame], motion: FloatArray, wet: tuple[slice, slice], *, gaps: bool
) -> list[Flow]:
    """Return the flow per time step that is left between older frames, warped along `motion`, and the newest one.

    This is a least-squares fit of a constant error e of the motion. After `lag` steps the error has displaced the rain
    by lag * e, so the flow of a pair estimates e as flow / lag, with a weight of lag squared. Frames younger than half
    of the oldest contribute next to nothing, and are skipped.
    """
    newest, steps = frames[0], max(frames)
    flows = []
    for lag, origin in enumerate(trajectories(motion, steps), start=1):
        if lag not in frames or (2 * lag < steps and not gaps):
            continue
        older = frames[lag]
        position = origin.positions()
        rain, known = sample(older.rain, position), sample(older.known, position)
        # Areas that one of them does not cover do not move.
        rain = np.where((known >= 128) & (newest.known >= 128), rain, newest.rain)
        moved, weight = _flow(rain, newest.rain, wet)
        if gaps:  # other frames, younger ones too, contribute where this one has a gap
            weight[_gap(known, newest.known)] = 0
        flows.append((moved / np.float32(lag), weight * np.float32(lag**2)))
    return flows


def _gap(older: NDArray[np.uint8], newest: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where the newest frame holds data and an older one does not."""
    return (older < 128) & (newest >= 128)


def _around_rain(frames: Sequence[_FlowFrame]) -> tuple[slice, slice]:
    """Return the rows and columns of the flow grid that hold all rain, and a margin."""
    heaviest = np.max([frame.rain for frame in frames], axis=0)
    slices = []
    for axis in (1, 0):
        wet = np.flatnonzero(heaviest.any(axis=axis))
        first, last = (wet[0], wet[-1]) if wet.size else (0, 0)
        slices.append(slice(max(0, int(first) - WET_MARGIN_PX), int(last) + 1 + WET_MARGIN_PX))
    return slices[0], slices[1]


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8], where: tuple[slice, slice]) -> Flow:
    """Return the flow within `where`; beyond there is no rain, and the weight is 0."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    flow = np.zeros((*before.shape, 2), np.float32)
    before_part, after_part = (np.ascontiguousarray(rain[where]) for rain in (before, after))
    flow[where] = dis.calc(before_part, after_part, None)  # type: ignore[call-overload]  # None: a new array
    return flow, np.minimum(before, after).astype(np.float32)


def _smoothed(flows: Sequence[Flow], sigma: float) -> FloatArray:
    """Return the smoothed mean of flows, weighted by rain.

    This is a normalised convolution (Knutsson and Westin 1993): the blurred weighted flow over the blurred weight. Far
    from any rain it approaches the mean flow of all rain; without any rain it is zero.
    """
    weight = np.asarray(sum(rain for _, rain in flows), np.float32)
    weighted = np.asarray(sum(rain[..., None] * flow for flow, rain in flows), np.float32)
    total = float(weight.mean())
    if not total:
        return np.zeros_like(weighted)
    background = np.float32(BACKGROUND_WEIGHT * total)
    mean = weighted.reshape(-1, 2).sum(axis=0) / weight.sum()
    return np.asarray((_blur(weighted, sigma) + background * mean) / (_blur(weight, sigma) + background)[..., None])


def _resized(flow: FloatArray, size: tuple[int, int]) -> FloatArray:
    ny, nx = flow.shape[:2]
    return flow if size == (nx, ny) else np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _flow_frame(rain_rate_mm_h: FloatArray, size: tuple[int, int]) -> _FlowFrame:
    """Return a frame [y, x] for optical flow; no data and drizzle are 0."""
    known = np.full(size[::-1], 255, np.uint8)
    if np.isnan(rain_rate_mm_h).any():
        holds = np.isfinite(rain_rate_mm_h)
        known = _shrunk(holds.view(np.uint8) * np.uint8(255), size)
        rain_rate_mm_h = np.where(holds, rain_rate_mm_h, np.float32(0))
    # The logarithm of the mean serves as well as the mean of the logarithms, and costs less.
    fraction = hko7_fraction(_shrunk(rain_rate_mm_h, size))
    # HKO-7 fractions of 0.15 to 0.9, which are 0.5 and 53 dBZ, use the whole range of 8 bits.
    return _FlowFrame(np.clip((fraction - 0.15) * (255 / 0.75), 0, 255).astype(np.uint8), known)


def _shrunk(field: NDArray[Number], size: tuple[int, int]) -> NDArray[Number]:
    shrunk = field if size == field.shape[::-1] else cv2.resize(field, size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, field.dtype)


def _blur(field: FloatArray, sigma: float) -> FloatArray:
    """Return the field after Gaussian smoothing, at a resolution at which that is cheap."""
    shrink = max(1, int(sigma // 4))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)
    ny, nx = field.shape[:2]
    coarse = cv2.resize(field, (max(2, nx // shrink), max(2, ny // shrink)), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(coarse, (nx, ny), interpolation=cv2.INTER_LINEAR), np.float32)
