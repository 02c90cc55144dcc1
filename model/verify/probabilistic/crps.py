"""The continuous ranked probability score (CRPS, mm h-1) of a distribution, and the energy score of members.

CRPS = integral of (P(r) - 1[r < y])^2 dr over r >= 0, with the exceedance probability P and the truth y (Matheson and
Winkler 1976, doi 10.1287/mnsc.22.10.1087). For a single forecast it is the absolute error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.core.rain_distribution import RainDistribution
from model.core.units import FloatArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Segments:
    """Exact integrals of P and P^2 over each segment between thresholds a < b, where P is linear in ln r.

    With s = ln(r / a) / ln(b / a), P = P(a) + (P(b) - P(a)) s.
    """

    edges: tuple[float, ...]

    @cached_property
    def width(self) -> Array:
        """Integral of 1 dr."""
        return np.diff(np.asarray(self.edges, np.float64))

    @cached_property
    def log_width(self) -> Array:
        """Return ln(b / a)."""
        return np.diff(np.log(np.asarray(self.edges, np.float64)))

    @cached_property
    def first(self) -> Array:
        """Integral of s dr."""
        return np.asarray(self.edges[1:]) - self.width / self.log_width

    @cached_property
    def second(self) -> Array:
        """Integral of s^2 dr."""
        upper = np.asarray(self.edges[1:])
        return upper - 2 * upper / self.log_width + 2 * self.width / self.log_width**2


def distribution_crps(distribution: RainDistribution, truth: FloatArray) -> Array:
    """Return the CRPS of distributions, exact under their interpolation (`model.core.rain_distribution`).

    Expanding the square, CRPS = y + integral of P^2 - 2 integral of P from 0 to y.

    Parameters
    ----------
    distribution : RainDistribution
        Of N pixels, `exceedance` [threshold, N], without NaN.
    truth : array [N]
        Rain rate (mm h-1), without NaN.

    Returns
    -------
    array [N]
        mm h-1.
    """
    edges = distribution.thresholds_mm_h
    probability = np.asarray(distribution.exceedance, np.float64)
    rain = np.asarray(truth, np.float64)
    segments = _Segments(edges)
    # Below the first threshold P is constant.
    squares = probability[0] ** 2 * edges[0]
    below = probability[0] * np.minimum(rain, edges[0])
    for index, lower in enumerate(edges[:-1]):
        start, change = probability[index], probability[index + 1] - probability[index]
        squares += start**2 * segments.width[index] + 2 * start * change * segments.first[index]
        squares += change**2 * segments.second[index]
        reached = np.clip(rain, lower, edges[index + 1])
        share = (reached * np.log(reached / lower) - (reached - lower)) / segments.log_width[index]
        below += start * (reached - lower) + change * share
    tail = distribution.tail_mm_h
    squares += probability[-1] ** 2 * tail / 2
    below += probability[-1] * tail * -np.expm1(-np.maximum(rain - edges[-1], 0) / tail)
    return np.asarray(rain + squares - 2 * below)


def fair_energy_score(members: FloatArray, truth: FloatArray) -> float:
    """Return the energy score of members of a vector, without the penalty for their number.

    mean ||x - y|| - sum over pairs ||x - x'|| / (2 m (m - 1)), in norms of the root mean square over the vector
    (Gneiting and Raftery 2007, doi 10.1198/016214506000001437, section 4.3).

    Parameters
    ----------
    members : array [realization, element]
        Without NaN.
    truth : array [element]
        Without NaN.
    """
    values = np.asarray(members, np.float64)
    count, length = values.shape
    error = np.linalg.norm(values - truth, axis=1).mean()
    if count < 2:
        return float(error / np.sqrt(length))
    pairs = sum(np.linalg.norm(values[index + 1 :] - values[index], axis=1).sum() for index in range(count - 1))
    return float((error - pairs / (count * (count - 1))) / np.sqrt(length))
