"""The scale on which networks see rain: HKO-7's pixel fraction p in [0, 1], and its inverse.

An HKO-7 pixel holds reflectivity, 70 p - 10 dBZ with p = pixel / 255, and dBZ = 10 log10(a) + 10 b log10(R) with a and
b of HKO-7's own Z-R relation (Shi et al., 2017, arXiv 1706.03458).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.core.zr import HKO7

HKO7_DBZ_RANGE: Final = 70.0
HKO7_DBZ_OFFSET: Final = -10.0

# Both laws in one, p = slope * ln R + offset: every pass over the pixels of whole frames takes time.
_SLOPE: Final = 10 * HKO7.b / math.log(10) / HKO7_DBZ_RANGE
_OFFSET: Final = (10 * math.log10(HKO7.a) - HKO7_DBZ_OFFSET) / HKO7_DBZ_RANGE
_MIN_MM_H: Final = np.float32(math.exp(-_OFFSET / _SLOPE))
"""The rain rate of p = 0."""


def hko7_fraction(rain_rate_mm_h: NDArray[np.floating]) -> FloatArray:
    """Return rain rate (mm h-1, any shape) as HKO-7's pixel fraction in [0, 1] (float32); NaN stays NaN."""
    rain = np.asarray(rain_rate_mm_h, np.float32)
    fraction = np.maximum(rain, _MIN_MM_H, out=np.empty_like(rain))
    np.log(fraction, out=fraction)
    fraction *= np.float32(_SLOPE)
    fraction += np.float32(_OFFSET)
    np.maximum(fraction, 0, out=fraction)
    return np.minimum(fraction, 1, out=fraction)


def hko7_rain_rate_mm_h(fraction: NDArray[np.floating]) -> FloatArray:
    """Return the rain rate (mm h-1, float32) of HKO-7's pixel fraction; p <= 0 is no rain, NaN stays NaN."""
    p = np.asarray(fraction, np.float32)
    rain = np.multiply(p, np.float32(1 / _SLOPE), out=np.empty_like(p))
    rain -= np.float32(_OFFSET / _SLOPE)
    np.exp(rain, out=rain)
    np.copyto(rain, np.float32(0), where=p <= 0)
    return rain
