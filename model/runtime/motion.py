"""Motion of rain between frames, and advection along it.

Motion is dense inverse search optical flow (DIS; Kroeger et al. 2016, arXiv 1603.03590) of consecutive frames,
averaged and smoothed with the rain as weight, so that dry areas take the motion of the rain around them. Advection is
semi-Lagrangian and backward (Germann and Zawadzki 2002): the value at an arrival point comes from where a parcel
started, found by following the steady motion field back in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray, hko7_fraction

MAX_FLOW_SIDE = 1024
"""Flow is computed on a grid whose longer side is at most this: motion is smooth, and large domains stay cheap."""

SMOOTHING_FRACTION = 24
"""The smoothing length is the flow grid's longer side over this, and at least `MIN_SMOOTHING_PX`."""
MIN_SMOOTHING_PX = 12.0
BACKGROUND_WEIGHT = 1e-4


def estimate_motion(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Motion (dx, dy) in pixels per time step, float32 [y, x, 2], of frames [time, y, x] (mm h-1, NaN = no data).

    Weighted by rain; with no rain at all it is zero.
    """
    ny, nx = rain_rate_mm_h.shape[1:]
    shrink = max(1.0, max(ny, nx) / MAX_FLOW_SIDE)
    size = (max(16, round(nx / shrink)), max(16, round(ny / shrink)))
    images = [_image(frame, size) for frame in rain_rate_mm_h]
    weight = np.zeros((size[1], size[0]), np.float32)
    weighted_flow = np.zeros((size[1], size[0], 2), np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(1)
    for before, after in pairwise(images):
        flow = dis.calc(before, after, None)  # type: ignore[call-overload]  # None: a new array
        rain = np.minimum(before, after).astype(np.float32)
        weighted_flow += rain[..., None] * flow
        weight += rain
    total = float(weight.mean())
    if total == 0:
        return np.zeros((ny, nx, 2), np.float32)
    sigma = max(MIN_SMOOTHING_PX, max(size) / SMOOTHING_FRACTION)
    mean_flow = weighted_flow.reshape(-1, 2).sum(axis=0) / weight.sum()
    background = np.float32(BACKGROUND_WEIGHT * total)
    smooth_weight = _blur(weight, sigma) + background
    smooth_flow = (_blur(weighted_flow, sigma) + background * mean_flow) / smooth_weight[..., None]
    flow = cv2.resize(smooth_flow, (nx, ny), interpolation=cv2.INTER_LINEAR) if size != (nx, ny) else smooth_flow
    return np.asarray(flow * np.array([nx / size[0], ny / size[1]]), np.float32)


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
