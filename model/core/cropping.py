"""The part of a sequence that lies within a box of longitudes and latitudes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from model.core.errors import InputError
from model.core.grid import Grid

if TYPE_CHECKING:  # the gateway reads the configuration of feeds, and has no xarray
    from model.core.sequence import FrameSequence

POINTS_OF_AN_EDGE: Final = 51
"""Points of each edge of the box that are projected: straight edges become bent ones."""

Box = tuple[float, float, float, float]
"""West, south, east, north, in degrees (WGS 84)."""


def crop(sequence: FrameSequence, box: Box) -> FrameSequence:
    """Return the smallest rectangle of pixels that covers the box, as far as the grid reaches.

    Parameters
    ----------
    sequence
        Frames [time, y, x].
    box
        West, south, east, north (degrees, WGS 84).

    Raises
    ------
    InputError
        The grid has no pixels in the box, or no relation to longitude and latitude.
    """
    rows, columns = _window(sequence.grid, box)
    grid = Grid(crs=sequence.grid.crs, x=sequence.grid.x[columns], y=sequence.grid.y[rows])
    mask = None if sequence.mask is None else sequence.mask[rows, columns]
    rain_rate = np.ascontiguousarray(sequence.rain_rate[:, rows, columns])
    return replace(sequence, rain_rate=rain_rate, grid=grid, mask=mask)


def _window(grid: Grid, box: Box) -> tuple[slice, slice]:
    """Return the rows and columns whose pixels lie in the box.

    Raises
    ------
    InputError
        There are fewer than 2 x 2.
    """
    west, south, east, north = box
    along, up = np.linspace(west, east, POINTS_OF_AN_EDGE), np.linspace(south, north, POINTS_OF_AN_EDGE)
    lon = np.concatenate([along, along, np.full_like(up, west), np.full_like(up, east)])
    lat = np.concatenate([np.full_like(along, south), np.full_like(along, north), up, up])
    row, column = grid.row_column(*grid.x_y(lon, lat))
    window = []
    for position, size in ((row, grid.shape[0]), (column, grid.shape[1])):
        inside = position[np.isfinite(position)]
        first, last = (inside.min(), inside.max()) if inside.size else (0.0, -1.0)
        window.append(slice(max(0, round(float(first))), min(size, round(float(last)) + 1)))
    rows, columns = window
    if rows.stop - rows.start < 2 or columns.stop - columns.start < 2:
        raise InputError(
            "the grid has no pixels in the box",
            where="crop",
            hint="Give west, south, east, north in degrees, within the radar's area",
        )
    return rows, columns
