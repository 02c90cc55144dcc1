"""The motion of rain on a coarse lattice, for the forecast file: where it rains, how fast, and which way."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from model.core.rain_motion import RainMotion
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.runtime.motion import estimate_motion

NODES: Final = 32
"""Points of the lattice along the longer side of the domain."""
FRAMES: Final = 2
"""The newest frames show how rain moves now; each one more takes half as long again."""
MAX_SIDE: Final = 1024
"""Of longer domains every second pixel is read, or every third, ...: motion is smooth."""
EARTH: Final = Geod(ellps="WGS84")


def rain_motion(sequence: FrameSequence) -> RainMotion | None:
    """Return the motion of the rain in the newest frames.

    None where there is one frame only, where it does not rain, or where the grid has no relation to the earth.
    """
    grid = sequence.grid
    if len(sequence) < 2 or not grid.is_georeferenced:
        return None
    ny, nx = grid.shape
    every = -(-max(ny, nx) // MAX_SIDE)
    frames = sequence.rain_rate[-FRAMES:, ::every, ::every]
    side = max(1, math.ceil(max(ny, nx) / NODES))
    rows, columns = (np.arange(side // 2, size, side) for size in (ny, nx))
    raining = _raining(frames[-1], (rows, columns), side, every)
    if not raining.any():
        return None
    moved = every * estimate_motion(frames)[np.ix_(rows // every, columns // every)].astype(np.float64)
    if not moved.any():
        return None
    x, y = np.meshgrid(grid.x[columns], grid.y[rows])
    dx, dy = ((axis[-1] - axis[0]) / (axis.size - 1) for axis in (grid.x, grid.y))
    start = grid.lon_lat(x, y)
    end = grid.lon_lat(x + dx * moved[..., 0], y + dy * moved[..., 1])
    known = raining & np.isfinite([*start, *end]).all(axis=0)
    from_lon, from_lat, to_lon, to_lat = (np.where(known, values, 0.0) for values in (*start, *end))
    azimuth, _, metres = EARTH.inv(from_lon, from_lat, to_lon, to_lat)
    speed = np.where(known, metres, np.nan) / (60 * sequence.time_step_minutes())
    eastward, northward = (speed * turn(np.radians(azimuth)) for turn in (np.sin, np.cos))
    return RainMotion(grid.x[columns], grid.y[rows], eastward.astype(np.float32), northward.astype(np.float32))


def _raining(
    frame: FloatArray, nodes: tuple[NDArray[np.int64], NDArray[np.int64]], side: int, every: int
) -> NDArray[np.bool_]:
    """Return whether it rains in the cells around the nodes [y, x], which are `side` pixels wide."""
    rain = frame >= DRY_RAIN_RATE_MM_H
    for axis, middles in enumerate(nodes):
        rain = np.logical_or.reduceat(rain, (middles - side // 2) // every, axis=axis)
    return rain
