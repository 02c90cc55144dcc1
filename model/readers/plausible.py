"""What no atmosphere holds is not data: values beyond these limits are fill values that nobody declared.

- Reflectivity below -99.5 dBZ (-99.9, -999, -9999) or from 95 dBZ on, where the usual scale of an 8-bit pixel ends
  (0.5 * 255 - 32.5) and 255 is mostly no data. What lies between that and the least rain is no echo: MRMS writes -99
  where its radars looked and saw nothing.
- Rain rate above 2000 mm h-1. The wettest minute on record, 31.2 mm at Unionville in 1956, is 1872 mm h-1.
- Amounts above the envelope of the world's records, 491 mm times the square root (nearly) of the hours: WMO (2009),
  "Manual on Estimation of Probable Maximum Precipitation", WMO-No. 1045, annex II.

Reflectivity above the cap is hail, not rain, and counts as the cap: see `DEFAULT_MAX_DBZ`.

Nor has a radar seen anything before there were radars, or ahead of the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import FutureFrame, InputError, NotARadarFile
from model.core.units import DEFAULT_MAX_DBZ, MAX_VALID_DBZ, FloatArray

LEAST_DBZ: Final = -99.5
ROUNDING_DBZ: Final = 1e-3
MOST_MM_H: Final = 2000.0
MOST_FILL_VALUES: Final = 8
"""Values that mark missing data are few; a wrong unit makes many."""
LEAST_MM_H: Final = -0.05
"""What packing makes of zero; further below, a negative rain rate is a fill value."""
FIRST_RADAR: Final = np.datetime64("1940-01-01T00:00")
CLOCKS_DIFFER: Final = np.timedelta64(15, "m")
"""Valid times may be this far ahead of our clock: clocks differ, and some services name the end of a period early.
Local time of the eastern hemisphere, written as UTC, is further ahead."""


def check_max_dbz(max_dbz: float) -> float:
    """`max_dbz`, where it is one.

    Raises
    ------
    InputError
        It is not above 0 dBZ and at most `MAX_VALID_DBZ`.
    """
    if not 0 < max_dbz <= MAX_VALID_DBZ:
        raise InputError(
            f"a reflectivity cap of {max_dbz:g} dBZ is not above 0 and at most {MAX_VALID_DBZ:g}",
            where="max_dbz (--max-dbz, ECHOCAST_MAX_DBZ)",
            hint=f"Leave it out for {DEFAULT_MAX_DBZ:g}, or give 53 to 55; {MAX_VALID_DBZ:g} caps nothing",
        )
    return max_dbz


def drop_implausible_dbz(reflectivity_dbz: FloatArray) -> None:
    """In place: reflectivity that cannot be is NaN; -inf, no echo at all, stays."""
    unreal = (reflectivity_dbz < LEAST_DBZ) & (reflectivity_dbz > -np.inf)
    reflectivity_dbz[unreal | (reflectivity_dbz > np.float32(MAX_VALID_DBZ - ROUNDING_DBZ))] = np.nan


def drop_implausible_rates(rain_rate_mm_h: FloatArray) -> None:
    """In place: what cannot be rain is NaN: infinities, fill values; negatives that packing makes of zero are zero.

    Raises
    ------
    NotARadarFile
        See `check_unit`.
    """
    # fmin and fmax pass over NaN without the copies that nanmin and nanmax make.
    least, most = (float(reduce(rain_rate_mm_h, axis=None, initial=0.0)) for reduce in (np.fmin.reduce, np.fmax.reduce))
    if least >= 0 and most <= MOST_MM_H:
        return
    check_unit(rain_rate_mm_h, rain_rate_mm_h > np.float32(MOST_MM_H), "mm/h")
    rain_rate_mm_h[~((rain_rate_mm_h >= LEAST_MM_H) & (rain_rate_mm_h <= MOST_MM_H))] = np.nan
    np.maximum(rain_rate_mm_h, 0, out=rain_rate_mm_h)


def check_unit(rain: FloatArray, beyond: NDArray[np.bool_], unit: str) -> None:
    """Refuse rain most of which is `beyond` all that ever fell, in too many values to be fill values.

    Raises
    ------
    NotARadarFile
        It is so.
    """
    many = int(np.count_nonzero(beyond))
    if many <= np.count_nonzero((rain > 0) & ~beyond):
        return
    values = rain[beyond]
    if np.unique(values[:: max(1, values.size // 4096)]).size > MOST_FILL_VALUES:
        raise NotARadarFile(
            f"{many:,} pixels hold more rain than ever fell, up to {float(values.max()):.3g} {unit}, fewer hold less",
            hint="Correct the unit in the file",
        )


def most_mm(hours: float) -> float:
    """The largest amount of rain (mm) that may fall in so many hours."""
    return float(min(MOST_MM_H * hours, 491.0 * hours**0.452))


def plausible_time(moment: datetime) -> np.datetime64:
    """A valid time (UTC, without zone), datetime64[ns]. Years that such a number cannot hold are refused, too.

    Raises
    ------
    NotARadarFile
        It is before the first weather radars.
    FutureFrame
        It is ahead of the clock.
    """
    check_times(np.array([moment], "datetime64[us]"))
    return np.datetime64(moment, "ns")


def check_times(times: NDArray[np.datetime64]) -> None:
    """Refuse valid times (UTC) that no radar has seen.

    Raises
    ------
    NotARadarFile
        One is before the first weather radars.
    FutureFrame
        One is ahead of the clock by more than clocks differ.
    """
    if (early := times[times < FIRST_RADAR]).size:
        raise NotARadarFile(
            f"its time {_minute(early[0])} is before there were weather radars", hint="Correct its times"
        )
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None))
    if (ahead := times[times > now + CLOCKS_DIFFER]).size:
        raise FutureFrame(
            f"its time {_minute(ahead[0])} is ahead of this machine's clock, {_minute(now)}",
            hint="Times must be UTC: correct those in the file, or set the clock",
        )


def _minute(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='m')}Z"


def plausible_times(moments: Sequence[tuple[int, ...]], name: str) -> NDArray[np.datetime64]:
    """`plausible_time` of each (year, month, day, hour, minute, second, microsecond).

    Raises
    ------
    NotARadarFile
        One is no date at all, or none that a radar can have seen.
    """
    try:
        dates = [datetime(*moment) for moment in moments]  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError as error:
        raise NotARadarFile(f"{name} holds a time that is none ({error})", hint="Correct its times") from None
    times = np.array([plausible_time(date) for date in dates], "datetime64[us]")
    # Days in floating point are some microseconds off; no frame is dated that closely.
    return (times + np.timedelta64(500, "us")).astype("datetime64[ms]").astype("datetime64[ns]")
