"""Isotonic regression: the non-decreasing values that are closest to given ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def isotonic_regression(values: Array, weights: Array) -> Array:
    """Return the non-decreasing values with the smallest weighted squared difference to `values` [N].

    By pooling adjacent violators (Barlow et al. 1972, "Statistical inference under order restrictions").

    Parameters
    ----------
    values, weights
        In the order in which the result must not decrease; weights above 0.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, number of values
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, number = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, of_before, count = pools.pop()
            mean = (before * of_before + mean * total) / (of_before + total)
            total, number = of_before + total, number + count
        pools.append((mean, total, number))
    return np.repeat([mean for mean, _, _ in pools], [number for _, _, number in pools])
