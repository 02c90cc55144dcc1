"""Frames of tiles that wait on disk until the last tile of a large domain is computed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.units import FloatArray
from model.runtime.tiles import Tile

LEVELS: Final = np.float32(65535)


def pack_fraction(fraction: FloatArray) -> NDArray[np.uint16]:
    """Return fractions of 0 to 1 in 16 bits, for a frame that waits on disk or travels; others are clipped.

    Half a level is 0.0006 dB of reflectivity.
    """
    return np.asarray(np.rint(np.clip(fraction, 0, 1) * LEVELS), np.uint16)


def unpack_fraction(packed: NDArray[np.uint16]) -> FloatArray:
    """Return the fractions that `pack_fraction` packed."""
    return np.asarray(packed / LEVELS, np.float32)


class SpillFile:
    """A temporary file of packed frames, which has no name and is gone once it is closed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="echocast-")  # noqa: SIM115 - closed by close()
        self._offsets: dict[int, list[tuple[Tile, int, int]]] = {}

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def append(self, tile: Tile, step: int, planes: FloatArray) -> None:
        """Add a tile's planes [plane, y, x] of a lead step, all in 0 to 1.

        Raises
        ------
        InputError
            The disk is full.
        """
        try:
            self._offsets.setdefault(step, []).append((tile, len(planes), self._file.seek(0, os.SEEK_END)))
            self._file.write(pack_fraction(planes).data)
        except OSError as error:
            raise InputError(
                f"the tiles of a large forecast cannot be stored ({error.strerror})",
                where=tempfile.gettempdir(),
                hint="Free space there, set TMPDIR to another folder, or raise ECHOCAST_MEMORY_MB",
            ) from error

    def frames(self, step: int) -> Iterator[tuple[Tile, FloatArray]]:
        """Yield every tile's planes [plane, y, x] of a lead step."""
        for tile, count, offset in self._offsets[step]:
            self._file.seek(offset)
            packed = np.frombuffer(self._file.read(2 * count * tile.pixels), np.uint16).reshape(count, *tile.shape)
            yield tile, unpack_fraction(packed)
