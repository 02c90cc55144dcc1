"""Motion of rain between frames.

Motion is dense inverse search optical flow (DIS; Kroeger et al. 2016, arXiv 1603.03590) of consecutive frames, averaged
and smoothed with the rain as weight, so that dry areas take the motion of the rain around them. Older frames are then
warped along it to the newest, and what still moves between them corrects it: over several time steps an error of the
motion shows several times as large. All this happens on a coarse grid: motion is smooth, and large domains stay cheap.
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
"""Flow is computed on a grid whose longer side is at most this."""
FLOW_SHRINK, ENOUGH_FLOW_SIDE = 2.5, 256
"""Smaller domains are shrunk too, up to the first, but not below the second."""
NEWEST_PAIRS = 2
"""How many pairs of consecutive frames the first guess is made of."""

SMOOTHING_FRACTION, MIN_SMOOTHING_PX = 24, 6.0
"""The smoothing length is the flow grid's longer side over the first, and at least the second."""
CORRECTION_FRACTION, MIN_CORRECTION_PX = 48, 4.0
"""The same of the correction."""
CORRECTION_FRACTION_WITH_GAPS = 24
"""And where fewer frames tell of it."""
SURE_DISPLACEMENT_PX = 1.6
"""A displacement over all frames, on the flow grid, by which half of the correction is believed: flow is good to a
fraction of a pixel, and what moved by no more cannot be corrected by it."""
GAP_SHARE = 0.001
"""Of the domain: older frames that lack more than this have gaps. The others then tell of the correction there."""
BACKGROUND_WEIGHT = 1e-4
WET_MARGIN_PX = 32
"""On the flow grid: flow is computed no farther than this from any rain."""

Flow = tuple[FloatArray, FloatArray]
"""Displacement (dx, dy) [y, x, 2] on the flow grid, and how much rain [y, x] tells of it."""


class _Picture(NamedTuple):
    """A frame on the flow grid: rain on a logarithmic scale, and how much of each pixel holds data, of 255."""

    rain: NDArray[np.uint8]
    known: NDArray[np.uint8]


