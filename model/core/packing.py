"""Packing of a forecast file: rain rates in 16 bits, probabilities in 8, shuffled and compressed chunk by chunk.

One packing serves every file, because a scale that grows with the largest value would let one pixel of clutter turn
light rain into dry (docs/decisions/006-one-packing.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from isal import isal_zlib

from model.core.units import FloatArray

PACKED_RESOLUTION_MM_H: Final = 0.01
PACKED_FILL: Final = 65535
MAX_PACKED_MM_H: Final = np.float32(PACKED_RESOLUTION_MM_H * (PACKED_FILL - 1))
PROBABILITY_RESOLUTION: Final = 0.005
"""Half a percent: 0, 1, every whole percent and every share of 20 or 50 members are stored exactly."""
PROBABILITY_FILL: Final = 255
COMPRESSION_LEVEL: Final = 1


def quantize(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Return the rain rate as a reader unpacks it from the file, for summaries that must agree with the file."""
    steps: FloatArray = np.rint(rain_rate_mm_h / np.float32(PACKED_RESOLUTION_MM_H))
    np.minimum(steps, np.float32(PACKED_FILL - 1), out=steps)
    steps *= np.float32(PACKED_RESOLUTION_MM_H)
    return steps


def quantize_probability(probability: FloatArray) -> FloatArray:
    """Return the probability as a reader unpacks it from the file."""
    steps: FloatArray = np.rint(probability / np.float32(PROBABILITY_RESOLUTION))
    steps *= np.float32(PROBABILITY_RESOLUTION)
    return steps


class RainPacker:
    """Packs, shuffles and compresses chunks of rain rate as HDF5's filters would.

    Attributes
    ----------
    shape : tuple of int
        Shape of a chunk, [y, x] or [realization, y, x].
    clipped : int
        Pixels beyond the packing so far.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.clipped = 0
        self._scaled = np.empty(shape, np.float32)
        self._packed = np.zeros(shape, np.uint16)
        self._shuffled = np.zeros((2, *shape), np.uint8)
        self._dry = isal_zlib.compress(self._shuffled, COMPRESSION_LEVEL)

    def chunk(self, rain_rate_mm_h: FloatArray) -> bytes | None:
        """Compress a chunk (mm h-1); None without data, because HDF5 reads absent chunks as the fill value.

        At the edges of the domain a chunk is smaller than `shape`.
        """
        if not rain_rate_mm_h.any():
            return self._dry
        if rain_rate_mm_h.shape != self.shape:
            self._shuffled.fill(0)  # values beyond the edge are never read; zeros compress best
        size = tuple(slice(n) for n in rain_rate_mm_h.shape)
        scaled, packed = self._scaled[size], self._packed[size]
        np.divide(rain_rate_mm_h, np.float32(PACKED_RESOLUTION_MM_H), out=scaled)
        np.rint(scaled, out=scaled)
        no_data = np.isnan(scaled)
        if no_data.all():
            return None
        np.copyto(scaled, np.float32(PACKED_FILL), where=no_data)
        above = int(np.count_nonzero(rain_rate_mm_h > MAX_PACKED_MM_H))
        if above:
            self.clipped += above
            np.minimum(scaled, np.where(no_data, np.float32(PACKED_FILL), np.float32(PACKED_FILL - 1)), out=scaled)
        np.copyto(packed, scaled, casting="unsafe")
        low, high = self._shuffled[0][size], self._shuffled[1][size]
        np.copyto(low, packed, casting="unsafe")
        np.copyto(high, np.right_shift(packed, 8, out=packed), casting="unsafe")
        return isal_zlib.compress(self._shuffled, COMPRESSION_LEVEL)


class ProbabilityPacker:
    """Packs and compresses chunks of probability, `shape` [y, x]: to the nearest half percent, 255 without data.

    Rounding to the nearest step keeps the order along thresholds, and sums over areas. So a stored 0 stands for less
    than 0.25 %, and a stored 1 for more than 99.75 %, which the file says (docs/probabilities.md, "The file").
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._packed = np.zeros(shape, np.uint8)
        self._zero = isal_zlib.compress(self._packed, COMPRESSION_LEVEL)

    def chunk(self, probability: FloatArray) -> bytes | None:
        """Compress a chunk (0 to 1, NaN = no data); None without data, as in `RainPacker.chunk`."""
        if not probability.any():
            return self._zero
        if probability.shape != self.shape:
            self._packed.fill(0)
        steps = np.rint(probability / np.float32(PROBABILITY_RESOLUTION))
        no_data = np.isnan(steps)
        if no_data.all():
            return None
        steps[no_data] = PROBABILITY_FILL
        self._packed[tuple(slice(n) for n in probability.shape)] = steps
        return isal_zlib.compress(self._packed, COMPRESSION_LEVEL)
