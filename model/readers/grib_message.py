"""What a GRIB2 message means: whether it is an observed rain rate, on which grid, valid when."""

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
from model.readers.corners import MAX_OFF, ROUNDING
from model.readers.plausible import plausible_time
from model.readers.source import DAMAGED, OBSERVATIONS

RATES_MM_H: Final[dict[tuple[int, int, int], tuple[str, float]]] = {
    (209, 6, 1): ("PrecipRate", 1.0),
    (0, 1, 7): ("prate", 3600.0),
    (0, 1, 52): ("tprate", 3600.0),
    (0, 1, 65): ("rprate", 3600.0),
}
"""(discipline, category, number) -> name, and what turns its unit (mm h-1; kg m-2 s-1) into mm h-1."""
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
ZERO_MM_H: Final = 0.05
"""A negative rate up to here is a zero that packing or interpolation moved. The codes for missing start at -1."""
MOST_ROUNDING_MM_H: Final = 0.5


def rate(keys: dict[str, Any]) -> tuple[str, float | None]:
    """The parameter's name, and the factor to mm h-1 where it is a precipitation rate."""
    parameter = tuple(int(keys.get(key, -1)) for key in ("discipline", "parameterCategory", "parameterNumber"))
    if keys.get("edition") == 2 and parameter in RATES_MM_H:
        return RATES_MM_H[parameter]
    name = str(keys.get("shortName", "unknown"))
    return (f"parameter {'/'.join(map(str, parameter))}" if name == "unknown" else name), None


def check_observed(keys: dict[str, Any]) -> None:
    """Refuse a forecast: what is valid later than its reference time, or was made as a forecast.

    Raises
    ------
    NotARadarFile
        It is one.
    """
    process, data = (int(keys.get(key, 255)) for key in ("typeOfGeneratingProcess", "typeOfProcessedData"))
    if int(keys.get("forecastTime") or 0) > 0:
        why = "it is valid after its reference time"
    elif keys.get("discipline") == MRMS or process == OBSERVATION:
        return
    elif keys.get("significanceOfReferenceTime") != OBSERVATION_TIME and _moment(keys, "validity") > _moment(
        keys, "data"
    ):
        why = "its period ends after its reference time"
    elif process in FORECAST_PROCESSES:
        why = f"its generating process is {FORECAST_PROCESSES[process]}"
    elif data in FORECAST_DATA and keys.get("significanceOfReferenceTime") != OBSERVATION_TIME:
        why = f"its type of data is {FORECAST_DATA[data]}"
    else:
        return
    raise NotARadarFile(f"it is a forecast: {why}", hint=OBSERVATIONS)


def mean_minutes(keys: dict[str, Any]) -> float | None:
    """Minutes over which it is a mean, where it is one."""
    unit = MINUTES.get(int(keys.get("indicatorOfUnitForTimeRange", 255)))
    return None if unit is None else int(keys.get("lengthOfTimeRange") or 0) * unit or None


def rain_rate(values: FloatArray, factor: float, keys: dict[str, Any]) -> FloatArray:
    """Rain rate (mm h-1) [y, x] with x increasing; negative is missing, but for zeros that packing has moved."""
    values *= np.float32(factor)
    step = factor * 2.0 ** int(keys.get("binaryScaleFactor", -99)) / 10.0 ** int(keys.get("decimalScaleFactor", 0))
    values[values < -max(ZERO_MM_H, min(step / 2, MOST_ROUNDING_MM_H))] = np.nan
    np.maximum(values, 0, out=values)
    return values[:, ::-1] if keys.get("iScansNegatively") else values


def grid_of(keys: dict[str, Any]) -> Grid:
    """Pixel centres in degrees, longitudes from -180 where the grid starts beyond 180."""
    kind = keys.get("gridType")
    if kind != "regular_ll":
        raise NotARadarFile(f"its grid is {kind}, not regular_ll", hint="Give a regular latitude-longitude grid")
    if keys.get("jPointsAreConsecutive") or keys.get("alternativeRowScanning"):
        raise NotARadarFile("its rows do not run along parallels in one direction", hint="Give scanning mode 0 or 64")
    west, east = (float(keys[f"longitudeOf{end}GridPointInDegrees"]) for end in ("First", "Last"))
    first, last = (float(keys[f"latitudeOf{end}GridPointInDegrees"]) for end in ("First", "Last"))
    if keys.get("iScansNegatively"):
        west, east = east, west
    if west >= 180.0:
        west, east = west - 360.0, east - 360.0
    x = _centres("i", west, east if east > west else east + 360.0, keys)
    y = _centres("j", first, last, keys)
    if (y[0] < y[-1]) != bool(keys.get("jScansPositively")):
        raise NotARadarFile("its rows run against its scanning mode", hint=DAMAGED)
    return Grid(crs=CRS.from_epsg(4326), x=x, y=y)


def _centres(axis: str, first: float, last: float, keys: dict[str, Any]) -> NDArray[np.float64]:
    """Pixel centres from the first grid point to the last; the increment is held against both.

    GRIB holds microdegrees: the increment of an odd spacing is rounded, and sums up over thousands of pixels.
    """
    count = int(keys[f"N{axis}"])
    step = (last - first) / max(count - 1, 1)
    if keys.get(f"{axis}DirectionIncrementGiven") and step:
        increment = math.copysign(float(keys[f"{axis}DirectionIncrementInDegrees"]), step)
        off = abs(increment / step - 1) * (count - 1)
        if off > MAX_OFF:
            raise NotARadarFile(
                f"its first and last grid point along {axis} make steps of {abs(step):.6g} degrees, "
                f"its increment is {abs(increment):.6g}",
                hint="Correct its grid definition",
            )
        if off <= ROUNDING:
            step = increment
    # Rounded: 230.005 - 360 should read -129.995.
    return np.round(first + np.arange(count) * step, 9)


def _moment(keys: dict[str, Any], name: str) -> tuple[int, int]:
    return int(keys[f"{name}Date"]), int(keys[f"{name}Time"])


def valid_time(keys: dict[str, Any]) -> np.datetime64:
    date, clock = _moment(keys, "validity")
    try:
        moment = datetime(date // 10000, date // 100 % 100, date % 100, clock // 100, clock % 100)  # noqa: DTZ001
        return plausible_time(moment + timedelta(seconds=int(keys.get("second") or 0)))
    except ValueError:
        raise NotARadarFile(f"its valid time {date} {clock:04} is not a time", hint=DAMAGED) from None
