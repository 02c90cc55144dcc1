"""Ranks of a frame's pixels, as a map draws them: which class of colour, or whether it is dry or has no data.

A tile needs one byte of each pixel, and of several pixels in the place of one the highest. So a frame is turned into
ranks (`model.core.colour_scale`) once, chunk by chunk as it is stored, and zoomed out once for all tiles. Both stay in
memory for the tiles beside and for the next zooms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.colour_scale import ColourScale
from model.core.packing import quantize
from service.render.forecast_reader import RainFile, StoredFrame, SummedFrame
from service.render.packed_variable import PackedVariable, opened_variable

OVERVIEW: Final = 4
"""From this side on (pixels) all blocks of a frame are computed at once; smaller ones where they are asked for."""
BAND_ROWS: Final = 512
"""Rows that are in memory at a time, while an overview is computed; a multiple of the side of its blocks."""

Ranks = NDArray[np.uint8]


class FrameRanks:
    """Ranks of one frame of a file; every method may read it, and blocks."""

    def __init__(self, file: RainFile, frame: StoredFrame | SummedFrame) -> None:
        self._file = file
        self._frame = frame
        which = frame.first if isinstance(frame, StoredFrame) else frame.hours
        self._key = (file.path, frame.variable, which, frame.scale.unit)

    def blocks(self, rows: slice, columns: slice, block: int) -> Ranks:
        """Return the ranks [y, x] of blocks of `block` x `block` pixels, a power of two; rows as in the file.

        `rows` and `columns` count blocks from the first row and column of the file. A block has the highest rank of
        its pixels.
        """
        if block >= OVERVIEW:
            return self._overview(block)[rows, columns]
        ny, nx = self._file.grid.shape
        part = (slice(each.start * block, min(n, each.stop * block)) for each, n in ((rows, ny), (columns, nx)))
        return highest(self._kept(*part), block)

    def _overview(self, block: int) -> Ranks:
        """Return all blocks of the frame."""

        def compute() -> Ranks:
            if block > OVERVIEW:
                return highest(self._overview(block // 2), 2)
            ny, nx = self._file.grid.shape
            with opened_variable(self._file.path, self._frame.variable) as variable:
                bands = [
                    highest(self._read(variable, slice(top, min(ny, top + BAND_ROWS)), slice(0, nx)), block)
                    for top in range(0, ny, BAND_ROWS)
                ]
            return np.concatenate(bands)

        return self._file.rank_cache.get((*self._key, block), compute)

    def _kept(self, rows: slice, columns: slice) -> Ranks:
        """Return ranks of pixels [y, x], from chunks that are kept."""
        high, wide = self._file.places.sides[self._frame.variable]
        tops = range(rows.start - rows.start % high, rows.stop, high)
        lefts = range(columns.start - columns.start % wide, columns.stop, wide)
        bands = [np.concatenate([self._chunk(top, left) for left in lefts], axis=1) for top in tops]
        whole = np.concatenate(bands)
        return whole[rows.start - tops[0] : rows.stop - tops[0], columns.start - lefts[0] : columns.stop - lefts[0]]

    def _chunk(self, top: int, left: int) -> Ranks:
        """Return the ranks of the chunk that starts at a row and a column."""

        def read() -> Ranks:
            high, wide = self._file.places.sides[self._frame.variable]
            ny, nx = self._file.grid.shape
            with opened_variable(self._file.path, self._frame.variable) as variable:
                return self._read(variable, slice(top, min(ny, top + high)), slice(left, min(nx, left + wide)))

        return self._file.rank_cache.get((*self._key, top, left), read)

    def _read(self, variable: PackedVariable, rows: slice, columns: slice) -> Ranks:
        """Return ranks of pixels [y, x] from the file."""
        frame = self._frame
        if isinstance(frame, StoredFrame):
            packed = variable.window(frame.first, rows, columns)
            if not packed.any():
                return np.zeros(packed.shape, np.uint8)
            return _ranks_of_packed(frame.scale, packed.dtype.str, variable.scale.item(), int(variable.fill))[packed]
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for step, hours in enumerate(frame.hours):
            if hours:
                packed = variable.window((step,), rows, columns)
                if packed.any():
                    total += np.float32(hours) * variable.unpacked(packed, packed == variable.fill)
        return frame.scale.ranks(quantize(total))  # as files of rainfall have it


@lru_cache(maxsize=16)
def _ranks_of_packed(scale: ColourScale, dtype: str, scale_factor: float, fill: int) -> Ranks:
    """Return the rank of every packed value."""
    packed = np.arange(np.iinfo(dtype).max + 1)
    values = packed.astype(np.float32) * np.float32(scale_factor)
    values[fill] = np.nan
    return scale.ranks(values)


def highest(ranks: Ranks, block: int) -> Ranks:
    """Return the highest rank of each block of `block` x `block` pixels (a power of two); at the edges of fewer."""
    while block > 1:
        for axis in (0, 1):
            first, second = (ranks[start::2] if axis == 0 else ranks[:, start::2] for start in (0, 1))
            ranks = first.copy()
            inner = ranks[: len(second)] if axis == 0 else ranks[:, : second.shape[1]]
            np.maximum(inner, second, out=inner)
        block //= 2
    return ranks
