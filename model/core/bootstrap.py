"""Confidence intervals by block bootstrap (Efron and Tibshirani 1993; for paired scores, Hamill 1999).

A resample draws whole blocks of time with replacement, as many as there are, and adds up their sums; a score is a
function of those sums. Pixels and start times of one day depend on each other, days hardly do. All models share the
same resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1000
SEED: Final = 7
PERCENTILES: Final = (2.5, 97.5)
MIN_DAYS: Final = 5
"""With fewer days, blocks are shorter than a day."""
MIN_BLOCKS: Final = 3
"""With fewer blocks there is no interval: one block gives one resample, and two give only three different ones."""

MIN_KNOWN_SHARE: Final = 0.75
"""Share of the resamples that must have a score. A score that depends on one block among many is in 63 to 70 %."""

SHORT_BLOCK_HOURS: Final = 3


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its 95 % interval.

    All are NaN without an event to count; the bounds alone are NaN with too few blocks.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalArrays:
    """Values and the bounds of their 95 % intervals, as arrays of one shape."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, *index: int) -> Interval:
        """Return the interval at an index."""
        return Interval(float(self.value[index]), float(self.low[index]), float(self.high[index]))


def block_weights(blocks: int) -> NDArray[np.float64]:
    """Return how often each block counts [1 + RESAMPLES, block].

    The first row counts each block once; the others are resamples, the same in every run. With fewer than `MIN_BLOCKS`
    blocks there is only the first row.
    """
    if blocks < MIN_BLOCKS:
        return np.ones((1, blocks))
    resamples = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    return np.concatenate([np.ones((1, blocks)), resamples])


def confidence_intervals(samples: NDArray[np.float64]) -> IntervalArrays:
    """Return the 95 % percentile intervals of a score.

    Parameters
    ----------
    samples : array [1 + RESAMPLES, ..]
        The score under each row of `block_weights`; NaN where a resample has nothing to count, and is left out.

    Returns
    -------
    IntervalArrays
        Arrays of the shape of one sample.
    """
    resamples = samples[1:].reshape(len(samples) - 1, samples[0].size)
    bounds = np.full((2, samples[0].size), np.nan)
    known = np.isfinite(resamples).sum(axis=0) >= max(1, MIN_KNOWN_SHARE * len(resamples))
    known &= np.isfinite(samples[0].reshape(-1))
    if known.any():
        bounds[:, known] = np.nanpercentile(resamples[:, known], PERCENTILES, axis=0)
    low, high = bounds.reshape(2, *samples.shape[1:])
    return IntervalArrays(value=samples[0], low=low, high=high)


def time_block(start: np.datetime64, *, short: bool) -> np.datetime64:
    """Return the block of a start time (UTC): its day or, if `short`, its interval of three hours."""
    day = start.astype("datetime64[D]")
    if not short:
        return np.datetime64(day)
    hours = (start - day) // np.timedelta64(1, "h")
    return np.datetime64(day.astype("datetime64[h]") + int(hours) // SHORT_BLOCK_HOURS * SHORT_BLOCK_HOURS)
