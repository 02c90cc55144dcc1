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

from model.core.colour_scale import DRY_RANK, NO_DATA_RANK
from model.core.grid import Grid
from model.core.grid_places import NotOnEarth
from service.render.footprint import Bounds, footprint
from service.render.forecast_reader import RainFile, StoredFrame, SummedFrame
from service.render.frame_ranks import OVERVIEW, FrameRanks, Ranks, highest
from service.render.web_mercator import MapPicture

MAX_ERROR_PX: Final = 0.1
"""Of the position between lattice points, in pixels of the grid, or of the picture where those are larger."""
LATTICE_STEPS_PX: Final = (32, 16, 8, 4)
"""Distances of lattice points that are tried; with half of the last one, each pixel is as well computed exactly."""
SEPARABLE: Final = 1e-3
"""Where rows of the grid are rows of the picture, and columns columns, to this share of a pixel, lines are copied."""
OUTSIDE: Final = -10.0
"""Row and column of places that are not on the grid's map."""

Positions = NDArray[np.floating]


@dataclass(frozen=True)
class _Places:
    """Where the pixels of a part of a picture lie in the grid: `samples` x `samples` places of each.

    Attributes
    ----------
    lattice : tuple of ndarray
        Fractional rows and columns of the grid [y, x], on a lattice.
    down, across : ndarray or None
        Weights that interpolate between the points of the lattice: [place, y] and [x, place]; None where the lattice
        has every place.
    samples : int
        Places of each pixel, along each side.
    scale : float
        Most pixels of the grid, along its rows or columns, that a pixel of the picture spans.
    """

    lattice: tuple[Positions, Positions]
    down: Positions | None
    across: Positions | None
    samples: int
    scale: float

    def between(self, points: Positions) -> Positions:
        """Return values of the places [y, x], given those on the lattice; of one line of it, of a line."""
        if self.down is not None and len(points) > 1:
            points = self.down @ points
        if self.across is not None and points.shape[1] > 1:
            points = points @ self.across
        return points

    @property
    def rows(self) -> Positions:
        """Fractional rows of the grid [y, x]."""
        return self.between(self.lattice[0])

    @property
    def columns(self) -> Positions:
        """Fractional columns of the grid [y, x]."""
        return self.between(self.lattice[1])


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


