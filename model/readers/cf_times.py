"""Valid times of netCDF frames, and the periods of accumulations.

A period is that of the time's bounds, or from `start_time` to the valid time, or the one that a name says
(`rain_accumulation_1h`, "Hourly precipitation"), or an `interval` of `cell_methods` that is longer than the time step;
the step itself is the last resort, and said. An interval up to the step is the spacing of the original samples (CF
7.3.2). Where the file and a name contradict each other, it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile, TooLarge
from model.core.sequence import common_step
from model.readers.cf_attributes import attributes_of, is_time, units_of
from model.readers.cf_units import minutes
from model.readers.plausible import plausible_time, plausible_times
from model.readers.source import MAX_FRAMES

Times = NDArray[np.datetime64]
START_NAMES: Final = ("start_time", "time_start", "begin_time")
END_NAMES: Final = ("valid_time", "end_time", "time_end", "time")
GLOBAL_NAMES: Final = ("nominal_product_time", "nominal_time", "valid_time", "time_coverage_end", "time_coverage_start")
"""Global attributes that hold a file's one valid time, in this order: NWC-SAF's, then those of ACDD."""
PERIOD_NAMES: Final = ("accumulation_period", "accumulation_time", "accum_period", "integration_time")
NANOSECONDS: Final = re.compile(r"\s*(?:nanoseconds?|nsecs?|ns)\s+since\b", re.IGNORECASE)
SHORT_ZONE: Final = re.compile(r"(?<=\s)(?P<sign>[-+])(?P<hour>\d):?(?P<minute>\d\d)\s*$")
ZONE_NAME: Final = re.compile(r"\bsince\s+\d[-\dT:. ]*?\s*(?P<name>[A-Za-z]+)\s*$")
UNIT_OF_TIME: Final = r"min(?:ute)?s?|h(?:(?:ou)?rs?)?|days?"
DURATION: Final = re.compile(rf"(?<![\d.])(?P<number>\d{{1,4}}(?:\.\d{{1,3}})?)[ _-]?(?P<unit>{UNIT_OF_TIME})(?![a-z])")
EVERY: Final = re.compile(rf"\b(?:every|each|updated)\b[ _-]*(?:every|each)?[ _-]*[\d.]*[ _-]*(?:{UNIT_OF_TIME})\b")
ISO_DURATION: Final = re.compile(r"pt(?P<number>\d{1,4})(?P<unit>h|m)\b")
ADVERBS: Final = {"hourly": 60.0, "daily": 1440.0}
INTERVAL: Final = re.compile(
    rf"(?:interval:|\bover\b(?: the)?(?: last)?)\s*(?P<number>\d{{1,4}}(?:\.\d{{1,3}})?)\s*(?P<unit>{UNIT_OF_TIME})\b"
)
NAMED: Final = ("long_name", "standard_name", *PERIOD_NAMES)
TOLERANCE: Final = 0.05
"""How far two statements of one period may differ: bounds of 59:59 are an hour."""
MAX_NAME: Final = 300
MAX_UNITS: Final = 100
"""A longer unit is refused before a pattern is tried on it."""


@dataclass(frozen=True, kw_only=True)
class Periods:
    """Starts and ends of the periods of an accumulation, and what the reader of a forecast must know of them."""

    starts: Times
    ends: Times
    note: str = ""


def valid_times(dataset: Any, variable: Any, dimension: str | None) -> Times:  # noqa: ANN401  (netCDF4 ships no types)
    """Valid times: of the dimension of time, of a scalar coordinate, or of the whole file's attributes.

    Raises:
        NotARadarFile: there is none, one is missing, or no radar can have seen it.
    """
    frames = 1 if dimension is None else dataset.dimensions[dimension].size
    if dimension is not None and dimension in dataset.variables:
        return decoded(dataset.variables[dimension])
    if frames > 1:
        raise NotARadarFile(f"its dimension {dimension} has no values", mend="Give a coordinate variable of times")
    named = str(attributes_of(variable).get("coordinates", "")).split()
    scalars = [v for v in dataset.variables.values() if v.size == 1 and is_time(v)]
    standard = [v for v in scalars if attributes_of(v).get("standard_name") == "time"]
    by_name = [v for name in END_NAMES for v in scalars if v.name == name]
    found = [*(v for v in standard if v.name in named), *standard, *by_name]
    if found:
        return decoded(found[0])
    attributes = attributes_of(dataset)
    moments = [_moment(str(attributes[name])) for name in GLOBAL_NAMES if name in attributes]
    moment = next((moment for moment in moments if moment is not None), None)
    if moment is None:
        raise NotARadarFile(
            "it has no valid time",
            mend="Give a variable with standard_name time, or a global attribute time_coverage_end",
        )
    return np.array([plausible_time(moment)])


def decoded(variable: Any, bounded: Any = None) -> Times:  # noqa: ANN401
    """UTC times of a CF time variable, or of bounds in the units of the coordinate that they bound; flattened.

    Raises:
        NotARadarFile: one is missing, its calendar has other dates than ours, or no radar can have seen it.
        TooLarge: there are more than twice `MAX_FRAMES`.
    """
    import cftime

    if variable.size > 2 * MAX_FRAMES:
        raise TooLarge(f"{variable.name} holds {variable.size:,} times", mend=f"Give up to {MAX_FRAMES:,} frames")
    attributes = {**(attributes_of(bounded) if bounded is not None else {}), **attributes_of(variable)}
    units = units_of(variable) or (units_of(bounded) if bounded is not None else "")
    values = np.ma.asarray(variable[...]).reshape(-1)
    if np.ma.getmaskarray(values).any() or (values.dtype.kind == "f" and not np.isfinite(values.data).all()):
        raise NotARadarFile(f"{variable.name} is missing for a frame", mend="Give each frame its time")
    numbers, units = values.data, _with_zone(units, variable.name)
    if NANOSECONDS.match(units):
        units = NANOSECONDS.sub("microseconds since", units, count=1)
        numbers = numbers // 1000 if numbers.dtype.kind in "iu" else numbers / 1000
    calendar = str(attributes.get("calendar", "standard")).lower()
    try:
        moments = _moments(cftime.num2date(numbers, units, calendar))
        ours = moments if calendar in OURS else _moments(cftime.num2date(numbers, units, "standard"))
    except OverflowError:
        raise NotARadarFile(f"{variable.name} holds times that no calendar has", mend="Correct its times") from None
    if moments != ours:
        raise NotARadarFile(
            f"the dates of {variable.name} are of the calendar {calendar!r}, and not those of ours",
            mend="Give its times in the standard calendar",
        )
    return plausible_times(moments, variable.name)


def _with_zone(units: str, name: str) -> str:
    """The units with a zone that cftime reads: it passes over CF's `-6:00`, and over names of zones.

    Raises:
        NotARadarFile: the zone is none of numbers, UTC or GMT; or the unit is longer than any.
    """
    if len(units) > MAX_UNITS:
        raise NotARadarFile(f"the unit of {name} has {len(units):,} characters", mend="Give `minutes since` a time")
    if match := ZONE_NAME.search(units):
        if match["name"].upper() not in ("Z", "UTC", "GMT"):
            raise NotARadarFile(
                f"{name} counts from a time in the zone {match['name']!r}", mend="Give its times in UTC"
            )
        units = f"{units[: match.start('name')].rstrip()} +00:00"
    return SHORT_ZONE.sub(r"\g<sign>0\g<hour>:\g<minute>", units)


OURS: Final = ("standard", "gregorian", "proleptic_gregorian")
"""Calendars with the dates that a radar has. In others (julian, noleap) leap days differ, mostly long ago: what is
counted from a near date has the same date in both, and that is the one that is meant."""
Moment = tuple[int, int, int, int, int, int, int]


def _moments(dates: Any) -> list[Moment]:  # noqa: ANN401  (cftime dates)
    return [
        (date.year, date.month, date.day, date.hour, date.minute, date.second, date.microsecond)
        for date in np.asarray(dates, dtype=object).reshape(-1)
    ]


def _moment(text: str) -> datetime | None:
    """A time in a file's attributes, UTC unless it says otherwise: ISO 8601, or nearly."""
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix("UTC").strip())
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def periods_of(dataset: Any, variable: Any, times: Times) -> Periods:  # noqa: ANN401
    """The periods of an accumulation.

    Raises:
        NotARadarFile: nothing says over which period it is, or two things say otherwise.
    """
    bounded = _bounds(dataset, times)
    said = dict(_said(variable))
    if bounded is not None:
        starts, ends, what = bounded
        said = {what: [float((ends - starts)[0] / np.timedelta64(1, "s")) / 60], **said}
    period = _agreed(said)
    if bounded is not None:
        return Periods(starts=starts, ends=ends)
    step = float(common_step(np.sort(times)) / np.timedelta64(1, "s")) / 60 if times.size > 1 else None
    note = ""
    if period is None:
        if step is None:
            raise NotARadarFile(
                f"{variable.name} is an accumulation, and nothing says over which period",
                mend="Give bounds of its time or a start_time, or several frames in one file",
            )
        period = max([step, *_minutes_of(INTERVAL, str(attributes_of(variable).get("cell_methods", "")).lower())])
        if period == step:
            note = f"the period of {variable.name} is not in the file, and was taken to be its time step, {step:g} min"
    return Periods(starts=times - np.timedelta64(round(period * 60), "s"), ends=times, note=note)


