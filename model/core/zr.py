"""Z-R relations, Z = a R^b: radar reflectivity factor Z (mm6 m-3) to rain rate R (mm h-1) and back.

Marshall and Palmer (1948), "The distribution of raindrops with size", Journal of Meteorology 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.units import FloatArray


@dataclass(frozen=True, kw_only=True)
class ZRRelation:
    """Z = a R^b, with Z in mm6 m-3 and R in mm h-1."""

    name: str
    a: float
    b: float
    source: str

    def rain_rate_mm_h(self, reflectivity_dbz: NDArray[np.floating]) -> FloatArray:
        """Return the rain rate (mm h-1, float32) of reflectivity (dBZ) of any shape; NaN stays NaN."""
        dbz = np.asarray(reflectivity_dbz, np.float32)
        exponent = (dbz - np.float32(10 * np.log10(self.a))) / np.float32(10 * self.b)
        return np.asarray(np.power(np.float32(10), exponent), np.float32)

    def reflectivity_dbz(self, rain_rate_mm_h: NDArray[np.floating]) -> FloatArray:
        """Return the reflectivity (dBZ, float32) of a rain rate of any shape; no rain gives -inf, NaN stays NaN."""
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
    """Return the Z-R relation of that name.

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
