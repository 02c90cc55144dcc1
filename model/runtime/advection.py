"""Advection of a field along a steady motion.

Semi-Lagrangian and backward (Germann and Zawadzki 2002): the value at an arrival point comes from where a parcel
started, found by following the motion back in time. Parcels are followed on a lattice, and where those between them
started is interpolated: motion is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

LATTICE_PX = 4
"""Every how many pixels a parcel is followed. On the rain of the training events, an hour ahead, the others are then
0.03 px off at most in the mean, and 0.24 px where motion changes most."""
TILE_PX = (124, 256)
"""Fields are advected in tiles of this many rows and columns, whole cells of the lattice: what is dry costs nothing,
and temporaries stay small. OpenCV takes no row of 32767 positions or more: a tile has fewer."""
BLOCK_PX = 32
"""What a field holds is looked up by blocks of this side."""

Number = TypeVar("Number", np.float32, np.uint8)


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, the last ones not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """As an index of an array [y, x]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, shape: tuple[int, int]) -> Box:
        """What of it lies on a grid of `shape` (ny, nx)."""
        (top, bottom), (left, right) = (
            (min(max(low, 0), size), min(max(high, 0), size))
            for low, high, size in zip(self[::2], self[1::2], shape, strict=True)
        )
        return Box(top, bottom, left, right)


@dataclass(frozen=True, eq=False)
class Origins:
    """Where the parcels that arrive at each pixel of a domain of `shape` (ny, nx) started.

    `lattice` holds the positions (x, y) in pixels, float32 [rows, columns, 2], of those that arrive at the centres of
    cells of LATTICE_PX; a row or column of cells beyond each edge of the domain is among them.
    """

    lattice: FloatArray
    shape: tuple[int, int]

    def positions(self) -> FloatArray:
        """Positions (x, y) in pixels, float32 [y, x, 2]."""
        return _between(self.lattice, self.shape)

    def around(self, box: Box) -> FloatArray:
        """The part of the lattice that the positions of `box`, which begins with a cell, lie between."""
        bottom, right = (-(-end // LATTICE_PX) + 2 for end in (box.bottom, box.right))
        return self.lattice[box.top // LATTICE_PX : bottom, box.left // LATTICE_PX : right]


def trajectories(motion: FloatArray, steps: int) -> Iterator[Origins]:
    """Yield where the parcels that arrive at each pixel 1, 2, ... `steps` time steps later started.

    `motion` is (dx, dy) in pixels per time step [y, x, 2]. Give `-motion` for where each parcel goes to.
    """
    ny, nx = motion.shape[:2]
    columns, rows = (
        np.arange(-1, -(-size // LATTICE_PX) + 1, dtype=np.float32) * LATTICE_PX + np.float32((LATTICE_PX - 1) / 2)
        for size in (nx, ny)
    )
    position = np.dstack(np.meshgrid(columns, rows))
    for _ in range(steps):
        position = position - sample(motion, position, cv2.BORDER_REPLICATE)
        yield Origins(position, (ny, nx))


def advect(field: FloatArray, origins: Origins, out: FloatArray | None = None) -> FloatArray:
    """Values [y, x] of `field` where parcels started, bilinear over the pixels that hold data; in `out`, where given.

    NaN where less than half of the interpolation weight holds data: what enters the domain is not known.
    """
    moved = np.empty_like(field) if out is None else out
    blocks = _Blocks.of(field)
    ny, nx = field.shape
    rows, columns = TILE_PX
    for top in range(0, ny, rows):
        for left in range(0, nx, columns):
            tile = Box(top, min(top + rows, ny), left, min(left + columns, nx))
            _advect_tile(field, blocks, origins.around(tile), moved[tile.slices])
    return moved


def sample(field: NDArray[Number], position: FloatArray, border: int = cv2.BORDER_CONSTANT) -> NDArray[Number]:
    """Bilinear values of `field` [y, x] or [y, x, n] at `position` [y, x, 2]; a constant border is 0."""
    # The second map is None where the first holds both coordinates; OpenCV's stubs do not know.
    values = cv2.remap(field, position, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]
    return np.asarray(values, field.dtype)


class _Blocks(NamedTuple):
    """What the blocks of a field hold [row, column]: any pixel with rain, any that is not known, any that is."""

    wet: NDArray[np.bool_]
    gaps: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, field: FloatArray) -> _Blocks:
        known = np.isfinite(field)
        if known.all():
            wet = _any(field != 0)
            return cls(wet, np.zeros_like(wet), np.ones_like(wet))
        return cls(_any((field != 0) & known), _any(~known), _any(known))

    def within(self, box: Box) -> tuple[bool, bool, bool]:
        """Whether any pixel of the blocks that `box` touches is wet, a gap, known."""
        here = tuple(
            slice(low // BLOCK_PX, -(-high // BLOCK_PX)) for low, high in ((box.top, box.bottom), (box.left, box.right))
        )
        wet, gaps, known = (bool(blocks[here].any()) for blocks in self)
        return wet, gaps, known


def _any(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    ny, nx = pixels.shape
    rows = [np.logical_or.reduce(pixels[top : top + BLOCK_PX], axis=0) for top in range(0, ny, BLOCK_PX)]
    return np.logical_or.reduceat(np.stack(rows), np.arange(0, nx, BLOCK_PX), axis=1)


def _advect_tile(field: FloatArray, blocks: _Blocks, lattice: FloatArray, moved: FloatArray) -> None:
    """Fill `moved` [y, x] with `field`, a tile of which starts at positions between `lattice`."""
    # One axis after the other, for NumPy is slow over both at once.
    (left, top), (right, bottom) = lattice.min(axis=0).min(axis=0), lattice.max(axis=0).max(axis=0)
    box = Box(math.floor(top), math.floor(bottom) + 2, math.floor(left), math.floor(right) + 2)
    source = box.within(field.shape)
    is_outside = source.top >= source.bottom or source.left >= source.right
    wet, gaps, known = (False, True, False) if is_outside else blocks.within(source)
    if not known:
        moved.fill(np.nan)
        return
    complete = source == box and not gaps
    if not wet:
        moved.fill(0)
        if complete:
            return
    position = _between(lattice - np.array([source.left, source.top], np.float32), moved.shape)
    values = field[source.slices]
    if wet:
        moved[:] = sample(values, position, cv2.BORDER_REPLICATE)
    if complete:
        return
    holds = np.isfinite(values)
    most = sample(holds.view(np.uint8) * np.uint8(255), position) >= 128
    np.copyto(moved, np.float32(np.nan), where=~most)
    # No data among the four pixels makes no data; where the others weigh more, they are the value.
    if wet and gaps and (lost := most & np.isnan(moved)).any():
        at = np.nonzero(lost)
        filled = np.where(holds, values, np.float32(0)), holds.astype(np.float32)
        value, weight = (sample(part, position[at][None]) for part in filled)
        moved[at] = (value / weight)[0]


def _between(lattice: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Positions [y, x, 2] of a tile of `shape`, of those of its cells, and of the cells around it."""
    ny, nx = lattice.shape[:2]
    fine = cv2.resize(lattice, (nx * LATTICE_PX, ny * LATTICE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[LATTICE_PX : LATTICE_PX + shape[0], LATTICE_PX : LATTICE_PX + shape[1]], np.float32)
