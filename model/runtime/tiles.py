"""A domain as tiles, each a forecast of its own: so that memory is bounded by the tile, and dry areas cost nothing.

A tile reads the frames within its rows and columns, and afterwards its own answers. What lies beyond its edge it cannot
know, so neighbours overlap, and each counts the less the nearer a pixel is to an edge that is not the domain's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

TILE_SIDE = 768
OVERLAP = 96
"""Pixels that neighbours share at least. The outer part of it counts next to nothing, the inner quarter is a ramp: what
lies beyond a tile's edge is missed for some 30 pixels."""

BLOCK = 16
"""Rain is looked for in blocks of this many pixels a side, at least."""
MARGIN = 3
"""As many blocks around one with rain are needed as well."""
TILE_COST = 64 * 64
"""What a tile costs beside its pixels, in pixels."""
SMALLEST_CORE = 4
"""Blocks a side that are not cut any further."""
WORTH_SKIPPING = 0.9
"""All is computed where the wet tiles would take more than this share of it."""
LEAST_WEIGHT = 1e-3

Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """Where a tile lies in the padded domain; its weights along both axes, before they are made to add up to 1."""

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
        """How many it has."""
        return self.shape[0] * self.shape[1]

    @property
    def weight(self) -> FloatArray:
        """How much it counts at each of its pixels [y, x], beside the other tiles."""
        return np.outer(self.row_weight, self.column_weight).astype(np.float32)


def tiles_of(
    shape: tuple[int, int],
    stride: int,
    *,
    side: int = TILE_SIDE,
    overlap: int = OVERLAP,
    wet: NDArray[np.bool_] | None = None,
) -> list[Tile]:
    """Tiles no longer than `side` that cover a domain of `shape`, or (with `wet` [y, x]) what lies around its rain.

    Both sides of `shape` and of every tile are multiples of `stride`. None where nothing is wet.
    """
    everything = (slice(0, shape[0]), slice(0, shape[1]))
    tiles = [
        (rows, columns)
        for rows in _spans(everything[0], stride, side, overlap)
        for columns in _spans(everything[1], stride, side, overlap)
    ]
    if wet is not None:
        around = _Cover(wet, stride, side, overlap).boxes()
        if sum(map(_cost, around)) < WORTH_SKIPPING * sum(map(_cost, tiles)):
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
    """What tiles answer, as one frame: their mean by weight; 0 where there is no tile."""

    def __init__(self, shape: tuple[int, int], tiles: Sequence[Tile]) -> None:
        self._shape = shape
        self._alone = len(tiles) == 1 and tiles[0].shape == shape
        self._share = np.zeros(shape if not self._alone else (0, 0), np.float32)
        for tile in tiles if not self._alone else ():
            self._share[tile.rows, tile.columns] += tile.weight
        np.divide(1, self._share, out=self._share, where=self._share > 0)

    def frame(self, answers: Iterator[tuple[Tile, FloatArray]]) -> FloatArray:
        """The frame [y, x] of the answers [y, x] of all tiles."""
        if self._alone:
            return next(answers)[1]
        blended = np.zeros(self._shape, np.float32)
        for tile, answer in answers:
            weighted = answer * tile.row_weight[:, None]
            weighted *= tile.column_weight
            blended[tile.rows, tile.columns] += weighted
        blended *= self._share
        return blended


def _weight(span: slice, length: int, overlap: int) -> FloatArray:
    """Weight along one axis: next to nothing near an edge within the domain, then a ramp to 1."""
    pixel = np.arange(span.start, span.stop, dtype=np.float32) + np.float32(0.5)
    away = np.full(pixel.shape, np.inf, np.float32)
    if span.start > 0:
        away = np.minimum(away, pixel - span.start)
    if span.stop < length:
        away = np.minimum(away, span.stop - pixel)
    return np.asarray(np.clip((away - 0.375 * overlap) / (0.25 * overlap), LEAST_WEIGHT, 1), np.float32)


def _spans(whole: slice, stride: int, side: int, overlap: int) -> list[slice]:
    """Even spans of one length along one axis; they begin at multiples of `stride`."""
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
    """Boxes that hold what is needed of a domain, each cut so that all together cost little.

    A core of blocks is cut in two where that is cheaper, and so on. A box is a core and half an overlap around it, as
    far as that is needed as well: there another box goes on.
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

    def boxes(self) -> list[Box]:
        """The boxes, in pixels."""
        ny, nx = self.needed.shape
        cores = self._best(slice(0, ny), slice(0, nx))[1]
        return [(self._pixels(rows, self.shape[0]), self._pixels(columns, self.shape[1])) for rows, columns in cores]

    def _pixels(self, span: slice, length: int) -> slice:
        return slice(span.start * self.block, min(span.stop * self.block, length))

    def _best(self, rows: slice, columns: slice) -> tuple[float, list[Box]]:
        """The cheapest boxes that were found for what is needed of a part, in blocks, and what they cost."""
        core = self._around_needed(rows, columns)
        if core is None:
            return 0.0, []
        rows, columns = core
        wider = (slice(max(0, span.start - self.halo), span.stop + self.halo) for span in core)
        box = self._around_needed(*wider) or core
        height, width = (span.stop - span.start for span in box)
        fits = max(height, width) <= self.longest
        alone = height * width + TILE_COST / self.block**2 if fits else np.inf
        if fits and max(rows.stop - rows.start, columns.stop - columns.start) <= SMALLEST_CORE:
            return alone, [box]
        (cost, boxes), (other_cost, others) = (self._best(*part) for part in self._cut(rows, columns))
        return (alone, [box]) if alone <= cost + other_cost else (cost + other_cost, boxes + others)

    def _around_needed(self, rows: slice, columns: slice) -> Box | None:
        """The smallest part that holds what is needed of this one."""
        inside = self.needed[rows, columns]
        tall, wide = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not tall.size:
            return None
        return (
            slice(rows.start + int(tall[0]), rows.start + int(tall[-1]) + 1),
            slice(columns.start + int(wide[0]), columns.start + int(wide[-1]) + 1),
        )

    def _cut(self, rows: slice, columns: slice) -> tuple[Box, Box]:
        """The two parts of the cut that leaves the least to compute, halos counted where they are needed."""
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
    """Cost, in blocks, of the best cut between two rows, and before which row it is; infinite where there is one row.

    First and last row and column of `needed` hold something. Where that is longer than a tile may be, the cut is in its
    middle third: what must be cut anyway is not cut into strips.
    """
    length, width = needed.shape
    if length < 2:
        return np.inf, 0
    full = needed.any(axis=1)
    first = np.where(full, needed.argmax(axis=1), width)
    last = np.where(full, width - needed[:, ::-1].argmax(axis=1), 0)
    row = np.arange(length)
    above = (np.maximum.accumulate(last) - np.minimum.accumulate(first)) * np.maximum.accumulate(
        np.where(full, row + 1, 0)
    )
    below = (np.maximum.accumulate(last[::-1]) - np.minimum.accumulate(first[::-1]))[::-1] * (
        length - np.minimum.accumulate(np.where(full, row, length)[::-1])[::-1]
    )
    shared = (needed[:-1] & needed[1:]).sum(axis=1) * 2 * halo
    cost = (above[:-1] + below[1:] + shared).astype(np.float64)
    if length > longest:
        cost[: length // 3] = cost[length - length // 3 :] = np.inf
    best = int(np.argmin(cost))
    return float(cost[best]), best + 1


def _cost(box: Box) -> int:
    """What a tile costs, in pixels."""
    rows, columns = box
    return int((rows.stop - rows.start) * (columns.stop - columns.start)) + TILE_COST
