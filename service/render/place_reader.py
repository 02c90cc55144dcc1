"""Reads places of a forecast file by the blocks in which the file is stored, which stay in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from service.render.block_cache import Block, BlockCache, BlockKey
from service.render.packed_variable import opened_variable


@dataclass(frozen=True, eq=False)
class PlaceReader:
    """The variables of a forecast file at some of its pixels; rows are those of the file.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Rows and columns of its grid.
    sides : mapping
        Rows and columns of the blocks in which each variable is stored.
    cache : BlockCache
        Where blocks are kept.
    """

    path: Path
    shape: tuple[int, int]
    sides: Mapping[str, tuple[int, int]]
    cache: BlockCache

    def series(self, variable: str, row: int, column: int) -> FloatArray:
        """Return the values [...] of a variable at one pixel, NaN = no data."""
        rows, columns = self.sides[variable]
        top, left = row - row % rows, column - column % columns
        block = self._block_at(variable, top, left)
        return block.unpacked(block.packed[row - top, column - left])

    def parts(
        self, variable: str, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.bool_], FloatArray]]:
        """Yield the values [pixel, ...] of some pixels of a variable, block by block, and which pixels they are.

        What comes before y and x in the file comes last here.
        """
        block_rows, block_columns = self.sides[variable]
        across = -(-self.shape[1] // block_columns)
        block_of = rows // block_rows * across + columns // block_columns
        for number in np.unique(block_of).tolist():
            top, left = number // across * block_rows, number % across * block_columns
            here = block_of == number
            block = self._block_at(variable, top, left)
            yield here, block.unpacked(block.packed[rows[here] - top, columns[here] - left])

    def values(self, variable: str, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> FloatArray:
        """Return the values [pixel, ...] of some pixels of a variable, at least one, NaN = no data."""
        values: FloatArray | None = None
        for here, part in self.parts(variable, rows, columns):
            if values is None:
                values = np.empty((rows.size, *part.shape[1:]), np.float32)
            values[here] = part
        assert values is not None  # noqa: S101 - there is a pixel
        return values

    def is_in_memory(self, row: int, column: int) -> bool:
        """Whether all variables at a pixel can be read without the file."""
        return all(
            BlockKey(self.path, variable, row - row % rows, column - column % columns) in self.cache
            for variable, (rows, columns) in self.sides.items()
        )

    def load(self) -> None:
        """Read all blocks into memory."""
        for variable, (rows, columns) in self.sides.items():
            for top in range(0, self.shape[0], rows):
                for left in range(0, self.shape[1], columns):
                    self._block_at(variable, top, left)

    def _block_at(self, variable: str, top: int, left: int) -> Block:
        """Return the block of a variable that starts at a row and a column (multiples of its `sides`)."""

        def read() -> Block:
            with opened_variable(self.path, variable) as opened:
                return Block(opened.block(top, left), opened.scale, int(opened.fill))

        return self.cache.get(BlockKey(self.path, variable, top, left), read)
