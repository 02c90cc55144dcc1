"""No data: values beyond what any atmosphere holds are fill values that a file does not declare.

- Reflectivity below -99.5 dBZ (-99.9, -999, -9999) or from 95 dBZ on, the end of the usual 8-bit scale
  (0.5 * 255 - 32.5), where 255 is mostly no data. Reflectivity between -99.5 dBZ and the weakest rain is no echo: MRMS
  writes -99 where its radars received nothing.
- Rain rate above 2000 mm h-1. The wettest minute on record, 31.2 mm at Unionville in 1956, is 1872 mm h-1.
- Amounts above the envelope of the world's records, 491 mm times about the square root of the hours: WMO (2009),
  "Manual on Estimation of Probable Maximum Precipitation", WMO-No. 1045, annex II.

Reflectivity above the hail cap counts as the cap: see `model.core.units.DEFAULT_MAX_DBZ`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NotARadarFile
from model.core.units import DEFAULT_MAX_DBZ, MAX_VALID_DBZ, FloatArray

MIN_VALID_DBZ: Final = -99.5
ROUNDING_DBZ: Final = 1e-3
MAX_RAIN_RATE_MM_H: Final = 2000.0
MIN_RAIN_RATE_MM_H: Final = -0.05
"""Packing turns zeros into small negative rates; lower rates are fill values."""
MAX_FILL_VALUES: Final = 8
"""Fill values are few different numbers; a wrong unit makes many."""


def check_max_dbz(max_dbz: float) -> float:
    """Return the hail cap (dBZ) after a check.

    Raises
    ------
    InputError
        The cap is not above 0 dBZ or exceeds `MAX_VALID_DBZ`.
    """
    if not 0 < max_dbz <= MAX_VALID_DBZ:
        raise InputError(
            f"a reflectivity cap of {max_dbz:g} dBZ is not above 0 and at most {MAX_VALID_DBZ:g}",
            where="max_dbz (--max-dbz, ECHOCAST_MAX_DBZ)",
            hint=f"Leave it out for {DEFAULT_MAX_DBZ:g}, or give 53 to 55; {MAX_VALID_DBZ:g} caps nothing",
        )
    return max_dbz


def mask_implausible_dbz(reflectivity_dbz: FloatArray) -> None:
    """Set implausible reflectivity to NaN, in place; -inf, no echo, stays."""
    fill = (reflectivity_dbz < MIN_VALID_DBZ) & (reflectivity_dbz > -np.inf)
    reflectivity_dbz[fill | (reflectivity_dbz > np.float32(MAX_VALID_DBZ - ROUNDING_DBZ))] = np.nan


def mask_implausible_rain_rate(rain_rate_mm_h: FloatArray) -> None:
    """Set implausible rain rate to NaN and the small negatives of packing to 0, in place.

    Raises
    ------
    NotARadarFile
        The unit is wrong; see `check_unit`.
    """
    # fmin and fmax ignore NaN without the copies that nanmin and nanmax make.
    least, most = (float(reduce(rain_rate_mm_h, axis=None, initial=0.0)) for reduce in (np.fmin.reduce, np.fmax.reduce))
    if least >= 0 and most <= MAX_RAIN_RATE_MM_H:
        return
    check_unit(rain_rate_mm_h, rain_rate_mm_h > np.float32(MAX_RAIN_RATE_MM_H), "mm/h")
    rain_rate_mm_h[~((rain_rate_mm_h >= MIN_RAIN_RATE_MM_H) & (rain_rate_mm_h <= MAX_RAIN_RATE_MM_H))] = np.nan
    np.maximum(rain_rate_mm_h, 0, out=rain_rate_mm_h)


def check_unit(rain: FloatArray, beyond: NDArray[np.bool_], unit: str) -> None:
    """Check that pixels `beyond` the records hold fill values, and not rain in a wrong unit.

    Raises
    ------
    NotARadarFile
        Most rain is beyond the records, in more than `MAX_FILL_VALUES` different values.
    """
    many = int(np.count_nonzero(beyond))
    if many <= np.count_nonzero((rain > 0) & ~beyond):
        return
    values = rain[beyond]
    if np.unique(values[:: max(1, values.size // 4096)]).size > MAX_FILL_VALUES:
        raise NotARadarFile(
            f"{many:,} pixels hold more rain than any record, up to {float(values.max()):.3g} {unit}; fewer hold less",
            hint="Correct the unit in the file",
        )


def max_amount_mm(hours: float) -> float:
    """Return the largest plausible amount of rain (mm) in so many hours."""
    return float(min(MAX_RAIN_RATE_MM_H * hours, 491.0 * hours**0.452))
