"""Units of radar rain: reflectivity (dBZ), rain rate (mm h-1) and the 8-bit pixels of HKO-7.

A Z-R relation Z = a R^b (Marshall and Palmer, 1948) joins radar reflectivity factor Z (mm6 m-3) and rain rate R.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError

FloatArray = NDArray[np.float32]

DRY_RAIN_RATE_MM_H: Final = 0.1
"""Below this, a pixel counts as dry: about the least rain rate that an operational radar composite resolves."""

MOST_DBZ: Final = 95.0
"""Where the scale of an 8-bit pixel ends; no weather reflects as much."""
DEFAULT_MAX_DBZ: Final = 55.0
"""Reflectivity above this is hail, and counts as this: 100 mm h-1 by Marshall and Palmer. The WSR-88D's default cap is
about the same rate by its own relation (53 dBZ, 104 mm h-1); by climate it is 51 to 55 dBZ (Fulton et al., 1998,
Weather and Forecasting 13)."""


@dataclass(frozen=True, kw_only=True)
class ZRRelation:
    """Z = a R^b, Z in mm6 m-3, R in mm h-1."""

    name: str
    a: float
    b: float
    source: str

    def rain_rate_mm_h(self, reflectivity_dbz: NDArray[np.floating]) -> FloatArray:
        """Rain rate (mm h-1, float32) of reflectivity (dBZ), any shape; NaN stays NaN."""
        exponent = (np.asarray(reflectivity_dbz, np.float32) - np.float32(10 * np.log10(self.a))) / np.float32(
            10 * self.b
        )
        return np.asarray(np.power(np.float32(10), exponent), np.float32)

    def reflectivity_dbz(self, rain_rate_mm_h: NDArray[np.floating]) -> FloatArray:
        """Reflectivity (dBZ, float32) of rain rate (mm h-1), any shape; no rain is -inf, NaN stays NaN."""
        rain = np.asarray(rain_rate_mm_h, np.float32)
        with np.errstate(divide="ignore"):
            return np.float32(10 * np.log10(self.a)) + np.float32(10 * self.b) * np.log10(rain)


MARSHALL_PALMER: Final = ZRRelation(
    name="marshall-palmer", a=200.0, b=1.6, source="Marshall, Langille and Palmer (1955)"
)
FMI: Final = ZRRelation(name="fmi", a=223.0, b=1.53, source="Leinonen et al. (2012), rain in Finland")
HKO7: Final = ZRRelation(name="hko7", a=58.53, b=1.56, source="Shi et al. (2017), arXiv 1706.03458")
WSR88D: Final = ZRRelation(name="wsr-88d", a=300.0, b=1.4, source="Fulton et al. (1998), convective rain")

ZR_RELATIONS: Final = MappingProxyType({zr.name: zr for zr in (MARSHALL_PALMER, FMI, HKO7, WSR88D)})


def zr_relation(name: str) -> ZRRelation:
    """The named Z-R relation.

    Raises
    ------
    InputError
        No relation has that name.
    """
    try:
        return ZR_RELATIONS[name]
    except KeyError:
        raise InputError(
            f"unknown Z-R relation {name!r}", where="zr", hint=f"Choose one of {', '.join(ZR_RELATIONS)}"
        ) from None


# HKO-7: pixel / 255 = p, dBZ = 70 p - 10 (Shi et al. 2017).
HKO7_DBZ_RANGE: Final = 70.0
HKO7_DBZ_OFFSET: Final = -10.0


# The two laws in one, p = slope ln R + offset: over whole frames every pass over the pixels counts.
_SLOPE: Final = 10 * HKO7.b / math.log(10) / HKO7_DBZ_RANGE
_OFFSET: Final = (10 * math.log10(HKO7.a) - HKO7_DBZ_OFFSET) / HKO7_DBZ_RANGE
_LEAST_MM_H: Final = np.float32(math.exp(-_OFFSET / _SLOPE))


def hko7_fraction(rain_rate_mm_h: NDArray[np.floating]) -> FloatArray:
    """Rain rate (mm h-1) as HKO-7 pixel fraction p in [0, 1] (float32); NaN stays NaN."""
    rain = np.asarray(rain_rate_mm_h, np.float32)
    fraction = np.maximum(rain, _LEAST_MM_H, out=np.empty_like(rain))
    np.log(fraction, out=fraction)
    fraction *= np.float32(_SLOPE)
    fraction += np.float32(_OFFSET)
    np.maximum(fraction, 0, out=fraction)
    return np.minimum(fraction, 1, out=fraction)


def hko7_rain_rate_mm_h(fraction: NDArray[np.floating]) -> FloatArray:
    """Rain rate (mm h-1, float32) of HKO-7 pixel fraction p in [0, 1]; p <= 0 is no rain, NaN stays NaN."""
    p = np.asarray(fraction, np.float32)
    rain = np.multiply(p, np.float32(1 / _SLOPE), out=np.empty_like(p))
    rain -= np.float32(_OFFSET / _SLOPE)
    np.exp(rain, out=rain)
    np.copyto(rain, np.float32(0), where=p <= 0)
    return rain
