"""A frame of a forecast file on a picture of the map, reprojected.

Each pixel of the picture is looked up in the grid of the file, by the transformation of pyproj. A pixel of the grid
that is larger than one of the picture is drawn as it is: nearest neighbour. Where it is smaller, a pixel of the picture
has the highest value of those that lie in it, so that no small heavy cell is lost at any zoom: the grid is read in
blocks that are at most as large, each with its highest value, and two by two places of each pixel are looked up.

The transformation is exact on a lattice, and linear between its points, which are close enough that no place is off by
more than a tenth of a pixel: the transformation of every pixel takes longer than all else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.colour_scale import DRY_RANK
from model.core.grid import Grid
from model.core.grid_places import NotOnEarth
from service.render.footprint import Bounds
from service.render.forecast_reader import RainFile, StoredFrame, SummedFrame
from service.render.frame_ranks import FrameRanks, Ranks, highest
from service.render.web_mercator import MapPicture

MAX_ERROR_PX: Final = 0.1
"""Of the position between lattice points, in pixels of the grid, or of the picture where those are larger."""
LATTICE_STEPS_PX: Final = (32, 16, 8, 4)
"""Distances of lattice points that are tried; with half of the last one, each pixel is as well computed exactly."""
Positions = NDArray[np.float64]


@dataclass(frozen=True)
class _Places:
    """Fractional rows and columns of the grid [y, x] for `samples` x `samples` places of each pixel, and the scale.

    `scale`: most pixels of the grid, along its rows or columns, that a pixel of the picture spans.
    """

    rows: Positions
    columns: Positions
    samples: int
    scale: float


def on_map(
    file: RainFile,
    frame: StoredFrame | SummedFrame,
    picture: MapPicture,
    *,
    smooth: bool = False,
    outside: int = DRY_RANK,
) -> Ranks:
    """Return the ranks of a frame (`model.core.colour_scale`) on a picture of the map [y, x].

    Parameters
    ----------
    file, frame
        The file, and which of its frames.
    picture
        The part of the map.
    smooth
        Whether pixels of the grid that are larger than those of the picture are interpolated between their centres
        (bilinear). Where one of the four has no data, the nearest counts. Sums are not.
    outside
        The rank outside of the grid; by default nothing is drawn there, as over dry ground.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    ranks = np.full((picture.size, picture.size), outside, np.uint8)
    box = picture.box(map_bounds(file))
    if box is not None:
        places = _places(file.grid, picture, *box)
        found = None
        if smooth and places.samples == 1 and isinstance(frame, StoredFrame):
            found = _interpolated(file, frame, places, outside)
        ranks[box] = _highest(FrameRanks(file, frame), file.grid.shape, places, outside) if found is None else found
    return ranks


