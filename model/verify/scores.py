"""Scores of sums (`model.verify.tally`). Axes before the named ones are kept: draws of blocks, for instance.

Scores of contingency tables (Wilks 2011, chapter 8) are those of the package `scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.extras import optional_imports

Array = NDArray[np.float64]

CONTINGENCY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "csi": "critical_success_index",
        "hss": "heidke_skill_score",
        "pod": "probability_of_detection",
        "far": "false_alarm_ratio",
        "bias": "frequency_bias",
    }
)
"""Our names of scores, and those of `scores.categorical.BasicContingencyManager`."""


def tables(classes: Array, events: tuple[int, ...]) -> Mapping[str, Array]:
    """Contingency tables [.., threshold, lead] of counts by class [.., forecast class, truth class, lead].

    `events` are indices of the edges that are thresholds: class n is at or above the edge n - 1.
    """
    cells: dict[str, list[Array]] = {"tp_count": [], "fn_count": [], "fp_count": [], "tn_count": []}
    for event in events:
        above, below = slice(event + 1, None), slice(None, event + 1)
        for name, (foreseen, observed) in {
            "tp_count": (above, above),
            "fn_count": (below, above),
            "fp_count": (above, below),
            "tn_count": (below, below),
        }.items():
            cells[name].append(classes[..., foreseen, observed, :].sum(axis=(-3, -2)))
    return {name: np.stack(found, axis=-2) for name, found in cells.items()}


def contingency_manager() -> Callable[[Mapping[str, Any]], Any]:
    """`scores.categorical.BasicContingencyManager`. Asked for before hours of forecasts, not after.

    Raises
    ------
    MissingDependency
        The package `scores` is not installed.
    """
    with optional_imports("verify"):
        from scores.categorical import BasicContingencyManager
    manager: Callable[[Mapping[str, Any]], Any] = BasicContingencyManager
    return manager


def contingency(cells: Mapping[str, Array], score: str) -> Array:
    """The score of CONTINGENCY, of each of the tables; NaN where there is nothing to count.

    Raises
    ------
    MissingDependency
        The package `scores` is not installed.
    """
    import xarray as xr

    manager = contingency_manager()
    counts = {name: xr.DataArray(values) for name, values in cells.items()}
    counts["total_count"] = sum(counts.values(), start=xr.zeros_like(counts["tp_count"]))
    values = np.asarray(getattr(manager(counts), CONTINGENCY[score])().values, np.float64)
    any_event = cells["tp_count"] + cells["fn_count"] + cells["fp_count"] > 0  # without one, HSS is 0 / rounding
    return np.where(np.isfinite(values) & any_event, values, np.nan)


def fss(sums: Array) -> Array:
    """Fractions skill score [.., threshold, window, lead] of `fss` sums [.., 2, threshold, window, lead]."""
    return 1 - ratio(sums[..., 0, :, :, :], sums[..., 1, :, :, :])


def ratio(part: Array, whole: Array) -> Array:
    """part / whole; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    found = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def mean_over_leads(score: Array) -> Array:
    """Mean over the last axis, of the leads that have a score; NaN where none has."""
    known = np.isfinite(score)
    return ratio(np.where(known, score, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def paired_means(one: Array, other: Array) -> tuple[Array, Array]:
    """Means over the last axis of two models' scores, each of those places where both have one; NaN where none is.

    A model that stays dry has no CSI where nothing fell, and one with a single false alarm has 0: the mean of each over
    its own places would set the one against what was never asked of the other.
    """
    both = np.isfinite(one) & np.isfinite(other)
    first, second = (mean_over_leads(np.where(both, score, np.nan)) for score in (one, other))
    return first, second