def mean_minutes(dataset: Any, times: Times) -> float | None:  # noqa: ANN401
    """Minutes over which rates are means, where the bounds of their time say so."""
    bounded = _time_bounds(dataset, times)
    return None if bounded is None else float((bounded[1] - bounded[0])[0] / np.timedelta64(1, "s")) / 60 or None


def _time_bounds(dataset: Any, times: Times) -> tuple[Times, Times] | None:  # noqa: ANN401
    for time in (v for v in dataset.variables.values() if is_time(v) and v.size == times.size):
        bounds = dataset.variables.get(str(attributes_of(time).get("bounds", "")))
        if bounds is not None and bounds.size == 2 * times.size and np.array_equal(decoded(time), times):
            pairs = decoded(bounds, time).reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
    return None


def _bounds(dataset: Any, times: Times) -> tuple[Times, Times, str] | None:  # noqa: ANN401
    """Starts and ends that the file gives, and where."""
    if (bounded := _time_bounds(dataset, times)) is not None:
        return *bounded, "the bounds of its time"
    for name in START_NAMES:
        start = dataset.variables.get(name)
        if start is not None and is_time(start) and start.size == times.size:
            return decoded(start), times, f"its {name}"
    attributes = attributes_of(dataset)
    coverage = [_moment(str(attributes.get(f"time_coverage_{end}", ""))) for end in ("start", "end")]
    if times.size == 1 and None not in coverage:
        start, end = (plausible_time(moment) for moment in coverage if moment is not None)
        if end > start:
            return np.array([start]), np.array([end]), "its time_coverage"
    return None


