"""Meridians and parallels over a picture: they locate it on the earth without a background map."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.grid import Grid
from model.core.grid_places import bounds_lon_lat

STEPS_DEGREES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
MAX_LINES: Final = 6
POINTS: Final = 40

Line = tuple[str, list[tuple[float, float]]]


def outer_bounds(grid: Grid) -> tuple[float, float, float, float]:
    """Return west, south, east, north of the outer edges of the pixels, in units of the CRS."""
    west, dx, _, north, _, dy = grid.north_up_transform
    ny, nx = grid.shape
    return west, north + ny * dy, west + nx * dx, north


def corners_lon_lat(grid: Grid) -> list[tuple[float, float]] | None:
    """Return longitude and latitude (degrees) of the outer corners, clockwise from north-west; None off the earth.

    These are what a web map takes to lay a picture over it, where the grid is parallel to the map.
    """
    west, south, east, north = outer_bounds(grid)
    lon, lat = grid.lon_lat(np.array([west, east, east, west]), np.array([north, north, south, south]))
    if not (np.isfinite(lon) & np.isfinite(lat)).all():
        return None
    return [(round(float(x), 6), round(float(y), 6)) for x, y in zip(lon, lat, strict=True)]


def graticule(grid: Grid) -> list[Line]:
    """Return (label, points) of each line; points are fractions of the picture, x from west, y from north."""
    bounds = bounds_lon_lat(grid)
    if bounds is None:
        return []
    west, south, east, north = bounds
    if east - west > 180:
        return []
    step_lon, step_lat = _step(east - west), _step(north - south)
    lines: list[Line] = []
    lats = np.linspace(max(south - 2, -89.9), min(north + 2, 89.9), POINTS)
    lons = np.linspace(west - 2, east + 2, POINTS)
    for lon in _multiples(west, east, step_lon):
        east_of = round((lon + 180) % 360 - 180, 6)
        side = "E" if east_of >= 0 else "W"
        lines.append((f"{abs(east_of):g}°{side}", _fractions(grid, np.full(POINTS, lon), lats)))
    for lat in _multiples(south, north, step_lat):
        side = "N" if lat >= 0 else "S"
        lines.append((f"{abs(lat):g}°{side}", _fractions(grid, lons, np.full(POINTS, lat))))
    return [(label, points) for label, points in lines if len(points) > 1]


def _step(span: float) -> float:
    return next((step for step in STEPS_DEGREES if span / step <= MAX_LINES), STEPS_DEGREES[-1])


def _multiples(low: float, high: float, step: float) -> list[float]:
    return [round(number * step, 6) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _fractions(grid: Grid, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return points as fractions of the picture, without those far outside; the page clips lines at the edge."""
    row, column = grid.row_column(*grid.x_y(lon, lat))
    ny, nx = grid.shape
    across = (column + 0.5) / nx
    down = (row + 0.5) / ny if grid.north_up else 1 - (row + 0.5) / ny
    near = (np.abs(across - 0.5) < 1.5) & (np.abs(down - 0.5) < 1.5)
    return [(round(float(a), 4), round(float(d), 4)) for a, d in zip(across[near], down[near], strict=True)]
