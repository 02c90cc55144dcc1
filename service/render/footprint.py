"""The part of the earth that a grid covers."""

from __future__ import annotations

from typing import Final

import numpy as np

from model.core.grid import Grid

POINTS: Final = 65

Bounds = tuple[float, float, float, float]
"""West (-180 to 180), south, east (more than west, up to 540), north, in degrees."""


def footprint(grid: Grid) -> Bounds | None:
    """Return bounds around a grid, outer edges included, and a little more; None where no pixel lies on the earth.

    They are those of points all over the grid, because a pole is in the middle of some, and of the distance of two
    points more, because edges are curved.
    """
    x0, dx, _, y0, _, dy = grid.north_up_transform
    ny, nx = grid.shape
    x, y = np.meshgrid(np.linspace(x0, x0 + nx * dx, POINTS), np.linspace(y0, y0 + ny * dy, POINTS))
    lon, lat = grid.lon_lat(x, y)
    on_earth = np.isfinite(lon) & np.isfinite(lat)
    if not on_earth.any():
        return None
    lon, lat = lon[on_earth], lat[on_earth]
    middle = lon[lon.size // 2]  # relative to it: a grid across 180 degrees would seem to span the earth
    lon = middle + (lon - middle + 180.0) % 360.0 - 180.0
    (west, wide), (south, high) = ((float(values.min()), float(np.ptp(values))) for values in (lon, lat))
    more_lon, more_lat = wide / (POINTS - 1), high / (POINTS - 1)
    south, north = max(-90.0, south - more_lat), min(90.0, south + high + more_lat)
    if wide + 2 * more_lon >= 360.0:
        return -180.0, south, 180.0, north
    west = (west - more_lon + 180.0) % 360.0 - 180.0
    return west, south, west + wide + 2 * more_lon, north
