"""Units of radar rain: reflectivity (dBZ), rain rate (mm h-1) and the 8-bit pixels of HKO-7.

A Z-R relation Z = a R^b (Marshall and Palmer, 1948) joins radar reflectivity factor Z (mm6 m-3) and rain rate R.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError

FloatArray = NDArray[np.float32]

DRY_RAIN_RATE_MM_H: Final = 0.1
"""Below this, a pixel counts as dry: about the least rain rate that an operational radar composite resolves."""


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

    Raises:
        InputError: no relation has that name.
    """
    try:
        return ZR_RELATIONS[name]
    except KeyError:
        raise InputError(
            f"unknown Z-R relation {name!r}", where="zr", mend=f"Choose one of {', '.join(ZR_RELATIONS)}"
        ) from None


# HKO-7: pixel / 255 = p, dBZ = 70 p - 10 (Shi et al. 2017).
HKO7_DBZ_RANGE: Final = 70.0
HKO7_DBZ_OFFSET: Final = -10.0


def hko7_fraction(rain_rate_mm_h: NDArray[np.floating]) -> FloatArray:
    """Rain rate (mm h-1) as HKO-7 pixel fraction p in [0, 1] (float32); NaN stays NaN."""
    dbz = HKO7.reflectivity_dbz(rain_rate_mm_h)
    fraction = (dbz - np.float32(HKO7_DBZ_OFFSET)) / np.float32(HKO7_DBZ_RANGE)
    return np.asarray(np.clip(fraction, 0, 1), np.float32)


def hko7_rain_rate_mm_h(fraction: NDArray[np.floating]) -> FloatArray:
    """Rain rate (mm h-1, float32) of HKO-7 pixel fraction p in [0, 1]; p <= 0 is no rain, NaN stays NaN."""
    p = np.asarray(fraction, np.float32)
    rain = HKO7.rain_rate_mm_h(p * np.float32(HKO7_DBZ_RANGE) + np.float32(HKO7_DBZ_OFFSET))
    return np.asarray(np.where(p <= 0, np.float32(0), rain), np.float32)
