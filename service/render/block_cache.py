"""Blocks of results in memory, as packed as in the file: a place whose block is here is read without a file.

A block is a part of the domain with all lead times, thresholds or members of a variable. These come last, so that the
values of one place lie side by side.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from service.render.packed_variable import Packed


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


class BlockCache:
    """Blocks by key, within a budget of bytes; the least recently used is dropped first. Safe to share between threads.

    Parameters
    ----------
    max_bytes
        Most bytes of all blocks; 0 keeps none.

    Attributes
    ----------
    size : int
        Bytes of the blocks that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._kept: OrderedDict[BlockKey, Block] = OrderedDict()
        self._reading: dict[BlockKey, Future[Block]] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: BlockKey) -> bool:
        return key in self._kept

    def get(self, key: BlockKey, read: Callable[[], Block]) -> Block:
        """Return the block of a key; `read` makes it, unless it is here or another thread is about to.

        Errors of `read` reach all that wait for it, and are not kept.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
            reading = self._reading.get(key)
            if reading is None:
                mine = self._reading[key] = Future()
        if reading is not None:
            return reading.result()
        try:
            block = read()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(block)
            self._keep(key, block)
        finally:
            with self._lock:
                del self._reading[key]
        return block

    def _keep(self, key: BlockKey, block: Block) -> None:
        size = block.packed.nbytes
        if size > self.max_bytes:
            return
        with self._lock:
            self._kept[key] = block
            self.size += size
            while self.size > self.max_bytes:
                self.size -= self._kept.popitem(last=False)[1].packed.nbytes
