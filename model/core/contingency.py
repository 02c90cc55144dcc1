"""Scores of counts: contingency tables, fractions skill score. Leading axes, such as resamples, pass through unchanged.

Contingency tables count hits a, false alarms b, misses c and correct negatives d (Wilks 2011, chapter 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def _heidke(a: Array, b: Array, c: Array, d: Array) -> Array:
    n = a + b + c + d
    by_chance = ratio((a + c) * (a + b) + (d + c) * (d + b), n)
    return ratio(a + d - by_chance, n - by_chance)


CONTINGENCY_SCORES: Final[Mapping[str, Callable[[Array, Array, Array, Array], Array]]] = MappingProxyType(
    {
        "csi": lambda a, b, c, d: ratio(a, a + b + c),
        "hss": _heidke,
        "pod": lambda a, b, c, d: ratio(a, a + c),
        "far": lambda a, b, c, d: ratio(b, a + b),
        "bias": lambda a, b, c, d: ratio(a + b, a + c),
    }
)
"""Scores by name, as functions of hits, false alarms, misses and correct negatives."""


def contingency_score(tables: Mapping[str, Array], name: str) -> Array:
    """Return a score of CONTINGENCY_SCORES for each table; NaN where no event was forecast or observed.

    Parameters
    ----------
    tables : mapping of str to array [..]
        `tp_count` (hits), `fp_count` (false alarms), `fn_count` (misses) and `tn_count` (correct negatives).
    name : str
        Name of the score.
    """
    a, b, c, d = (np.asarray(tables[cell], np.float64) for cell in ("tp_count", "fp_count", "fn_count", "tn_count"))
    # Without an event the numerator and denominator of HSS are rounding errors, whose ratio would look like a score.
    return np.where(a + b + c > 0, CONTINGENCY_SCORES[name](a, b, c, d), np.nan)


def fss(sums: Array) -> Array:
    """Return the fractions skill score [.., threshold, window, lead] (Roberts and Lean 2008, eq. 6).

    Parameters
    ----------
    sums : array [.., 2, threshold, window, lead]
        Sums of (Pf - Po)^2 and of Pf^2 + Po^2, where Pf and Po are the shares of forecast and true events in a window.
    """
    return 1 - ratio(sums[..., 0, :, :, :], sums[..., 1, :, :, :])


def mean_over_leads(score: Array) -> Array:
    """Return the mean over the last axis of the leads that have a score; NaN where none has."""
    known = np.isfinite(score)
    return ratio(np.where(known, score, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def paired_means(one: Array, other: Array) -> tuple[Array, Array]:
    """Return the means over the last axis of two models' scores, at the places where both have a score; else NaN.

    A model that stays dry has no CSI at a lead without rain; a model with a single false alarm there has a CSI of 0.
    Means over different leads would therefore compare the one with what the other was not scored on.
    """
    both = np.isfinite(one) & np.isfinite(other)
    first, second = (mean_over_leads(np.where(both, score, np.nan)) for score in (one, other))
    return first, second
