"""The predictive distribution of rain at each pixel, given by exceedance probabilities at fixed thresholds.

P(r) is the probability of at least r mm h-1. It is linear in ln r between two thresholds (linear in reflectivity, and
in HKO-7's pixel fraction). Below the first threshold, 0.1 mm h-1, a pixel is dry: there is no rain between 0 and it.
Beyond the last threshold the excess is exponentially distributed with a given mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

THRESHOLDS_MM_H: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0)
"""The usual thresholds of a distribution, e.g. of the head of networks of rain."""
TAIL_MM_H: Final = 15.0
"""Mean excess of rain above the last threshold (mm h-1)."""
BINS: Final = 50
"""Bins of probability: a cut lies between two of them."""
MAX_BIAS: Final = 1.05
"""Largest frequency bias of the `sharp` field, by expectation. The highest CSI has a bias above 1."""
LOWEST_CUT: Final = 0.1
FEWEST_PIXELS: Final = 25.0
THIN: Final = 2
"""Every second pixel of both axes serves to find cuts."""
LEAST_PROBABILITY: Final = np.float32(1e-6)
"""Probabilities closer than this count as equal, so that no division is by 0."""


@dataclass(frozen=True, eq=False)
class RainDistribution:
    """Distributions of rain rate (mm h-1) of any number of pixels; NaN = no data.

    Attributes
    ----------
    thresholds_mm_h : tuple of float
        Rain rates, ascending.
    exceedance : ndarray
        P(rain >= threshold) [threshold, ...], in 0 to 1, not increasing along the thresholds.
    tail_mm_h : float
        Mean excess above the last threshold.
    """

    thresholds_mm_h: tuple[float, ...]
    exceedance: FloatArray
    tail_mm_h: float = TAIL_MM_H

    def expected(self) -> FloatArray:
        """Return the mean rain rate [...] (mm h-1): the integral of P(r) over r."""
        weights = mean_weights(self.thresholds_mm_h, self.tail_mm_h)
        return np.asarray(np.einsum("k...,k->...", self.exceedance, weights), np.float32)

    def median(self) -> FloatArray:
        """Return the median rain rate [...] (mm h-1)."""
        return self.sharp((0.5,) * len(self.thresholds_mm_h))

    def value_at(self, level: FloatArray | np.float32) -> FloatArray:
        """Return the rain rate [...] (mm h-1) that is exceeded with probability `level`, a number or an array [...]."""
        return self._crossing(self.exceedance - level, level)

    def sharp(self, cuts: Sequence[float]) -> FloatArray:
        """Return the rain rate [...] (mm h-1) that reaches each threshold where its probability exceeds its cut.

        Parameters
        ----------
        cuts : sequence of float
            One probability for each threshold.
        """
        lightest = self.exceedance[0]
        rain = np.where(np.isnan(lightest), np.float32(np.nan), np.float32(0))
        possible = lightest > min(cuts)  # elsewhere it is dry, mostly in most of a domain
        wet = RainDistribution(self.thresholds_mm_h, self.exceedance[:, possible], self.tail_mm_h)
        above = wet.exceedance - np.asarray(cuts, np.float32)[:, None]
        rain[possible] = wet._crossing(above, np.float32(cuts[-1]))
        return rain

    def best_cuts(self, otherwise: Sequence[float]) -> tuple[float, ...]:
        """Return, for each threshold, the cut of `sharp` whose region has the highest expected CSI.

        The distribution itself tells: a region of n pixels whose probabilities sum to H, of E in the whole field,
        expects H hits, n - H false alarms and E - H misses, so its CSI is about H / (n + E - H). It grows until the
        probability at its edge is CSI / (1 + CSI) (Lipton et al. 2014, arXiv 1402.1892, for F1): the harder an event
        is to predict, the lower is its cut. Regions are at most `MAX_BIAS` times as large as expected.

        Parameters
        ----------
        otherwise : sequence of float
            Cuts of thresholds that hardly a pixel is expected to reach.
        """
        thin = self.exceedance[:, ::THIN, ::THIN]
        cuts = []
        for probability, cut in zip(thin, otherwise, strict=True):
            expected = float(np.nansum(probability))
            if expected < FEWEST_PIXELS:
                cuts.append(float(cut))
                continue
            likely = probability[probability >= LOWEST_CUT]
            bins = np.minimum((likely * BINS).astype(np.intp), BINS - 1)
            pixels, hits = (np.bincount(bins, weights, BINS)[::-1].cumsum() for weights in (None, likely))
            csi = np.where(pixels <= MAX_BIAS * expected, hits / (pixels + expected - hits), -1.0)
            cuts.append(float(BINS - 1 - np.argmax(csi)) / BINS)
        return tuple(cuts)

    def probability_of_exceedance(self, thresholds_mm_h: Sequence[float]) -> FloatArray:
        """Return P(rain >= threshold) [threshold, ...] at other thresholds (mm h-1), all at least the first one."""
        own = self.thresholds_mm_h
        found = np.empty((len(thresholds_mm_h), *self.exceedance.shape[1:]), np.float32)
        for row, threshold in enumerate(thresholds_mm_h):
            if threshold in own:
                found[row] = self.exceedance[own.index(threshold)]
                continue
            above = int(np.searchsorted(own, threshold))
            if above == 0:
                raise ValueError(f"{threshold:g} mm/h is below the first threshold, {own[0]:g} mm/h")
            if above == len(own):
                found[row] = self.exceedance[-1] * np.float32(np.exp((own[-1] - threshold) / self.tail_mm_h))
                continue
            share = np.float32(np.log(threshold / own[above - 1]) / np.log(own[above] / own[above - 1]))
            lower, upper = self.exceedance[above - 1], self.exceedance[above]
            found[row] = upper + (1 - share) * (lower - upper)  # rounded, it still lies between them
        return found

    def _crossing(self, above: FloatArray, last_level: FloatArray | np.float32) -> FloatArray:
        """Return the rain rate at which `above` [threshold, ...], a probability minus a level, falls to 0."""
        logarithms = np.log(np.asarray(self.thresholds_mm_h, np.float64)).astype(np.float32)
        # Cuts may fall with the threshold faster than P does: what reaches a threshold has reached those below it.
        last = len(above) - 1
        reached = np.zeros(above.shape[1:], np.intp)
        wet = above[0] > 0
        for index in range(1, last + 1):
            reaches = above[index] > 0
            reached[reaches] = index
            wet |= reaches
        # The share of the segment below the crossing, where P is above the level at its lower end only.
        lower = np.take_along_axis(above, reached[None], axis=0)[0]
        upper = np.take_along_axis(above, np.minimum(reached + 1, last)[None], axis=0)[0]
        share = np.clip(lower / np.maximum(lower - upper, LEAST_PROBABILITY), 0, 1)
        share[reached == last] = 0
        widths = np.append(np.diff(logarithms), np.float32(0))
        logarithm = logarithms[reached] + widths[reached] * share
        rain: FloatArray = np.exp(logarithm)
        heaviest = above[-1] > 0
        if heaviest.any():
            level = np.broadcast_to(last_level, rain.shape)[heaviest]
            ratio = self.exceedance[-1][heaviest] / np.maximum(level, LEAST_PROBABILITY)
            rain[heaviest] += np.float32(self.tail_mm_h) * np.log(ratio)
        rain[~wet] = 0
        rain[np.isnan(above[0])] = np.nan
        return rain


def mean_weights(thresholds_mm_h: Sequence[float], tail_mm_h: float = TAIL_MM_H) -> NDArray[np.float32]:
    """Return w [threshold] such that the mean rain rate is the sum of w P over the thresholds (mm h-1).

    P(r) is P of the first threshold below it; between a and b, where it is linear in ln r, the integral is
    P(a) ((b - a) / ln(b / a) - a) + P(b) (b - (b - a) / ln(b / a)).
    """
    edges = np.asarray(thresholds_mm_h, np.float64)
    lower, upper = edges[:-1], edges[1:]
    mean = (upper - lower) / np.log(upper / lower)
    weights = np.zeros(edges.size)
    weights[0] = edges[0]
    weights[:-1] += mean - lower
    weights[1:] += upper - mean
    weights[-1] += tail_mm_h
    return weights.astype(np.float32)