def map_bounds(file: RainFile) -> Bounds:
    """Return bounds around the grid of a file.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    if file.footprint is None:
        raise NotOnEarth(
            f"the grid's coordinates ({file.grid.crs.name}) have no relation to longitude and latitude",
            where="tiles",
            hint="There are no map tiles of it: fetch its pictures (/frames of the nowcast), or the netCDF file",
        )
    return file.footprint


def _places(grid: Grid, picture: MapPicture, rows: slice, columns: slice) -> _Places:
    """Return where the pixels of a part of a picture lie in the grid."""
    for step in LATTICE_STEPS_PX:
        edges = [np.linspace(part.start, part.stop, 2 * _cells(part, step) + 1) for part in (rows, columns)]
        lattice = _positions(grid, picture, *edges)
        scale = _scale(grid, lattice, edges)
        if math.isfinite(scale) and _lattice_error(lattice) <= MAX_ERROR_PX * max(1.0, scale):
            samples = 2 if scale > 1.0 else 1
            down, across = _weights(rows, edges[0], samples), _weights(columns, edges[1], samples).T
            return _Places(down @ lattice[0] @ across, down @ lattice[1] @ across, samples, scale)
    centres = [np.arange(part.start + 0.25, part.stop, 0.5) for part in (rows, columns)]
    exact = _positions(grid, picture, *centres)
    scale = _scale(grid, exact, centres)
    return _Places(*exact, samples=2, scale=scale if math.isfinite(scale) else 1.0)


def _cells(part: slice, step: int) -> int:
    size: int = part.stop - part.start
    return -(-size // step)


def _positions(
    grid: Grid, picture: MapPicture, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[Positions, Positions]:
    """Return fractional row and column of the grid [y, x] for rows and columns of a picture, by pyproj."""
    lon, lat = np.meshgrid(picture.lon(columns), picture.lat(rows))
    return grid.row_column(*grid.x_y(lon, lat))


def _lattice_error(lattice: tuple[Positions, Positions]) -> float:
    """Return the most that a position is off (pixels of the grid) if it is interpolated on the lattice.

    Interpolation on every second point is compared with the points between, along both axes; with twice as many points
    the error is a quarter. The middles of cells would not do: there the errors of a conformal projection cancel.
    """
    worst = 0.0
    for values in lattice:
        if not np.isfinite(values).all():
            return math.inf
        along_y = values[1::2] - (values[:-1:2] + values[2::2]) / 2
        along_x = values[:, 1::2] - (values[:, :-1:2] + values[:, 2::2]) / 2
        worst = max(worst, float(np.abs(along_y).max()) + float(np.abs(along_x).max()))
    return worst / 4


def _scale(grid: Grid, positions: tuple[Positions, Positions], edges: list[NDArray[np.float64]]) -> float:
    """Return the most pixels of the grid, along its rows or columns, that one pixel of the picture spans.

    Where longitudes start again, on the other side of the earth, nothing is measured.
    """
    most = 180.0 / grid.north_up_transform[1] if grid.crs.is_geographic else math.inf
    spans = []
    for values in positions:
        steps = [np.abs(np.diff(values, axis=axis)) / float(edge[1] - edge[0]) for axis, edge in enumerate(edges)]
        down, across = (np.where(np.isfinite(step) & (step < most), step, np.nan) for step in steps)
        spans.append(down[:, :-1] + across[:-1])
    found = np.stack(spans)
    return float(np.nanmax(found)) if np.isfinite(found).any() else math.nan


def _weights(part: slice, edges: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """Return the weights [place, edge] that interpolate between edges, for the places of the pixels of `part`."""
    places = part.start + (np.arange((part.stop - part.start) * samples) + 0.5) / samples
    position = (places - edges[0]) / (edges[1] - edges[0])
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(edges.size)))
    return weights


def _highest(ranks: FrameRanks, shape: tuple[int, int], places: _Places, outside: int) -> Ranks:
    """Return the highest rank of the places of each pixel."""
    block = 1 << max(0, math.ceil(math.log2(places.scale / places.samples))) if places.scale > 1 else 1
    rows, columns = (np.floor(positions + 0.5) for positions in (places.rows, places.columns))
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    found = np.full(inside.shape, outside, np.uint8)
    if inside.any():
        rows, columns = (index[inside].astype(np.int64) // block for index in (rows, columns))
        top, left = int(rows.min()), int(columns.min())
        window = ranks.blocks(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1), block)
        found[inside] = window[rows - top, columns - left]
    return highest(found, places.samples)


def _interpolated(file: RainFile, frame: StoredFrame, places: _Places, outside: int) -> Ranks:
    """Return ranks of values that are interpolated between the centres of pixels of the grid."""
    ny, nx = file.grid.shape
    rows, columns = places.rows, places.columns
    inside = (rows >= -0.5) & (rows < ny - 0.5) & (columns >= -0.5) & (columns < nx - 0.5)
    ranks = np.full(inside.shape, outside, np.uint8)
    if not inside.any():
        return ranks
    rows, columns = np.clip(rows[inside], 0, ny - 1), np.clip(columns[inside], 0, nx - 1)
    upper, first = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    top, left = int(upper.min()), int(first.min())
    window = slice(top, min(ny, int(upper.max()) + 2)), slice(left, min(nx, int(first.max()) + 2))
    part = np.pad(file.blocks(frame, *window, 1), ((0, 1), (0, 1)), mode="edge")
    down, across = (rows - upper).astype(np.float32), (columns - first).astype(np.float32)
    upper, first = upper - top, first - left
    above = part[upper, first] * (1 - across) + part[upper, first + 1] * across
    below = part[upper + 1, first] * (1 - across) + part[upper + 1, first + 1] * across
    found = above * (1 - down) + below * down
    nearest = part[np.rint(rows).astype(np.int64) - top, np.rint(columns).astype(np.int64) - left]
    ranks[inside] = frame.scale.ranks(np.where(np.isnan(found), nearest, found))
    return ranks
