"""Intervals by bootstrap over blocks of time (Efron and Tibshirani 1993; for paired scores, Hamill 1999).

Whole blocks are drawn with replacement, as many as there are, and their sums added up; a score is a function of those
sums. Pixels and start times of one day are not independent of each other, days nearly are. Models are compared on
the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1000
SEED: Final = 7
LOW, HIGH = 2.5, 97.5
FEWEST_DAYS: Final = 5
FEWEST_BLOCKS: Final = 3
"""Of fewer there is no interval: one block is always drawn as it is, and of two there are but three draws."""

FEWEST_KNOWN: Final = 0.75
"""Nor is there where fewer of the draws have a score. That of one block alone, of many, is in 63 to 70 % of them."""

SHORT_BLOCK_HOURS: Final = 3


@dataclass(frozen=True)
class Interval:
    """A value, and between what it lies in 95 % of the draws. NaN where there was nothing to count, or bounds alone
    where there were too few blocks to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervals:
    """An Interval for each element of arrays of one shape."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, *place: int) -> Interval:
        """One of them."""
        return Interval(float(self.value[place]), float(self.low[place]), float(self.high[place]))


def draws(blocks: int) -> NDArray[np.float64]:
    """How often each block counts [1 + RESAMPLES, block]: first each once, then as drawn. Always the same draws.

    Fewer than FEWEST_BLOCKS are not drawn from: [1, block].
    """
    if blocks < FEWEST_BLOCKS:
        return np.ones((1, blocks))
    drawn = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    return np.concatenate([np.ones((1, blocks)), drawn])


def interval_of(samples: NDArray[np.float64]) -> Intervals:
    """From a score under each of `draws` [draw, ..]; draws with nothing to count are left out."""
    drawn = samples[1:].reshape(len(samples) - 1, samples[0].size)
    bounds = np.full((2, samples[0].size), np.nan)
    known = np.isfinite(drawn).sum(axis=0) >= max(1, FEWEST_KNOWN * len(drawn))
    known &= np.isfinite(samples[0].reshape(-1))
    if known.any():
        bounds[:, known] = np.nanpercentile(drawn[:, known], (LOW, HIGH), axis=0)
    low, high = bounds.reshape(2, *samples.shape[1:])
    return Intervals(value=samples[0], low=low, high=high)


def block_of(start: np.datetime64, *, short: bool) -> np.datetime64:
    """The block that a start time (UTC) is in: its day, or the three hours of it."""
    day = start.astype("datetime64[D]")
    if not short:
        return np.datetime64(day)
    hours = (start - day) // np.timedelta64(1, "h")
    return np.datetime64(day.astype("datetime64[h]") + int(hours) // SHORT_BLOCK_HOURS * SHORT_BLOCK_HOURS)
