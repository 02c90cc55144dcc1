"""Places in longitude and latitude on a grid."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.grid import Grid

POINTS: Final = 40
"""Points along a side by which the bounds of a grid are found."""
EDGE: Final = 1e-6
"""Tolerance in pixels at the outer edges of a grid, against rounding."""


class NotOnEarth(InputError):
    """The grid has no relation to longitude and latitude."""

    code = "not-on-earth"


def pixel_of_lon_lat(grid: Grid, lon: float, lat: float) -> tuple[int, int] | None:
    """Return (row, column) of the pixel that contains a point (degrees, WGS 84), None outside of the grid.

    Raises
    ------
    NotOnEarth
        The grid's coordinates have no relation to longitude and latitude.
    """
    check_on_earth(grid)
    x, y = grid.x_y(lon, lat)
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    row, column = (
        _nearest(float(position), size) for position, size in zip(grid.row_column(x, y), grid.shape, strict=True)
    )
    return None if row is None or column is None else (row, column)


def check_on_earth(grid: Grid) -> None:
    """Raise where places in degrees mean nothing on a grid.

    Raises
    ------
    NotOnEarth
        The grid's coordinates have no relation to longitude and latitude.
    """
    if not grid.is_georeferenced:
        raise NotOnEarth(
            f"the grid's coordinates ({grid.crs.name}) have no relation to longitude and latitude",
            where="lon, lat",
            hint="Give x and y, fractions of the picture",
        )


def _nearest(position: float, size: int) -> int | None:
    """Return the pixel that contains a position on an axis of `size` pixels, outer edges included; None outside."""
    if not -0.5 - EDGE <= position <= size - 0.5 + EDGE:
        return None
    return min(max(round(position), 0), size - 1)


def lon_lat_of_pixel(grid: Grid, row: int, column: int) -> tuple[float, float] | None:
    """Return longitude (-180 to 180) and latitude (degrees, WGS 84) of a pixel's centre; None off the earth."""
    lon, lat = (float(degrees) for degrees in grid.lon_lat(grid.x[column], grid.y[row]))
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return None
    return (lon + 180.0) % 360.0 - 180.0, lat


def bounds_lon_lat(grid: Grid) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north (degrees) of the pixel centres; None where no pixel lies on the earth."""
    mesh = _mesh_lon_lat(grid)
    if mesh is None:
        return None
    lon, lat = mesh
    west, south, east, north = np.nanmin(lon), np.nanmin(lat), np.nanmax(lon), np.nanmax(lat)
    turn = 360.0 if west >= 180 else 0.0
    return (round(float(west) - turn, 4), round(float(south), 4), round(float(east) - turn, 4), round(float(north), 4))


def _mesh_lon_lat(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return longitudes and latitudes of pixels all over the grid, NaN off the earth; None where all are off it."""
    x = np.linspace(grid.x[0], grid.x[-1], POINTS)
    y = np.linspace(grid.y[0], grid.y[-1], POINTS)
    lon, lat = grid.lon_lat(*np.meshgrid(x, y))
    if not (np.isfinite(lon) & np.isfinite(lat)).any():
        return None
    middle = lon[POINTS // 2, POINTS // 2]
    if math.isfinite(middle):  # relative to the middle: a grid across 180 degrees would seem to span the earth
        lon = middle + (lon - middle + 180.0) % 360.0 - 180.0
    return lon, lat
