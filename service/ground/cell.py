"""A cell of the base map, and how it is written: whole numbers as steps from point to point, most of them one byte.

Positions are counted from the cell's north-western corner, `EXTENT` to its side, in Web Mercator. Lines and areas reach
a little beyond the cell, and towns farther, so that every map tile within it can be drawn from this cell alone.

A cell is its lines and areas, kind by kind in the order of `KINDS`, then its towns. A kind is a count of lines, and of
each its rank, its count of points, and its points. The towns are a count, and of each its position, the zoom from
which its name is shown, whether it is a capital, and its name (length in bytes, then UTF-8). All numbers are unsigned
LEB128; positions are steps from the point before, in zigzag (0, -1, 1, -2, ...). `static/ground/cell.js` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

EXTENT: Final = 8192
LINE_MARGIN, NAME_MARGIN = 64, 1024
"""How far lines reach beyond a cell, and to its west towns, whose names stand to the right of them. At a cell's lowest
zoom 1024 are half of a tile's side, or a whole one."""
KINDS: Final = ("land", "lakes", "rivers", "borders", "regions")
"""Areas, as rings of which every second one within another is a hole: land, lakes. Lines: rivers, borders of countries,
and of their states and regions."""


@dataclass(frozen=True)
class Line:
    """A line, or a ring of an area.

    Attributes
    ----------
    points : ndarray of int, shape [point, 2]
        x to the east and y to the south.
    rank : int
        Of rivers and regions Natural Earth's rank, 0 for the largest; of borders 1 for one that is disputed; else 0.
    """

    points: NDArray[np.int64]
    rank: int = 0


@dataclass(frozen=True)
class Town:
    """A town: its position, the zoom from which its name is shown, whether it is a capital, and its name."""

    x: int
    y: int
    zoom: int
    capital: bool
    name: str


@dataclass(frozen=True)
class Cell:
    """What is in a cell."""

    lines: dict[str, list[Line]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    towns: list[Town] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.towns) or any(self.lines.values())


def encode_cell(cell: Cell) -> bytes:
    """Return a cell as it is written."""
    numbers: list[int] = []
    here = np.zeros(2, np.int64)

    def step_to(points: NDArray[np.int64]) -> Iterable[int]:
        nonlocal here
        steps = np.diff(points, axis=0, prepend=here[None])
        here = points[-1]
        zigzag: list[int] = np.where(steps < 0, -2 * steps - 1, 2 * steps).ravel().tolist()
        return zigzag

    for kind in KINDS:
        numbers.append(len(cell.lines[kind]))
        for line in cell.lines[kind]:
            numbers += [line.rank, len(line.points), *step_to(line.points)]
    written = bytearray(_leb128([*numbers, len(cell.towns)]))
    for town in cell.towns:
        name = town.name.encode()
        steps = step_to(np.array([[town.x, town.y]]))
        written += _leb128([*steps, town.zoom, int(town.capital), len(name)]) + name
    return bytes(written)


def decode_cell(written: bytes) -> Cell:
    """Return a cell from what `encode_cell` has written."""
    position, x, y = 0, 0, 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = written[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def point() -> tuple[int, int]:
        nonlocal x, y
        steps = [value // 2 if value % 2 == 0 else -(value + 1) // 2 for value in (number(), number())]
        x, y = x + steps[0], y + steps[1]
        return x, y

    cell = Cell()
    for kind in KINDS:
        for _ in range(number()):
            rank, count = number(), number()
            cell.lines[kind].append(Line(np.array([point() for _ in range(count)], np.int64), rank))
    for _ in range(number()):
        (x, y), zoom, capital, length = point(), number(), bool(number()), number()
        cell.towns.append(Town(x, y, zoom, capital, written[position : position + length].decode()))
        position += length
    return cell


def _leb128(numbers: Iterable[int]) -> bytes:
    """Return unsigned whole numbers, seven bits a byte, the lowest first; the highest bit says that more follow."""
    written = bytearray()
    for number in numbers:
        while number > 127:
            written.append(number & 127 | 128)
            number >>= 7
        written.append(number)
    return bytes(written)
