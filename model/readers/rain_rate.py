"""Conversion of reflectivity and accumulations to rain rate, and the attributes that describe the conversion."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile
from model.core.units import FloatArray
from model.core.zr import ZRRelation, zr_relation
from model.readers.no_data import MAX_RAIN_RATE_MM_H, check_unit, mask_implausible_dbz, max_amount_mm
from model.readers.source import ReadOptions

CAPPED: Final = "capped_pixels"
"""The attribute that counts the pixels whose reflectivity exceeded the hail cap."""
ACCUMULATION: Final = "accumulation over "
MEAN: Final = "mean over "
NO_ECHO_DBZ: Final = -10.0
"""Reflectivity below this is no rain: the lowest value that HKO-7 stores, about 0.01 mm h-1."""


def rain_rate_of_reflectivity(
    reflectivity_dbz: FloatArray, options: ReadOptions, default: ZRRelation, *, pixels: NDArray[np.uint8] | None = None
) -> tuple[FloatArray, dict[str, str]]:
    """Convert reflectivity to rain rate by a Z-R relation, with hail capped.

    Parameters
    ----------
    reflectivity_dbz
        Reflectivity (dBZ) of any shape, changed in place; NaN is no data, -inf no echo.
    options
        The requested Z-R relation and the hail cap.
    default
        The Z-R relation of the format, where none is requested.
    pixels
        8-bit pixels of any shape. Then `reflectivity_dbz` [256] is the reflectivity of each pixel value, so that the
        power is taken 256 times instead of once for each pixel.

    Returns
    -------
    rain_rate
        Rain rate (mm h-1, float32): 0 below `NO_ECHO_DBZ`, NaN for no data and for reflectivity that no atmosphere
        has (`model.readers.no_data`).
    attributes
        Quantity, Z-R relation, hail cap and the number of capped pixels.

    Raises
    ------
    InputError
        No relation has the requested name.
    """
    relation = zr_relation(options.zr) if options.zr else default
    mask_implausible_dbz(reflectivity_dbz)
    above = reflectivity_dbz > np.float32(options.max_dbz)
    capped = int(np.count_nonzero(above if pixels is None else above[pixels]))
    np.minimum(reflectivity_dbz, np.float32(options.max_dbz), out=reflectivity_dbz)
    rain = relation.rain_rate_mm_h(reflectivity_dbz)
    rain[reflectivity_dbz < NO_ECHO_DBZ] = 0.0
    # Under a high cap hail exceeds the limit of plausible rain, beyond which rates are taken for fill values.
    np.minimum(rain, np.float32(MAX_RAIN_RATE_MM_H), out=rain)
    return (rain if pixels is None else rain[pixels]), describe_reflectivity(relation, options.max_dbz, capped)


def rain_rate_of_accumulation(amount_mm: FloatArray, interval: np.timedelta64) -> FloatArray:
    """Return the mean rain rate (mm h-1) of an accumulation (mm); NaN where the amount exceeds the world's records.

    Raises
    ------
    NotARadarFile
        The interval is not positive.
    """
    hours = float(interval / np.timedelta64(1, "s")) / 3600.0
    if not hours > 0:
        raise NotARadarFile("the accumulation period does not end after it starts", hint="Correct the period")
    with np.errstate(over="ignore"):
        rain = amount_mm / np.float32(hours)
    beyond = amount_mm > max_amount_mm(hours)
    check_unit(amount_mm, beyond, "mm")
    rain[beyond] = np.nan
    return rain


def describe_reflectivity(relation: ZRRelation, max_dbz: float, capped: int) -> dict[str, str]:
    """Return the attributes of rain rate made of reflectivity."""
    counted = {CAPPED: str(capped)} if capped else {}
    return {"quantity": "reflectivity", "zr_relation": describe_zr(relation), "max_dbz": f"{max_dbz:g}", **counted}


def describe_zr(relation: ZRRelation) -> str:
    """Return the attribute `zr_relation`: `fmi: Z = 223 R^1.53`."""
    return f"{relation.name}: Z = {relation.a:g} R^{relation.b:g}"


def describe_accumulation(interval: np.timedelta64) -> str:
    """Return the attribute `quantity` of accumulations: `accumulation over 5 min`."""
    return f"{ACCUMULATION}{float(interval / np.timedelta64(1, 's')) / 60:g} min"


def describe_mean(minutes: float) -> str:
    """Return the attribute `quantity` of mean rain rates: `rain rate, mean over 60 min`."""
    return f"rain rate, {MEAN}{minutes:g} min"


def period_minutes(quantity: str) -> float | None:
    """Return the period in the attribute `quantity`, the longest of several; None of instantaneous rates."""
    found = re.findall(rf"(?:{ACCUMULATION}|{MEAN})([\d.]+(?:e[+]\d+)?) min", quantity)
    return max(map(float, found), default=None)
