"""Reads a packed variable of a forecast file chunk by chunk, as `model.core.packing` wrote it.

HDF5 and netCDF hold a lock of the process while they read, decompression included, so one picture of a large grid would
delay every place that is asked for meanwhile. Here only the stored bytes of a chunk are read under that lock; they are
decompressed outside of it, without Python's lock as well, so that threads read side by side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from model.core.units import FloatArray

Packed = NDArray[np.uint8] | NDArray[np.uint16]


class PackedVariable:
    """A packed variable [..., y, x] of an open file."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.chunks: tuple[int, ...] = dataset.chunks
        self.scale = np.float32(dataset.attrs["scale_factor"])
        self.fill = dataset.dtype.type(dataset.attrs["_FillValue"].item())

    def chunk(self, offset: tuple[int, ...]) -> Packed:
        """Return the packed values of the chunk that starts at `offset`, in the shape of `chunks`.

        At the edges of the domain that is more than the variable has; what is beyond them has no meaning.
        """
        stored = self._dataset.id
        if not stored.get_chunk_info_by_coord(offset).size:  # not written: no data
            return np.full(self.chunks, self.fill)
        skipped_filters, data = stored.read_direct_chunk(offset)
        if skipped_filters:
            raise ValueError(f"a chunk of {self._dataset.name} is stored without its filters")
        raw = isal_zlib.decompress(data, bufsize=self.fill.itemsize * int(np.prod(self.chunks)))
        values = np.frombuffer(raw, np.uint8)
        if self.fill.itemsize == 1:
            return values.reshape(self.chunks)
        # HDF5's shuffle filter: first the low byte of every value, then the high byte.
        low, high = values.reshape(2, *self.chunks)
        packed = np.empty((*self.chunks, 2), np.uint8)
        packed[..., 0], packed[..., 1] = low, high
        return packed.view("<u2")[..., 0]

    def window(self, first: tuple[int, ...], rows: slice, columns: slice) -> Packed:
        """Return the packed values [y, x] of rows and columns; `first` are the indices before y and x."""
        high, wide = self.chunks[-2:]
        within = tuple(index % size for index, size in zip(first, self.chunks, strict=False))
        start = tuple(index - part for index, part in zip(first, within, strict=True))
        values = np.empty((rows.stop - rows.start, columns.stop - columns.start), self.fill.dtype)
        for top in range(rows.start - rows.start % high, rows.stop, high):
            for left in range(columns.start - columns.start % wide, columns.stop, wide):
                y, x = _shared(rows, top, high), _shared(columns, left, wide)
                chunk = self.chunk((*start, top, left))[within]
                part = chunk[y.start - top : y.stop - top, x.start - left : x.stop - left]
                values[y.start - rows.start : y.stop - rows.start, x.start - columns.start : x.stop - columns.start] = (
                    part
                )
        return values

    def bands(self, first: tuple[int, ...], rows: slice, columns: slice, block: int) -> Iterator[Packed]:
        """Yield the packed values [y, x] from top to bottom, in bands of a multiple of `block` rows but the last."""
        high = self.chunks[-2]
        rest = np.empty((0, columns.stop - columns.start), self.fill.dtype)
        for top in range(rows.start - rows.start % high, rows.stop, high):
            band = np.concatenate([rest, self.window(first, _shared(rows, top, high), columns)])
            whole = len(band) if top + high >= rows.stop else len(band) - len(band) % block
            rest = band[whole:]
            if whole:
                yield band[:whole]

    def block(self, top: int, left: int) -> Packed:
        """Return the packed values [y, x, ...] of the block of chunks that starts at a row and a column.

        What comes before y and x in the file comes last here.
        """
        rows, columns = (
            min(size, n - start) for size, n, start in zip(self.chunks[-2:], self.shape[-2:], (top, left), strict=True)
        )
        block = np.empty((rows, columns, *self.shape[:-2]), self.fill.dtype)
        for first in itertools.product(
            *(range(0, n, step) for n, step in zip(self.shape[:-2], self.chunks[:-2], strict=True))
        ):
            part = tuple(slice(index, index + step) for index, step in zip(first, self.chunks[:-2], strict=True))
            into = block[(slice(None), slice(None), *part)]
            chunk = np.moveaxis(self.chunk((*first, top, left)), (-2, -1), (0, 1))
            into[...] = chunk[tuple(slice(n) for n in into.shape)]
        return block

    def unpacked(self, packed: NDArray[Any], missing: NDArray[np.bool_]) -> FloatArray:
        """Return the values of packed ones, NaN where `missing`."""
        values: FloatArray = packed * self.scale
        values[missing] = np.nan
        return values


def _shared(part: slice, start: int, size: int) -> slice:
    """Return what a part of an axis shares with a chunk of `size` from `start`."""
    return slice(max(part.start, start), min(part.stop, start + size))


@contextmanager
def opened_variable(path: Path, name: str) -> Iterator[PackedVariable]:
    """Open a packed variable of a file."""
    with h5py.File(path, "r") as file:
        yield PackedVariable(file[name])
