"""Blocks of results in memory, as packed as in the file: a place whose block is here is read without a file.

A block is a part of the domain with all lead times, thresholds or members of a variable. These come last, so that the
values of one place lie side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from service.render.packed_variable import Packed
from service.render.shared_cache import SharedCache


class BlockKey(NamedTuple):
    """A block of a file: its variable, and its first row and column."""

    path: Path
    variable: str
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class Block:
    """Packed values [y, x, ...] of a part of the domain; `scale` unpacks them, `fill` is missing data."""

    packed: Packed
    scale: np.float32
    fill: int

    def unpacked(self, packed: NDArray[np.uint8] | NDArray[np.uint16]) -> FloatArray:
        """Return some of the packed values as numbers, NaN = no data."""
        values: FloatArray = packed * self.scale
        values[packed == self.fill] = np.nan
        return values

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.packed.nbytes


BlockCache = SharedCache[BlockKey, Block]
"""Blocks by key."""