def estimate_motion(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Motion (dx, dy) in pixels per time step, float32 [y, x, 2], of frames [time, y, x] (mm h-1, NaN = no data).

    Weighted by rain; with no rain at all it is zero.
    """
    ny, nx = rain_rate_mm_h.shape[1:]
    longer = max(ny, nx)
    shrink = max(longer / MAX_FLOW_SIDE, min(FLOW_SHRINK, max(1.0, longer / ENOUGH_FLOW_SIDE)))
    size = (max(16, round(nx / shrink)), max(16, round(ny / shrink)))
    # Older frames by their lag; one without any data says nothing.
    pictures = {
        lag: _picture(frame, size) for lag, frame in enumerate(rain_rate_mm_h[::-1]) if np.isfinite(frame).any()
    }
    if len(pictures) < 2 or 0 not in pictures:
        return np.zeros((ny, nx, 2), np.float32)
    steps = max(pictures)
    gaps = len(pictures) < len(rain_rate_mm_h) or any(
        _gap(each.known, pictures[0].known).mean() > GAP_SHARE for each in pictures.values()
    )
    wet = _around_rain(list(pictures.values()))
    first = [_between(pictures, lag, newer, wet) for newer, lag in pairwise(list(pictures)[: NEWEST_PAIRS + 1])]
    raining = np.sum([rain for _, rain in first], axis=0)
    if not raining.any():
        return np.zeros((ny, nx, 2), np.float32)
    motion = _smoothed(first, max(MIN_SMOOTHING_PX, max(size) / SMOOTHING_FRACTION))

    fraction = CORRECTION_FRACTION_WITH_GAPS if gaps else CORRECTION_FRACTION
    smoothing = max(MIN_CORRECTION_PX, max(size) / fraction)
    correction = _smoothed(_left_over(pictures, motion, wet, gaps=gaps), smoothing)
    mean = np.average(motion.reshape(-1, 2), axis=0, weights=raining.ravel())
    displacement = steps * float(np.linalg.norm(mean))
    motion += np.float32(displacement**2 / (displacement**2 + SURE_DISPLACEMENT_PX**2)) * correction
    motion *= np.array([nx / size[0], ny / size[1]], np.float32)
    return _resized(motion, (nx, ny))


def to_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> FloatArray:
    """Frames [time, y, x] in the place that their rain has in the newest one: each warped along `motion` [y, x, 2]."""
    warped = np.empty_like(rain_rate_mm_h)
    for index, frame in warped_to_newest(rain_rate_mm_h, motion):
        warped[index] = frame
    return warped


def warped_to_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """The same one by one, the newest first: its index, and the frame, which holds until the next."""
    newest = len(rain_rate_mm_h) - 1
    yield newest, rain_rate_mm_h[newest]
    warped = np.empty_like(rain_rate_mm_h[newest])
    for lag, origin in enumerate(trajectories(motion, newest), start=1):
        yield newest - lag, advect(rain_rate_mm_h[newest - lag], origin, out=warped)


def _between(pictures: Mapping[int, _Picture], lag: int, newer: int, wet: tuple[slice, slice]) -> Flow:
    """The flow per step from the picture of a lag to that of the next smaller one."""
    before, after = pictures[lag], pictures[newer]
    # What only one of them knows tells nothing, and the edge of a gap is no edge of rain.
    gap = (before.known >= 128) != (after.known >= 128)
    moved, weight = _flow(np.where(gap, after.rain, before.rain), after.rain, wet)
    weight[gap] = 0
    return moved / np.float32(lag - newer), weight


def _left_over(
    pictures: Mapping[int, _Picture], motion: FloatArray, wet: tuple[slice, slice], *, gaps: bool
) -> list[Flow]:
    """What still moves per step, by its weight, between older pictures, warped along `motion`, and the newest.

    Least squares of a steady error of the motion: after `lag` steps it has moved rain by `lag` times as much, so that
    the weight is `lag` squared, and what is younger than half of the oldest tells next to nothing.
    """
    newest, steps = pictures[0], max(pictures)
    flows = []
    for lag, origin in enumerate(trajectories(motion, steps), start=1):
        if lag not in pictures or (2 * lag < steps and not gaps):
            continue
        older = pictures[lag]
        position = origin.positions()
        rain, known = sample(older.rain, position), sample(older.known, position)
        # What is not known in either does not move.
        rain = np.where((known >= 128) & (newest.known >= 128), rain, newest.rain)
        moved, weight = _flow(rain, newest.rain, wet)
        if gaps:  # Then the others, younger ones too, tell of what this one does not hold.
            weight[_gap(known, newest.known)] = 0
        flows.append((moved / np.float32(lag), weight * np.float32(lag**2)))
    return flows


def _gap(older: NDArray[np.uint8], newest: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the newest picture is known and an older one is not."""
    return (older < 128) & (newest >= 128)


def _around_rain(pictures: Sequence[_Picture]) -> tuple[slice, slice]:
    """Rows and columns of the flow grid that hold all rain, and a margin."""
    heaviest = np.max([picture.rain for picture in pictures], axis=0)
    slices = []
    for axis in (1, 0):
        wet = np.flatnonzero(heaviest.any(axis=axis))
        first, last = (wet[0], wet[-1]) if wet.size else (0, 0)
        slices.append(slice(max(0, int(first) - WET_MARGIN_PX), int(last) + 1 + WET_MARGIN_PX))
    return slices[0], slices[1]


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8], where: tuple[slice, slice]) -> Flow:
    """Flow within `where`; beyond it there is no rain, and none is told of."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    flow = np.zeros((*before.shape, 2), np.float32)
    before_here, after_here = (np.ascontiguousarray(picture[where]) for picture in (before, after))
    flow[where] = dis.calc(before_here, after_here, None)  # type: ignore[call-overload]  # None: a new array
    return flow, np.minimum(before, after).astype(np.float32)


def _smoothed(flows: Sequence[Flow], sigma: float) -> FloatArray:
    """The mean of flows by their rain, smoothed; far from any rain it is that of all rain. Zero where there is none."""
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


def _picture(rain_rate_mm_h: FloatArray, size: tuple[int, int]) -> _Picture:
    """A frame [y, x] for optical flow; no data and drizzle are 0."""
    known = np.full(size[::-1], 255, np.uint8)
    if np.isnan(rain_rate_mm_h).any():
        holds = np.isfinite(rain_rate_mm_h)
        known = _shrunk(holds.view(np.uint8) * np.uint8(255), size)
        rain_rate_mm_h = np.where(holds, rain_rate_mm_h, np.float32(0))
    # Shrunk first: the logarithm of the mean tells as much as the mean of the logarithms, and costs less.
    fraction = hko7_fraction(_shrunk(rain_rate_mm_h, size))
    return _Picture(np.clip((fraction - 0.15) * (255 / 0.75), 0, 255).astype(np.uint8), known)


def _shrunk(field: NDArray[Number], size: tuple[int, int]) -> NDArray[Number]:
    shrunk = field if size == field.shape[::-1] else cv2.resize(field, size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, field.dtype)


def _blur(field: FloatArray, sigma: float) -> FloatArray:
    """Gaussian smoothing at a coarse resolution, where it costs little."""
    shrink = max(1, int(sigma // 4))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)
    ny, nx = field.shape[:2]
    coarse = cv2.resize(field, (max(2, nx // shrink), max(2, ny // shrink)), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(coarse, (nx, ny), interpolation=cv2.INTER_LINEAR), np.float32)
