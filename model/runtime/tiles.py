"""Cut a domain into tiles, and blend their frames: memory is bounded by the tile, and dry areas cost nothing.

Each tile is a forecast of its own: the network reads the observed frames within the tile, and then its own output. It
knows nothing of the rain beyond the tile's edge. Therefore neighbours overlap, and the weight of a tile falls towards
each of its edges that is not an edge of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

TILE_SIDE = 768
OVERLAP = 96
"""Pixels that neighbours share at least. The weight is next to nothing in their outer 3/8, then a ramp over a quarter:
missing surroundings distort a forecast up to some 30 pixels from the edge."""

BLOCK = 16
"""Side of the blocks in which rain is searched (pixels, at least)."""
MARGIN = 3
"""Number of blocks around a rainy one that are computed as well."""
TILE_COST = 64 * 64
"""Fixed cost of a tile, expressed in pixels."""
SMALLEST_CORE = 4
"""Side of a core that is not cut any further (blocks)."""
LARGEST_WET_SHARE = 0.9
"""The whole domain is computed where the wet tiles would cost more than this share of it."""
LEAST_WEIGHT = 1e-3

Slices = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """Rows and columns of a tile in the padded domain, and its weights along both axes.

    The weights of overlapping tiles do not sum to 1: `Blend` divides by their sum.
    """

    rows: slice
    columns: slice
    row_weight: FloatArray
    column_weight: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def weight(self) -> FloatArray:
        """Weight at each pixel of the tile [y, x]."""
        return np.outer(self.row_weight, self.column_weight).astype(np.float32)


def tiles_of(
    shape: tuple[int, int],
    stride: int,
    *,
    side: int = TILE_SIDE,
    overlap: int = OVERLAP,
    wet: NDArray[np.bool_] | None = None,
) -> list[Tile]:
    """Cut a domain into tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the domain, multiples of `stride`.
    stride : int
        Number that rows and columns of every tile are multiples of.
    side : int
        Longest side of a tile (pixels).
    overlap : int
        Pixels that neighbours share at least.
    wet : ndarray of bool, optional
        Where rain can be [y, x]. Only its surroundings are covered, if that costs less; nothing where it never rains.

    Returns
    -------
    list of Tile
        Tiles of one shape without `wet`, of any shape with it.
    """
    down, across = (_spans(slice(0, length), stride, side, overlap) for length in shape)
    tiles = list(product(down, across))
    if wet is not None:
        around = _Cover(wet, stride, side, overlap).tiles()
        if sum(map(_cost, around)) < LARGEST_WET_SHARE * sum(map(_cost, tiles)):
            tiles = around
    return [
        Tile(
            rows=rows,
            columns=columns,
            row_weight=_weight(rows, shape[0], overlap),
            column_weight=_weight(columns, shape[1], overlap),
        )
        for rows, columns in tiles
    ]


class Blend:
    """The weighted mean of tiles, over the whole domain; 0 where there is no tile."""

    def __init__(self, shape: tuple[int, int], tiles: Sequence[Tile]) -> None:
        self._shape = shape
        self._alone = len(tiles) == 1 and tiles[0].shape == shape
        self._share = np.zeros(shape if not self._alone else (0, 0), np.float32)
        for tile in tiles if not self._alone else ():
            self._share[tile.rows, tile.columns] += tile.weight
        np.divide(1, self._share, out=self._share, where=self._share > 0)

    def planes(self, of_tiles: Iterator[tuple[Tile, FloatArray]], count: int = 1) -> FloatArray:
        """Return `count` planes [plane, y, x] of the whole domain from those of all tiles."""
        if self._alone:
            return next(of_tiles)[1]
        blended = np.zeros((count, *self._shape), np.float32)
        for tile, planes in of_tiles:
            weighted = planes * tile.row_weight[:, None]
            weighted *= tile.column_weight
            blended[:, tile.rows, tile.columns] += weighted
        blended *= self._share
        return blended


def _weight(span: slice, length: int, overlap: int) -> FloatArray:
    """Return the weight along one axis: next to nothing near an edge inside the domain, then a ramp to 1."""
    pixel = np.arange(span.start, span.stop, dtype=np.float32) + np.float32(0.5)
    away = np.full(pixel.shape, np.inf, np.float32)
    if span.start > 0:
        away = np.minimum(away, pixel - span.start)
    if span.stop < length:
        away = np.minimum(away, span.stop - pixel)
    return np.asarray(np.clip((away - 0.375 * overlap) / (0.25 * overlap), LEAST_WEIGHT, 1), np.float32)


def _spans(whole: slice, stride: int, side: int, overlap: int) -> list[slice]:
    """Return even spans of one length along one axis, which start at multiples of `stride`."""
    length = whole.stop - whole.start
    if length <= side:
        return [whole]
    overlap = min(overlap, side // 2)
    count = -(-(length - overlap) // (side - overlap))
    span = -(-(length + (count - 1) * overlap) // count)
    span += -span % stride
    starts = [whole.start + round(index * (length - span) / (count - 1) / stride) * stride for index in range(count)]
    return [slice(first, first + span) for first in starts]


class _Cover:
    """Few tiles, together as cheap as possible, that hold everything near rain.

    To find the cheapest set of rectangles is NP-hard. As in adaptive mesh refinement (Berger and Rigoutsos 1991), the
    smallest rectangle around all that is needed is cut in two where that is cheaper, and each part again. A tile is
    such a part, its core, and half an overlap around the core, as far as that is needed: there the next tile continues.
    """

    def __init__(self, wet: NDArray[np.bool_], stride: int, side: int, overlap: int) -> None:
        self.shape = wet.shape
        self.block = stride * -(-BLOCK // stride)
        self.halo = -(-overlap // (2 * self.block))
        self.longest = max(SMALLEST_CORE + 2 * self.halo, side // self.block)
        ny, nx = (-(-length // self.block) for length in wet.shape)
        padded = np.pad(wet, [(0, ny * self.block - wet.shape[0]), (0, nx * self.block - wet.shape[1])])
        rainy = np.asarray(padded.reshape(ny, self.block, nx, self.block).any(axis=(1, 3)), np.uint8)
        self.needed = cv2.dilate(rainy, np.ones((2 * MARGIN + 1,) * 2, np.uint8)).astype(bool)

    def tiles(self) -> list[Slices]:
        """Return the rows and columns of the tiles, in pixels."""
        ny, nx = self.needed.shape
        cores = self._best(slice(0, ny), slice(0, nx))[1]
        return [(self._pixels(rows, self.shape[0]), self._pixels(columns, self.shape[1])) for rows, columns in cores]

    def _pixels(self, span: slice, length: int) -> slice:
        return slice(span.start * self.block, min(span.stop * self.block, length))

    def _best(self, rows: slice, columns: slice) -> tuple[float, list[Slices]]:
        """Return the cost of the cheapest tiles found for a part of the domain, and the tiles, in blocks."""
        core = self._around_needed(rows, columns)
        if core is None:
            return 0.0, []
        rows, columns = core
        wider = (slice(max(0, span.start - self.halo), span.stop + self.halo) for span in core)
        tile = self._around_needed(*wider) or core
        height, width = (span.stop - span.start for span in tile)
        fits = max(height, width) <= self.longest
        alone = height * width + TILE_COST / self.block**2 if fits else np.inf
        if fits and max(rows.stop - rows.start, columns.stop - columns.start) <= SMALLEST_CORE:
            return alone, [tile]
        (cost, tiles), (other_cost, others) = (self._best(*part) for part in self._cut(rows, columns))
        return (alone, [tile]) if alone <= cost + other_cost else (cost + other_cost, tiles + others)

    def _around_needed(self, rows: slice, columns: slice) -> Slices | None:
        """Return the smallest rectangle that holds all needed blocks of a part."""
        inside = self.needed[rows, columns]
        tall, wide = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not tall.size:
            return None
        return (
            slice(rows.start + int(tall[0]), rows.start + int(tall[-1]) + 1),
            slice(columns.start + int(wide[0]), columns.start + int(wide[-1]) + 1),
        )

    def _cut(self, rows: slice, columns: slice) -> tuple[Slices, Slices]:
        """Cut a part in two, between the rows or columns where that leaves the least to compute."""
        inside = self.needed[rows, columns]
        longest = self.longest - 2 * self.halo
        by_row, row = _cheapest_cut(inside, self.halo, longest)
        by_column, column = _cheapest_cut(inside.T, self.halo, longest)
        too_tall, too_wide = (length > longest for length in inside.shape)
        if (not too_tall, by_row) <= (not too_wide, by_column):
            return (slice(rows.start, rows.start + row), columns), (slice(rows.start + row, rows.stop), columns)
        cut = columns.start + column
        return (rows, slice(columns.start, cut)), (rows, slice(cut, columns.stop))


def _cheapest_cut(needed: NDArray[np.bool_], halo: int, longest: int) -> tuple[float, int]:
    """Return the cost of the best cut between two rows, in blocks, and the row after the cut.

    The cost of a cut is the area of the smallest rectangles above and below it, and of the halos that both sides
    compute twice: two halos deep, at each column that is needed on both sides. Running minima and maxima of the first
    and last needed column give the rectangles of all cuts at once.

    A part that is longer than a tile may be is cut in its middle third: it must be cut in any case, and the cheapest
    cut at one end after the other would leave strips that are mostly overlap.

    Parameters
    ----------
    needed : ndarray of bool
        Blocks [row, column]. The first and last row and column hold at least one that is needed.
    halo, longest : int
        Half an overlap, and the longest core, in blocks.
    """
    length, width = needed.shape
    if length < 2:
        return np.inf, 0
    full = needed.any(axis=1)
    first = np.where(full, needed.argmax(axis=1), width)
    last = np.where(full, width - needed[:, ::-1].argmax(axis=1), 0)
    row = np.arange(length)
    height_above = np.maximum.accumulate(np.where(full, row + 1, 0))
    height_below = length - np.minimum.accumulate(np.where(full, row, length)[::-1])[::-1]
    above = (np.maximum.accumulate(last) - np.minimum.accumulate(first)) * height_above
    below = (np.maximum.accumulate(last[::-1]) - np.minimum.accumulate(first[::-1]))[::-1] * height_below
    shared = (needed[:-1] & needed[1:]).sum(axis=1) * 2 * halo
    cost = (above[:-1] + below[1:] + shared).astype(np.float64)
    if length > longest:
        cost[: length // 3] = cost[length - length // 3 :] = np.inf
    best = int(np.argmin(cost))
    return float(cost[best]), best + 1


def _cost(tile: Slices) -> int:
    """Return the cost of a tile, in pixels."""
    rows, columns = tile
    return int((rows.stop - rows.start) * (columns.stop - columns.start)) + TILE_COST
