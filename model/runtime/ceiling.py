"""The ceiling of a forecast: the largest rain rate that it may reach."""

from __future__ import annotations

from typing import Final

import numpy as np

from model.core.normalisation import hko7_fraction
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray

HEAVIEST_QUANTILE: Final = 0.9999
"""Quantile of the wet pixels of the context that is the ceiling of the forecast."""
WET_FRACTION: Final = hko7_fraction(np.array(DRY_RAIN_RATE_MM_H))


def rain_ceiling(fraction: FloatArray) -> float:
    """Return the fraction that 1 in 10 000 wet pixels exceeds, the ceiling of the forecast; 1 if no pixel is wet.

    Without a ceiling networks let hail cores grow without end, since scores at 10 mm h-1 do not punish it. With the
    maximum as ceiling a single pixel of clutter would permit the same.
    """
    wet = fraction[fraction >= WET_FRACTION]  # NaN is not
    return float(np.quantile(wet, HEAVIEST_QUANTILE)) if wet.size else 1.0
