"""Counts of a forecast frame beside the frame that was observed. They are additive: those of any window are a sum."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.probability_scores import BIN_SUMS

Array = NDArray[np.float64]

FSS_KM: Final = (5.0, 20.0)
"""Sides (km) of the windows of the fractions skill score."""

PROBABILITY_EDGES: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Lower edges of the bins of forecast probability; closer where most pixels are."""

ENOUGH_PIXELS: Final = 250_000
"""Probabilities and members of larger grids are counted at every n-th row and column: neighbours tell nothing new."""

PUBLISHED, UNCALIBRATED = 0, 1
"""Rows of `bins`: the probabilities as they were published, and as they were before a recalibration."""


def stride_of(shape: tuple[int, int]) -> int:
    """Return n, where of a grid every n-th row and column has about `ENOUGH_PIXELS` at most."""
    return int(np.ceil(np.sqrt(shape[0] * shape[1] / ENOUGH_PIXELS)))


def shapes(thresholds: int) -> dict[str, tuple[int, ...]]:
    """Return the parts of the counts of one frame, and the shape of each.

    `cases`: 1 where the frame is scored. `pixels`: how many are scored. `errors`: sums of forecast - observed, of its
    absolute value and of its square (mm h-1). `contingency` [threshold, 3]: hits, misses, false alarms. `fss` [2,
    threshold, window]: sums of (Pf - Po)^2 and of Pf^2 + Po^2. `brier` [2, threshold, 2]: number of pixels and sum of
    (p - o)^2, in the rows PUBLISHED and UNCALIBRATED. `crps` [2]: pixels with members, and the sum of their CRPS.
    """
    return {
        "cases": (),
        "pixels": (),
        "errors": (3,),
        "contingency": (thresholds, 3),
        "fss": (2, thresholds, len(FSS_KM)),
        "brier": (2, thresholds, 2),
        "crps": (2,),
    }


def columns(thresholds: int) -> int:
    """Return the length of the counts of one frame."""
    return sum(int(np.prod(shape)) for shape in shapes(thresholds).values())


def part(counts: Array, name: str, thresholds: int) -> Array:
    """Return a view of one part [.., *shape] of counts [.., column]."""
    first = 0
    for each, shape in shapes(thresholds).items():
        size = int(np.prod(shape))
        if each == name:
            return counts[..., first : first + size].reshape((*counts.shape[:-1], *shape))
        first += size
    raise KeyError(name)


def bins_shape(thresholds: int) -> tuple[int, ...]:
    """Return the shape of the bins of one frame: [PUBLISHED or UNCALIBRATED, threshold, bin, sum]."""
    return 2, thresholds, len(PROBABILITY_EDGES), len(BIN_SUMS)


def pack(array: Array) -> bytes:
    """Return an array as compressed bytes."""
    return zlib.compress(np.asarray(array, "<f8").tobytes(), 6)


def unpack(data: bytes, shape: Sequence[int]) -> Array:
    """Return the array of that shape that `pack` made into bytes; it is read-only."""
    return np.frombuffer(zlib.decompress(data), "<f8").reshape(shape)
