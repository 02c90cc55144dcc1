"""Motion of rain between frames, and advection along it.

Motion is dense inverse search optical flow (DIS; Kroeger et al. 2016, arXiv 1603.03590) of consecutive frames, averaged
and smoothed with the rain as weight, so that dry areas take the motion of the rain around them. All frames are then
warped along it to the newest, and what still moves between them corrects it: over several time steps an error of the
motion shows several times as large. Advection is semi-Lagrangian and backward (Germann and Zawadzki 2002): the value at
an arrival point comes from where a parcel started, found by following the steady motion field back in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray, hko7_fraction

MAX_FLOW_SIDE = 1024
"""Flow is computed on a grid whose longer side is at most this: motion is smooth, and large domains stay cheap."""

SMOOTHING_FRACTION, MIN_SMOOTHING_PX = 24, 12.0
"""The smoothing length is the flow grid's longer side over the first, and at least the second."""
CORRECTION_FRACTION, MIN_CORRECTION_PX = 48, 8.0
"""The same of the correction."""
SURE_DISPLACEMENT_PX = 4.0
"""A displacement over all frames, on the flow grid, by which half of the correction is believed: flow is good to a
fraction of a pixel, and what moved by no more cannot be corrected by it."""
BACKGROUND_WEIGHT = 1e-4


def estimate_motion(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Motion (dx, dy) in pixels per time step, float32 [y, x, 2], of frames [time, y, x] (mm h-1, NaN = no data).

    Weighted by rain; with no rain at all it is zero.
    """
    ny, nx = rain_rate_mm_h.shape[1:]
    shrink = max(1.0, max(ny, nx) / MAX_FLOW_SIDE)
    size = (max(16, round(nx / shrink)), max(16, round(ny / shrink)))
    to_pixels = np.array([nx / size[0], ny / size[1]], np.float32)
    images = [_image(frame, size) for frame in rain_rate_mm_h]
    between = [_flow(before, after) for before, after in pairwise(images)]
    raining = np.sum([rain for _, rain in between], axis=0) if between else np.zeros(1)
    if not raining.any():
        return np.zeros((ny, nx, 2), np.float32)
    flow = _smoothed(between, max(MIN_SMOOTHING_PX, max(size) / SMOOTHING_FRACTION))
    motion = _resized(flow, (nx, ny)) * to_pixels

    *older, newest = to_newest(rain_rate_mm_h, motion)
    # What is not known in either does not move.
    warped = [np.where(np.isfinite(frame) & np.isfinite(newest), frame, newest) for frame in older]
    left = [_flow(_image(frame, size), images[-1]) for frame in warped]
    lags = range(len(older), 0, -1)
    # Least squares of a steady error of the motion: after `lag` steps it has moved rain by `lag` times as much.
    per_step = [
        (moved / np.float32(lag), rain * np.float32(lag**2)) for lag, (moved, rain) in zip(lags, left, strict=True)
    ]
    correction = _smoothed(per_step, max(MIN_CORRECTION_PX, max(size) / CORRECTION_FRACTION))
    mean_flow = np.average(flow.reshape(-1, 2), axis=0, weights=raining.ravel())
    displacement = len(older) * float(np.linalg.norm(mean_flow))
    belief = displacement**2 / (displacement**2 + SURE_DISPLACEMENT_PX**2)
    return np.asarray(motion + np.float32(belief) * _resized(correction, (nx, ny)) * to_pixels, np.float32)


Flow = tuple[FloatArray, FloatArray]
"""Displacement (dx, dy) [y, x, 2] on the flow grid, and how much rain [y, x] tells of it."""


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Flow:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(1)
    flow = dis.calc(before, after, None)  # type: ignore[call-overload]  # None: a new array
    return np.asarray(flow, np.float32), np.minimum(before, after).astype(np.float32)


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


def trajectories(motion: FloatArray, steps: int) -> Iterator[FloatArray]:
    """Yield where the parcels that arrive at each pixel 1, 2, ... `steps` time steps later started: float32 [y, x, 2].

    Positions are (x, y) in pixels. Give `-motion` for where each parcel goes to.
    """
    ny, nx = motion.shape[:2]
    columns, rows = np.meshgrid(np.arange(nx, dtype=np.float32), np.arange(ny, dtype=np.float32))
    position = np.dstack([columns, rows])
    for _ in range(steps):
        position = position - _sample(motion, position, cv2.BORDER_REPLICATE)
        yield position


def advect(field: FloatArray, origin: FloatArray) -> FloatArray:
    """Values [y, x] of `field` at the positions `origin` [y, x, 2], bilinear over the pixels that hold data.

    NaN where less than half of the interpolation weight holds data: what enters the domain is not known.
    """
    known = np.isfinite(field)
    value = _sample(np.where(known, field, np.float32(0)), origin, cv2.BORDER_CONSTANT)
    weight = _sample(known.astype(np.float32), origin, cv2.BORDER_CONSTANT)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= 0.5, value / weight, np.float32(np.nan)).astype(np.float32)


def to_newest(rain_rate_mm_h: FloatArray, motion: FloatArray) -> FloatArray:
    """Frames [time, y, x] in the place that their rain has in the newest one: each warped along `motion` [y, x, 2]."""
    older, newest = rain_rate_mm_h[:-1], rain_rate_mm_h[-1]
    origins = list(trajectories(motion, len(older)))
    return np.stack([*map(advect, older, reversed(origins)), newest])


def _sample(field: FloatArray, position: FloatArray, border: int) -> FloatArray:
    """Bilinear values of `field` [y, x] or [y, x, n] at `position` [y, x, 2]; a constant border is 0."""
    # The second map is None where the first holds both coordinates; OpenCV's stubs do not know.
    sampled = cv2.remap(field, position, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]
    return np.asarray(sampled, np.float32)


def _image(rain_rate_mm_h: FloatArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Rain as an 8-bit picture on a logarithmic scale, for optical flow; no data and drizzle are 0."""
    fraction: FloatArray = np.nan_to_num(hko7_fraction(rain_rate_mm_h))
    if size != (fraction.shape[1], fraction.shape[0]):
        fraction = np.asarray(cv2.resize(fraction, size, interpolation=cv2.INTER_AREA), np.float32)
    image: NDArray[np.uint8] = np.clip((fraction - 0.15) * (255 / 0.75), 0, 255).astype(np.uint8)
    return image


def _blur(field: FloatArray, sigma: float) -> FloatArray:
    """Gaussian smoothing at a coarse resolution, where it costs little."""
    shrink = max(1, int(sigma // 4))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)
    ny, nx = field.shape[:2]
    coarse = cv2.resize(field, (max(2, nx // shrink), max(2, ny // shrink)), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(coarse, (nx, ny), interpolation=cv2.INTER_LINEAR), np.float32)
