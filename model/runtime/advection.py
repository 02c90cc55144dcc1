"""Semi-Lagrangian advection of a field along a steady motion.

The scheme is the backward one of Germann and Zawadzki (2002, doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2): the
value at an arrival point comes from the departure point of a parcel, which is found by following the motion back in
time. Compared with the forward scheme it leaves no holes where motion diverges; and as each step only moves the
departure points, the field itself is interpolated once, and does not blur from step to step. Parcels are followed on a
lattice, and the departure points between them are interpolated, because motion is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

LATTICE_PX = 4
"""Distance of the parcels that are followed (pixels). On the rain of the training events, one hour ahead, interpolated
departure points are off by 0.03 px in the mean, and by 0.24 px at most, where motion changes most."""
TILE_PX = (124, 256)
"""Rows and columns of the tiles in which a field is advected, multiples of the lattice cell. Dry tiles cost nothing,
temporaries stay small, and rows stay below the 32767 positions that cv::remap takes (SHRT_MAX)."""
BLOCK_PX = 32
"""Side of the blocks in which rain and gaps are looked up (pixels)."""

Number = TypeVar("Number", np.float32, np.uint8)


class PixelBox(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, without the last ones."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index of an array [y, x]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def within(self, shape: tuple[int, int]) -> PixelBox:
        """Return the part of the box on a grid of `shape` (ny, nx)."""
        (top, bottom), (left, right) = (
            (min(max(low, 0), size), min(max(high, 0), size))
            for low, high, size in zip(self[::2], self[1::2], shape, strict=True)
        )
        return PixelBox(top, bottom, left, right)


@dataclass(frozen=True, eq=False)
class DeparturePoints:
    """Departure points of the parcels that arrive at each pixel of a domain.

    Attributes
    ----------
    lattice : ndarray
        Departure points (x, y) of the parcels that arrive at the centres of lattice cells [row, column, 2] (pixels,
        float32). There is one more row and column of cells beyond each edge of the domain.
    shape : tuple of int
        Rows and columns of the domain.
    """

    lattice: FloatArray
    shape: tuple[int, int]

    def positions(self, box: PixelBox | None = None) -> FloatArray:
        """Return the departure point (x, y) of each pixel, or of those in a box that starts with a cell [y, x, 2]."""
        if box is None:
            return _between(self.lattice, self.shape)
        return _between(self.around(box), box.shape)

    def around(self, box: PixelBox) -> FloatArray:
        """Return the part of the lattice that is needed to interpolate within a box, which starts with a cell."""
        bottom, right = (-(-end // LATTICE_PX) + 2 for end in (box.bottom, box.right))
        return self.lattice[box.top // LATTICE_PX : bottom, box.left // LATTICE_PX : right]


def trajectories(motion: FloatArray, steps: int) -> Iterator[DeparturePoints]:
    """Follow parcels back in time.

    Parameters
    ----------
    motion : ndarray
        Displacement (dx, dy) per time step [y, x, 2] (pixels). `-motion` gives where each parcel goes.
    steps : int
        Number of time steps.

    Yields
    ------
    DeparturePoints
        Of the parcels that arrive after 1, 2, ... `steps` time steps.
    """
    ny, nx = motion.shape[:2]
    columns, rows = (
        np.arange(-1, -(-size // LATTICE_PX) + 1, dtype=np.float32) * LATTICE_PX + np.float32((LATTICE_PX - 1) / 2)
        for size in (nx, ny)
    )
    position = np.dstack(np.meshgrid(columns, rows))
    for _ in range(steps):
        position = position - sample(motion, position, cv2.BORDER_REPLICATE)
        yield DeparturePoints(position, (ny, nx))


def advect(field: FloatArray, origins: DeparturePoints, out: FloatArray | None = None) -> FloatArray:
    """Advect a field to its arrival points.

    Parameters
    ----------
    field : ndarray
        Values [y, x], NaN = no data.
    origins : DeparturePoints
        Where each value comes from.
    out : ndarray, optional
        Array for the result.

    Returns
    -------
    ndarray
        Bilinear interpolation over the pixels that hold data; NaN where they have less than half of the weight, and
        where parcels entered the domain.
    """
    moved = np.empty_like(field) if out is None else out
    _advect(field, _tiles(origins), moved)
    return moved


def advect_planes(planes: FloatArray, origins: DeparturePoints) -> FloatArray:
    """Advect each of the planes [plane, y, x], in place; see `advect`. Their positions are computed once."""
    tiles = list(_tiles(origins))
    moved = np.empty_like(planes[0])
    for plane in planes:
        _advect(plane, tiles, moved)
        plane[:] = moved
    return planes


def sample(field: NDArray[Number], position: FloatArray, border: int = cv2.BORDER_CONSTANT) -> NDArray[Number]:
    """Return bilinear values of a field [y, x] or [y, x, n] at positions [y, x, 2]; a constant border is 0."""
    # The second map is None if the first one holds both coordinates, which OpenCV's stubs do not allow.
    values = cv2.remap(field, position, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]
    return np.asarray(values, field.dtype)


class _Blocks(NamedTuple):
    """Whether blocks of a field [row, column] hold any rain, any gap, and any data."""

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

    def within(self, box: PixelBox) -> tuple[bool, bool, bool]:
        """Return whether the blocks that a box touches hold any rain, any gap, and any data."""
        index = tuple(
            slice(low // BLOCK_PX, -(-high // BLOCK_PX)) for low, high in ((box.top, box.bottom), (box.left, box.right))
        )
        wet, gaps, known = (bool(blocks[index].any()) for blocks in self)
        return wet, gaps, known


def _any(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    ny, nx = pixels.shape
    rows = [np.logical_or.reduce(pixels[top : top + BLOCK_PX], axis=0) for top in range(0, ny, BLOCK_PX)]
    return np.logical_or.reduceat(np.stack(rows), np.arange(0, nx, BLOCK_PX), axis=1)


class _Tile:
    """A tile of the arrival points, and where its values come from.

    Attributes
    ----------
    target : PixelBox
        The tile.
    source : PixelBox
        The part of the field that the tile reads.
    is_inside : bool
        Whether all that the tile needs lies within the domain.
    """

    def __init__(self, origins: DeparturePoints, target: PixelBox) -> None:
        self.target = target
        self._lattice = origins.around(target)
        # One axis after the other, because NumPy is slow over both at once.
        lattice = self._lattice
        (left, top), (right, bottom) = lattice.min(axis=0).min(axis=0), lattice.max(axis=0).max(axis=0)
        box = PixelBox(math.floor(top), math.floor(bottom) + 2, math.floor(left), math.floor(right) + 2)
        self.source = box.within(origins.shape)
        self.is_inside = self.source == box

    @cached_property
    def position(self) -> FloatArray:
        """Departure points (x, y) of the tile's pixels, from the corner of `source` [y, x, 2]."""
        corner = np.array([self.source.left, self.source.top], np.float32)
        return _between(self._lattice - corner, self.target.shape)