def data_bounds(file: RainFile, frame: StoredFrame) -> Bounds | None:
    """Return bounds around the pixels of a frame that have data; None where none has, or the grid is not on earth."""
    ny, nx = file.grid.shape
    high, wide = (slice(0, -(-size // OVERVIEW)) for size in (ny, nx))
    known = FrameRanks(file, frame).blocks(high, wide, OVERVIEW) != NO_DATA_RANK
    rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    if not rows.size or not file.grid.is_georeferenced:
        return None
    y, x = (
        centres[max(0, min(first * OVERVIEW, centres.size - 2)) : (last + 1) * OVERVIEW]
        for centres, first, last in (
            (file.grid.y, int(rows[0]), int(rows[-1])),
            (file.grid.x, int(columns[0]), int(columns[-1])),
        )
    )
    return footprint(Grid(file.grid.crs, x, y))


def _places(grid: Grid, picture: MapPicture, rows: slice, columns: slice) -> _Places:
    """Return where the pixels of a part of a picture lie in the grid."""
    for step in LATTICE_STEPS_PX:
        edges = [np.linspace(part.start, part.stop, 2 * _cells(part, step) + 1) for part in (rows, columns)]
        lattice = _positions(grid, picture, *edges)
        scale = _scale(grid, lattice, edges)
        if math.isfinite(scale) and _lattice_error(lattice) <= MAX_ERROR_PX * max(1.0, scale):
            samples = 2 if scale > 1.0 else 1
            down, across = _weights(rows, edges[0], samples), _weights(columns, edges[1], samples).T
            return _Places(lattice, down, across, samples, scale)
    centres = [np.arange(part.start + 0.25, part.stop, 0.5) for part in (rows, columns)]
    exact = _positions(grid, picture, *centres)
    scale = _scale(grid, exact, centres)
    rows_of, columns_of = (np.where(np.isfinite(values), values, OUTSIDE) for values in exact)
    return _Places((rows_of, columns_of), None, None, samples=2, scale=scale if math.isfinite(scale) else 1.0)


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


def _weights(part: slice, edges: NDArray[np.float64], samples: int) -> Positions:
    """Return the weights [place, edge] that interpolate between edges, for the places of the pixels of `part`."""
    places = part.start + (np.arange((part.stop - part.start) * samples) + 0.5) / samples
    position = (places - edges[0]) / (edges[1] - edges[0])
    weights: Positions = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(edges.size)))
    return weights.astype(np.float32)


def _highest(ranks: FrameRanks, shape: tuple[int, int], places: _Places, outside: int) -> Ranks:
    """Return the highest rank of the places of each pixel."""
    block = 1 << max(0, math.ceil(math.log2(places.scale / places.samples))) if places.scale > 1 else 1
    points = [(values + 0.5) / block for values in places.lattice]  # whole numbers are edges of blocks
    rows, columns = (_Side.around(values, size / block) for values, size in zip(points, shape, strict=True))
    window = np.full((rows.size, columns.size), outside, np.uint8)
    if rows.inner.start < rows.inner.stop and columns.inner.start < columns.inner.stop:
        window[rows.within, columns.within] = ranks.blocks(rows.inner, columns.inner, block)
    if all(np.ptp(values, axis=axis).max() < SEPARABLE for axis, values in zip((1, 0), points, strict=True)):
        row, column = rows.indices(places, points[0][:, :1])[:, 0], columns.indices(places, points[1][:1])[0]
        return _highest_of_lines(_highest_of_lines(window, row, places.samples).T, column, places.samples).T
    row, column = rows.indices(places, points[0]), columns.indices(places, points[1])
    row *= columns.size
    row += column
    return highest(window.ravel()[row], places.samples)


@dataclass(frozen=True)
class _Side:
    """A side of the part of a grid that a picture shows, in blocks.

    `first`, `last`: of the part; -1 and `count` are outside of the grid. `end`: of the grid, whose last block may be
    incomplete. `is_open`: whether there are places outside.
    """

    first: int
    last: int
    count: int
    end: float
    is_open: bool

    @classmethod
    def around(cls, points: Positions, end: float) -> _Side:
        """Return the part around points, one block more at its end against rounding."""
        low, high, count = float(points.min()), float(points.max()), math.ceil(end)
        first, last = math.floor(max(-1.0, low)), math.floor(min(float(count), high + 1.0))
        return cls(min(first, count), max(last, -1), count, end, is_open=low < -1.0 or high >= end)

    @property
    def size(self) -> int:
        """Number of blocks, those outside included."""
        return self.last - self.first + 1

    @property
    def inner(self) -> slice:
        """The blocks of the grid."""
        return slice(max(0, self.first), min(self.last + 1, self.count))

    @property
    def within(self) -> slice:
        """The same, counted from the first block of the part."""
        return slice(self.inner.start - self.first, self.inner.stop - self.first)

    def indices(self, places: _Places, points: Positions) -> NDArray[np.intp]:
        """Return the block of each place, counted from the first one of the part, given those on the lattice."""
        from_first = places.between((points - self.first).astype(np.float32))
        if self.is_open:
            from_first[from_first >= self.end - self.first] = self.last - self.first
            np.maximum(from_first, 0, out=from_first)
        return from_first.astype(np.intp)


def _highest_of_lines(window: Ranks, lines: NDArray[np.intp], samples: int) -> Ranks:
    """Return the lines [line, ...] of a window, of each two the highest ranks where there are two places of a pixel."""
    found: Ranks = window[lines[::samples]]
    for other in range(1, samples):
        np.maximum(found, window[lines[other::samples]], out=found)
    return found


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
