"""Contingency tables of the sums in `model.verify.accumulators`. Leading axes pass through unchanged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
