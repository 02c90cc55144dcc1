"""Interpretation of GRIB2 keys: parameter, observation or forecast, grid and valid time."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.core.units import FloatArray
from model.readers.georeferencing import MAX_OFFSET_PX, ROUNDING_PX
from model.readers.limits import FETCH_AGAIN
from model.readers.observation_times import observation_time
from model.readers.source import GIVE_OBSERVATIONS

RAIN_ALONE: Final = "rprate"
"""Rain precipitation rate: the parameter that leaves snow out."""
RATES_MM_H: Final[dict[tuple[int, int, int], tuple[str, float]]] = {
    (209, 6, 1): ("PrecipRate", 1.0),
    (0, 1, 7): ("prate", 3600.0),
    (0, 1, 52): ("tprate", 3600.0),
    (0, 1, 65): (RAIN_ALONE, 3600.0),
}
"""(discipline, category, number): name, and factor from the unit (mm h-1; kg m-2 s-1) to mm h-1."""
MRMS: Final = 209
OBSERVATION_TIME: Final = 3
"""Code table 1.2, significance of reference time."""
OBSERVATION: Final = 8
FORECAST_PROCESSES: Final = MappingProxyType(
    {
        2: "forecast",
        3: "bias-corrected forecast",
        4: "ensemble forecast",
        5: "probability forecast",
        10: "probability-weighted forecast",
        11: "bias-corrected ensemble forecast",
        13: "post-processed forecast",
        14: "nowcast",
        15: "hindcast",
    }
)
"""Code table 4.3, type of generating process."""
FORECAST_DATA: Final = MappingProxyType(
    {1: "forecast", 3: "control forecast", 4: "perturbed forecast", 5: "control and perturbed forecasts"}
)
"""Code table 1.4, type of processed data."""
MINUTES: Final = MappingProxyType({0: 1.0, 1: 60.0, 2: 1440.0, 10: 180.0, 11: 360.0, 12: 720.0, 13: 1 / 60})
"""Code table 4.4, unit of time ranges."""
MAX_NEGATIVE_ZERO_MM_H: Final = 0.05
"""Packing and interpolation turn zeros into negative rates up to this size; the codes of no data start at -1."""
MAX_ROUNDING_MM_H: Final = 0.5


def parameter(keys: dict[str, Any]) -> tuple[str, float | None]:
    """Return the name of the parameter, and the factor to mm h-1 where it is a precipitation rate."""
    code = tuple(int(keys.get(key, -1)) for key in ("discipline", "parameterCategory", "parameterNumber"))
    if keys.get("edition") == 2 and code in RATES_MM_H:
        return RATES_MM_H[code]
    name = str(keys.get("shortName", "unknown"))
    return (f"parameter {'/'.join(map(str, code))}" if name == "unknown" else name), None


def check_observed(keys: dict[str, Any]) -> None:
    """Refuse a forecast: a message valid after its reference time, or made as a forecast.

    Raises
    ------
    NotARadarFile
        The message is a forecast.
    """
    process, data = (int(keys.get(key, 255)) for key in ("typeOfGeneratingProcess", "typeOfProcessedData"))
    if int(keys.get("forecastTime") or 0) > 0:
        reason = "the message is valid after the reference time"
    elif keys.get("discipline") == MRMS or process == OBSERVATION:
        return
    elif keys.get("significanceOfReferenceTime") != OBSERVATION_TIME and _date_and_clock(
        keys, "validity"
    ) > _date_and_clock(keys, "data"):
        reason = "the period ends after the reference time"
    elif process in FORECAST_PROCESSES:
        reason = f"the generating process is {FORECAST_PROCESSES[process]}"
    elif data in FORECAST_DATA and keys.get("significanceOfReferenceTime") != OBSERVATION_TIME:
        reason = f"the type of data is {FORECAST_DATA[data]}"
    else:
        return
    raise NotARadarFile(f"this is a forecast: {reason}", hint=GIVE_OBSERVATIONS)


def mean_minutes(keys: dict[str, Any]) -> float | None:
    """Return the minutes over which the rate is a mean, None of instantaneous rates."""
    unit = MINUTES.get(int(keys.get("indicatorOfUnitForTimeRange", 255)))
    return None if unit is None else int(keys.get("lengthOfTimeRange") or 0) * unit or None


def rain_rate(values: FloatArray, factor: float, keys: dict[str, Any]) -> FloatArray:
    """Return the rain rate (mm h-1) [y, x] with x increasing; negative rates beyond packing noise are no data."""
    values *= np.float32(factor)
    step = factor * 2.0 ** int(keys.get("binaryScaleFactor", -99)) / 10.0 ** int(keys.get("decimalScaleFactor", 0))
    values[values < -max(MAX_NEGATIVE_ZERO_MM_H, min(step / 2, MAX_ROUNDING_MM_H))] = np.nan
    np.maximum(values, 0, out=values)
    return values[:, ::-1] if keys.get("iScansNegatively") else values


def grid_of(keys: dict[str, Any]) -> Grid:
    """Return the grid in degrees, with longitudes from -180 on where the grid starts beyond 180."""
    kind = keys.get("gridType")
    if kind != "regular_ll":
        raise NotARadarFile(f"the grid is {kind}, not regular_ll", hint="Give a regular latitude-longitude grid")
    if keys.get("jPointsAreConsecutive") or keys.get("alternativeRowScanning"):
        raise NotARadarFile("the rows do not run along parallels in one direction", hint="Give scanning mode 0 or 64")
    west, east = (float(keys[f"longitudeOf{end}GridPointInDegrees"]) for end in ("First", "Last"))
    first, last = (float(keys[f"latitudeOf{end}GridPointInDegrees"]) for end in ("First", "Last"))
    if keys.get("iScansNegatively"):
        west, east = east, west
    if west >= 180.0:
        west, east = west - 360.0, east - 360.0
    x = _centres("i", west, east if east > west else east + 360.0, keys)
    y = _centres("j", first, last, keys)
    if (y[0] < y[-1]) != bool(keys.get("jScansPositively")):
        raise NotARadarFile("the rows run against the scanning mode", hint=FETCH_AGAIN)
    return Grid(crs=CRS.from_epsg(4326), x=x, y=y)


def _centres(axis: str, first: float, last: float, keys: dict[str, Any]) -> NDArray[np.float64]:
    """Return the pixel centres from the first grid point to the last, after a check against the increment.

    GRIB counts in microdegrees: the rounding of an odd increment would add up over thousands of pixels.
    """
    count = int(keys[f"N{axis}"])
    step = (last - first) / max(count - 1, 1)
    if keys.get(f"{axis}DirectionIncrementGiven") and step:
        increment = math.copysign(float(keys[f"{axis}DirectionIncrementInDegrees"]), step)
        offset = abs(increment / step - 1) * (count - 1)
        if offset > MAX_OFFSET_PX:
            raise NotARadarFile(
                f"the first and last grid point along {axis} make steps of {abs(step):.6g} degrees, "
                f"the increment is {abs(increment):.6g}",
                hint="Correct the grid definition",
            )
        if offset <= ROUNDING_PX:
            step = increment
    # Rounded: 230.005 - 360 should read -129.995.
    return np.round(first + np.arange(count) * step, 9)


def _date_and_clock(keys: dict[str, Any], name: str) -> tuple[int, int]:
    if f"{name}Date" not in keys:  # see SHORT_UNITS in grib_decoder
        if keys.get("forecastTime"):
            raise NotARadarFile("the forecast time is in months or years, or has no unit", hint=GIVE_OBSERVATIONS)
        name = "data"
    return int(keys[f"{name}Date"]), int(keys[f"{name}Time"])


def valid_time(keys: dict[str, Any]) -> np.datetime64:
    """Return the valid time, of means the end of the period."""
    date, clock = _date_and_clock(keys, "validity")
    try:
        moment = datetime(date // 10000, date // 100 % 100, date % 100, clock // 100, clock % 100)  # noqa: DTZ001  (UTC)
        return observation_time(moment + timedelta(seconds=int(keys.get("second") or 0)))
    except ValueError:
        raise NotARadarFile(f"the valid time {date} {clock:04} is not a time", hint=FETCH_AGAIN) from None
