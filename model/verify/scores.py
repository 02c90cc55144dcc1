"""Scores of the sums in `model.verify.accumulators`. Leading axes, such as resamples, pass through unchanged.

Contingency tables count hits a, false alarms b, misses c and correct negatives d (Wilks 2011, chapter 8); the package
`scores` (Leeuwenburg et al. 2024, doi 10.21105/joss.06889) computes the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.extras import optional_imports

Array = NDArray[np.float64]

CONTINGENCY_SCORES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "csi": "critical_success_index",  # a / (a + b + c)
        "hss": "heidke_skill_score",  # (a + d - e) / (n - e), e = ((a + c)(a + b) + (d + c)(d + b)) / n
        "pod": "probability_of_detection",  # a / (a + c)
        "far": "false_alarm_ratio",  # b / (a + b)
        "bias": "frequency_bias",  # (a + b) / (a + c)
    }
)
"""Names of scores, and the methods of `scores.categorical.BasicContingencyManager` that compute them."""


def contingency_tables(joint_histogram: Array, threshold_indices: tuple[int, ...]) -> Mapping[str, Array]:
    """Reduce a joint histogram to a contingency table for each threshold.

    Parameters
    ----------
    joint_histogram : array [.., forecast class, truth class, lead]
        Pixel counts; class n holds the values from edge n - 1 on.
    threshold_indices : tuple of int
        Indices of the edges that are thresholds.

    Returns
    -------
    mapping of str to array [.., threshold, lead]
        `tp_count` (hits), `fn_count` (misses), `fp_count` (false alarms) and `tn_count` (correct negatives).
    """
    tables: dict[str, list[Array]] = {"tp_count": [], "fn_count": [], "fp_count": [], "tn_count": []}
    for index in threshold_indices:
        event, no_event = slice(index + 1, None), slice(None, index + 1)
        for name, (forecast, truth) in {
            "tp_count": (event, event),
            "fn_count": (no_event, event),
            "fp_count": (event, no_event),
            "tn_count": (no_event, no_event),
        }.items():
            tables[name].append(joint_histogram[..., forecast, truth, :].sum(axis=(-3, -2)))
    return {name: np.stack(counts, axis=-2) for name, counts in tables.items()}


def contingency_manager() -> Callable[[Mapping[str, Any]], Any]:
    """Return `scores.categorical.BasicContingencyManager`.

    Raises
    ------
    MissingDependency
        The package `scores` is not installed.
    """
    with optional_imports("verify"):
        from scores.categorical import BasicContingencyManager
    manager: Callable[[Mapping[str, Any]], Any] = BasicContingencyManager
    return manager


def contingency_score(tables: Mapping[str, Array], name: str) -> Array:
    """Return a score of CONTINGENCY_SCORES for each table; NaN where no event was forecast or observed.

    Raises
    ------
    MissingDependency
        The package `scores` is not installed.
    """
    import xarray as xr

    manager = contingency_manager()
    counts = {cell: xr.DataArray(values) for cell, values in tables.items()}
    counts["total_count"] = sum(counts.values(), start=xr.zeros_like(counts["tp_count"]))
    values = np.asarray(getattr(manager(counts), CONTINGENCY_SCORES[name])().values, np.float64)
    # Without an event the numerator and denominator of HSS are rounding errors, whose ratio would look like a score.
    any_event = tables["tp_count"] + tables["fn_count"] + tables["fp_count"] > 0
    return np.where(np.isfinite(values) & any_event, values, np.nan)


def fss(sums: Array) -> Array:
    """Return the fractions skill score [.., threshold, window, lead] (Roberts and Lean 2008, eq. 6).

    Parameters
    ----------
    sums : array [.., 2, threshold, window, lead]
        Sums of (Pf - Po)^2 and of Pf^2 + Po^2; see `Accumulators`.
    """
    return 1 - ratio(sums[..., 0, :, :, :], sums[..., 1, :, :, :])


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


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