def _said(variable: Any) -> Iterator[tuple[str, list[float]]]:  # noqa: ANN401
    """(where, minutes) of the periods that names and attributes say."""
    attributes = attributes_of(variable)
    texts: Mapping[str, str] = {"name": str(variable.name), **{n: str(attributes.get(n, "")) for n in NAMED}}
    for where, text in texts.items():
        if found := sorted(set(_durations(text))):
            yield f"its {where} {text[:60]!r}", found


def _durations(text: str) -> list[float]:
    """Minutes of the durations in a text: `rain_accumulation_1h`, `3-hour rain`, `PT15M`, `hourly`."""
    plain = EVERY.sub(" ", text[:MAX_NAME].lower())
    iso = [float(match["number"]) * (60 if match["unit"] == "h" else 1) for match in ISO_DURATION.finditer(plain)]
    words = [value for word, value in ADVERBS.items() if re.search(rf"(?<![a-z]){word}(?![a-z])", plain)]
    return [*_minutes_of(DURATION, ISO_DURATION.sub(" ", plain)), *iso, *words]


def _minutes_of(pattern: re.Pattern[str], text: str) -> list[float]:
    found = [minutes(match["number"], match["unit"]) for match in pattern.finditer(text)]
    return [value for value in found if value]


def _agreed(said: Mapping[str, list[float]]) -> float | None:
    """The period (minutes) that all agree on; None where nothing says any. A name may hold others beside it."""
    sure = next((values[0] for values in said.values() if len(values) == 1), None)
    for values in said.values():
        if sure is None or all(abs(value - sure) > TOLERANCE * sure for value in values):
            told = "; ".join(f"{name} says {' or '.join(f'{v:g}' for v in held)} min" for name, held in said.items())
            raise NotARadarFile(
                f"it does not say clearly over which period it is an accumulation: {told}",
                mend="Give bounds of its time, and a name that agrees with them",
            )
    return sure