def _tiles(origins: DeparturePoints) -> Iterator[_Tile]:
    """Yield the tiles of a domain."""
    ny, nx = origins.shape
    rows, columns = TILE_PX
    for top in range(0, ny, rows):
        for left in range(0, nx, columns):
            yield _Tile(origins, PixelBox(top, min(top + rows, ny), left, min(left + columns, nx)))


def _advect(field: FloatArray, tiles: Iterable[_Tile], moved: FloatArray) -> None:
    """Fill `moved` [y, x] with a field [y, x]."""
    blocks = _Blocks.of(field)
    for tile in tiles:
        _advect_tile(field, blocks, tile, moved[tile.target.slices])


def _advect_tile(field: FloatArray, blocks: _Blocks, tile: _Tile, moved: FloatArray) -> None:
    """Fill a tile `moved` [y, x] with a field."""
    source = tile.source
    is_outside = source.top >= source.bottom or source.left >= source.right
    wet, gaps, known = (False, True, False) if is_outside else blocks.within(source)
    if not known:
        moved.fill(np.nan)
        return
    complete = tile.is_inside and not gaps
    if not wet:
        moved.fill(0)
        if complete:
            return
    values = field[source.slices]
    if wet:
        moved[:] = sample(values, tile.position, cv2.BORDER_REPLICATE)
    if complete:
        return
    holds = np.isfinite(values)
    most = sample(holds.view(np.uint8) * np.uint8(255), tile.position) >= 128
    np.copyto(moved, np.float32(np.nan), where=~most)
    # remap makes NaN of a NaN among the four pixels: where the others have most of the weight, they are interpolated.
    if wet and gaps and (lost := most & np.isnan(moved)).any():
        at = np.nonzero(lost)
        filled = np.where(holds, values, np.float32(0)), holds.astype(np.float32)
        value, weight = (sample(part, tile.position[at][None]) for part in filled)
        moved[at] = (value / weight)[0]


def _between(lattice: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Return the positions [y, x, 2] of a tile, from those of its cells and of the cells around it."""
    ny, nx = lattice.shape[:2]
    fine = cv2.resize(lattice, (nx * LATTICE_PX, ny * LATTICE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[LATTICE_PX : LATTICE_PX + shape[0], LATTICE_PX : LATTICE_PX + shape[1]], np.float32)
