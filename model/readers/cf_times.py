"""Valid times of netCDF frames (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from model.core.errors import NotARadarFile, TooLarge
from model.core.times import Times
from model.readers.cf_attributes import attributes_of, is_time, units_of
from model.readers.limits import MAX_FRAMES
from model.readers.observation_times import observation_time, observation_times

if TYPE_CHECKING:
    from netCDF4 import Dataset, Variable

END_NAMES: Final = ("valid_time", "end_time", "time_end", "time")
GLOBAL_NAMES: Final = ("nominal_product_time", "nominal_time", "valid_time", "time_coverage_end", "time_coverage_start")
"""Global attributes with the valid time of a file, in this order: NWC-SAF's, then those of ACDD."""
NANOSECONDS: Final = re.compile(r"\s*(?:nanoseconds?|nsecs?|ns)\s+since\b", re.IGNORECASE)
EPOCH: Final = re.compile(
    r"(?P<date>[-+]?\d{1,4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{8})(?!\d)"
    r"(?:(?:\s+|T)(?P<clock>\d{4}(?:\d\d)?(?!\d)|\d{1,2}(?::\d{1,2}(?::\d{1,2}(?P<fraction>\.\d*)?)?)?(?![\d:])))?"
    r"\s*(?P<zone>.*)",
    re.IGNORECASE,
)
"""The date in a unit of time: `1970-1-1 0:0:0.0`, `20200102T0600Z`, `2020/01/02 06:00 -6:00`."""
ZONE: Final = re.compile(
    r"\(?(?:Z|Zulu|UTC|UT|GMT)?\)?\s*(?:(?P<sign>[-+])(?P<hour>[01]?\d)(?::?(?P<minute>\d\d))?|00?:00)?", re.IGNORECASE
)
MAX_UNITS: Final = 100
"""A longer unit is refused before any pattern is tried: patterns take long on long texts."""


def valid_times(dataset: Dataset, variable: Variable[Any], dimension: str | None) -> Times:
    """Return the valid times from the dimension of time, a scalar coordinate, or the attributes of the file.

    Raises
    ------
    NotARadarFile
        There is no valid time, one is missing, or no radar can have observed then.
    """
    frames = 1 if dimension is None else dataset.dimensions[dimension].size
    if dimension is not None and dimension in dataset.variables:
        return decoded(dataset.variables[dimension])
    if frames > 1:
        raise NotARadarFile(f"the dimension {dimension} has no values", hint="Give a coordinate variable of times")
    named = str(attributes_of(variable).get("coordinates", "")).split()
    scalars = [v for v in dataset.variables.values() if v.size == 1 and is_time(v)]
    standard = [v for v in scalars if attributes_of(v).get("standard_name") == "time"]
    by_name = [v for name in END_NAMES for v in scalars if v.name == name]
    found = [*(v for v in standard if v.name in named), *standard, *by_name]
    if found:
        return decoded(found[0])
    attributes = attributes_of(dataset)
    moments = [parse_time(str(attributes[name])) for name in GLOBAL_NAMES if name in attributes]
    moment = next((moment for moment in moments if moment is not None), None)
    if moment is None:
        raise NotARadarFile(
            "the file has no valid time",
            hint="Give a variable with standard_name time, or a global attribute time_coverage_end",
        )
    return np.array([observation_time(moment)])


def decoded(variable: Variable[Any], bounded: Variable[Any] | None = None) -> Times:
    """Decode a CF time variable, or bounds in the units of the `bounded` coordinate, to UTC times; flattened.

    Raises
    ------
    NotARadarFile
        A time is missing, no radar can have observed then, or the calendar makes other dates than the standard one.
    TooLarge
        There are more than twice `MAX_FRAMES`.
    """
    import cftime

    if variable.size > 2 * MAX_FRAMES:
        raise TooLarge(f"{variable.name} holds {variable.size:,} times", hint=f"Give up to {MAX_FRAMES:,} frames")
    attributes = {**(attributes_of(bounded) if bounded is not None else {}), **attributes_of(variable)}
    units = units_of(variable) or (units_of(bounded) if bounded is not None else "")
    values = np.ma.asarray(variable[...]).reshape(-1)
    if np.ma.getmaskarray(values).any() or (values.dtype.kind == "f" and not np.isfinite(values.data).all()):
        raise NotARadarFile(f"{variable.name} is missing for a frame", hint="Give each frame its time")
    numbers, units = values.data, _with_zone(units, variable.name)
    if NANOSECONDS.match(units):
        units = NANOSECONDS.sub("microseconds since", units, count=1)
        numbers = numbers // 1000 if numbers.dtype.kind in "iu" else numbers / 1000
    calendar = str(attributes.get("calendar", "standard")).lower()
    try:
        moments = _date_parts(cftime.num2date(numbers, units, calendar))
        standard = (
            moments if calendar in STANDARD_CALENDARS else _date_parts(cftime.num2date(numbers, units, "standard"))
        )
    except OverflowError:
        raise NotARadarFile(f"{variable.name} holds times that no calendar has", hint="Correct the times") from None
    if moments != standard:
        raise NotARadarFile(
            f"the dates of {variable.name} in the calendar {calendar!r} differ from the standard calendar",
            hint="Give the times in the standard calendar",
        )
    return observation_times(moments, variable.name)


def _with_zone(units: str, name: str) -> str:
    """Return the unit in the one form that cftime parses in full: it silently ignores `-6:00`, `+2` and unknown text.

    Raises
    ------
    NotARadarFile
        The unit has no date, a zone other than numbers, UTC or GMT, or more than `MAX_UNITS` characters.
    """
    if len(units) > MAX_UNITS:
        raise NotARadarFile(f"the unit of {name} has {len(units):,} characters", hint="Give `minutes since` a time")
    unit, _, text = (part.strip() for part in units.partition(" since "))
    epoch = EPOCH.fullmatch(text)
    if epoch is None:
        raise NotARadarFile(
            f"{name} is in {units!r}, which has no date", hint="Give `minutes since 2024-06-01 00:00 UTC`"
        )
    zone = ZONE.fullmatch(epoch["zone"])
    if zone is None:
        raise NotARadarFile(f"{name} counts from a time in the zone {epoch['zone']!r}", hint="Give the times in UTC")
    date = re.sub(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", epoch["date"]).replace("/", "-")
    clock = re.findall(r"\d{1,2}", (epoch["clock"] or "").removesuffix(epoch["fraction"] or ""))
    hour, minute, second = [*clock, "0", "0", "0"][:3]
    fraction = (epoch["fraction"] or ".0").ljust(2, "0")[:7]
    offset = f"{zone['sign'] or '+'}{zone['hour'] or '0':0>2}:{zone['minute'] or '00'}"
    return f"{unit} since {date} {hour:0>2}:{minute:0>2}:{second:0>2}{fraction} {offset}"


STANDARD_CALENDARS: Final = ("standard", "gregorian", "proleptic_gregorian")
"""Calendars with the dates of radars. In others (julian, noleap) leap days differ, mostly long ago: times that count
from a recent date are the same in both, and are read."""


def _date_parts(dates: Any) -> list[tuple[int, ...]]:  # noqa: ANN401  (cftime dates)
    return [
        (date.year, date.month, date.day, date.hour, date.minute, date.second, date.microsecond)
        for date in np.asarray(dates, dtype=object).reshape(-1)
    ]


def parse_time(text: str) -> datetime | None:
    """Parse a time in an attribute, ISO 8601 or nearly, in UTC unless the text gives a zone; None where it is none."""
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix("UTC").strip())
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment
