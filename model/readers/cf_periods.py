"""Periods of netCDF frames: the time over which accumulations are sums and rates are means.

A period comes from the bounds of the time, from `start_time` to the valid time, from an attribute
(`accumulation_period`) or a name (`rain_accumulation_1h`, "Hourly precipitation"), from an `interval` of `cell_methods`
longer than the time step, or from the title of the file; the last resort is the time step, with a note. An interval up
to the time step is the spacing of the original samples (CF 7.3.2). Statements that contradict each other, and periods
without a unit, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from model.core.cf_units import minutes
from model.core.errors import NotARadarFile
from model.core.times import Times, most_common_step
from model.readers.cf_attributes import attributes_of, is_time
from model.readers.cf_times import decoded, parse_time
from model.readers.observation_times import observation_time

if TYPE_CHECKING:
    from netCDF4 import Dataset, Variable

START_NAMES: Final = ("start_time", "time_start", "begin_time")
UNIT_OF_TIME: Final = r"s(?:ec(?:ond)?s?)?|min(?:ute)?s?|h(?:(?:ou)?rs?|ourly)?|days?|daily"
PERIOD_NAME: Final = re.compile(
    r"(?:accum\w*?|integration|aggregation|averaging|statistical_process)_?"
    rf"(?:(?:period|time|interval|duration|window|length)(?:_(?:in_)?(?P<unit>{UNIT_OF_TIME}))?|(?P<alone>{UNIT_OF_TIME}))",
    re.IGNORECASE,
)
"""Attributes that hold a period: `accumulation_period`, `integration_time`, `accumulation_minutes`."""
DURATION: Final = re.compile(
    rf"(?<![\d.])(?P<number>\d{{1,5}}(?:\.\d{{1,3}})?)[ _-]?(?P<unit>{UNIT_OF_TIME})(?![a-z]|(?:\*\*|\^)?-\d)"
)
EVERY: Final = re.compile(rf"\b(?:every|each|updated)\b[ _-]*(?:every|each)?[ _-]*[\d.]*[ _-]*(?:{UNIT_OF_TIME})\b")
"""How often frames come, which is no period."""
EVERY_OR_PER: Final = re.compile(rf"{EVERY.pattern}|\bper\b[ _-]*\d*[ _-]*hour\b")
"""How often frames come, or the unit of a rate."""
ISO_DURATION: Final = re.compile(
    r"(?<![a-z\d])p(?=t?\d)(?:(?P<d>\d{1,3})d)?(?:t(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,4})m)?(?:(?P<s>\d{1,5})(?:\.0*)?s)?)?"
    r"(?![a-z\d])"
)
CLOCK: Final = re.compile(r"(?:(?P<d>\d{1,3}) days?,? )?(?P<h>\d{1,3}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:\.0*)?)?")
WORDS: Final = (
    (re.compile(r"half[ _-]?(?:an[ _-])?hour(?:ly)?"), "30 min"),
    (re.compile(r"quarter[ _-]?(?:of[ _-]an[ _-])?hour(?:ly)?"), "15 min"),
    *(
        (re.compile(rf"(?<![a-z]){word}(?=[ _-](?:{UNIT_OF_TIME})(?![a-z]))"), str(number))
        for word, number in {"one": 1, "two": 2, "three": 3, "six": 6, "twelve": 12, "five": 5, "ten": 10}.items()
    ),
    (re.compile(r"(?<![a-z])(?<!\d[ _-])(?<!\d)(?<!sub[ _-])(hour|dai)ly(?![a-z])"), r"1 \1ly"),
    (re.compile(r"(?<![a-z])(?:last|past|previous|preceding|per|in an|over an)[ _-](hour|day)(?![a-z])"), r"1 \1"),
)
"""Periods in words, as numbers with a unit."""
TOTALS: Final = re.compile(
    r"(?<![a-z])(?:since(?![ _-](?:the[ _-])?(?:last|previous))"
    r"|(?:storm|event|running)[ _-]total|(?:day|month|year)[ _-]to[ _-]date)(?![a-z])"
)
"""Words for a period that grows from frame to frame."""
INTERVAL: Final = re.compile(
    rf"(?:interval:|\bover\b(?: the)?(?: last)?)\s*(?P<number>\d{{1,5}}(?:\.\d{{1,3}})?)\s*(?P<unit>{UNIT_OF_TIME})\b"
)
NAMED: Final = ("long_name", "standard_name")
TOLERANCE: Final = 0.05
"""Relative difference allowed between two statements of one period: bounds of 59:59 are an hour."""
SLOWEST_SCAN_MIN: Final = 15.0
"""A longer `interval` cannot be the spacing of radar scans."""
DAY_MIN: Final = 1440.0
MAX_NAME: Final = 300


@dataclass(frozen=True, kw_only=True)
class Periods:
    """Starts and ends of the periods of an accumulation, and a note for the forecast."""

    starts: Times
    ends: Times
    note: str = ""


def periods_of(dataset: Dataset, variable: Variable[Any], times: Times) -> Periods:
    """Return the periods of an accumulation.

    Raises
    ------
    NotARadarFile
        The file gives no period, a period without unit, or contradictory periods.
    """
    bounded = _bounds(dataset, times)
    stated, unclear = _stated_periods(dataset, variable)
    if bounded is not None:
        starts, ends, what = bounded
        _agreed({what: [_minutes_between(starts, ends)], **stated})
        return Periods(starts=starts, ends=ends)
    coverage = _durations(str(attributes_of(dataset).get("time_coverage_duration", "")))
    if not stated and times.size == 1 and len(coverage) == 1:  # of several frames, it covers all of them
        stated["the time_coverage_duration"] = coverage
    period = _agreed(stated)
    if totals := _totals(variable):
        unclear, period = totals, None
    if period is None and unclear:
        raise NotARadarFile(
            f"{unclear} does not give the period of the accumulation {variable.name}",
            hint="Give bounds of the time, or the period with a unit (accumulation_period = '1 hour')",
        )
    note = ""
    if period is None:
        step = _step(times)
        longer = _intervals(variable, step)
        title = str(attributes_of(dataset).get("title", ""))
        titled = [value for value in set(_durations(title)) if step is None or value > step]
        if longer:
            period = max(longer)
        elif len(titled) == 1 and titled[0] < DAY_MIN:  # files are daily, too
            period = titled[0]
            note = f"the period of {variable.name}, {period:g} min, comes from the title of the file"
        elif step is not None:
            period = step
            note = (
                f"the file does not give the period of {variable.name}; it was taken to be the time step, {step:g} min"
            )
        else:
            raise NotARadarFile(
                f"the file does not give the period of the accumulation {variable.name}",
                hint="Give bounds of the time or a start_time, or several frames in one file",
            )
    return Periods(starts=times - np.timedelta64(round(period * 60), "s"), ends=times, note=note)


def ends_of(dataset: Dataset, variable: Variable[Any], times: Times) -> tuple[Times, float | None]:
    """Return the ends of the periods of a variable that is no accumulation, and the minutes over which it is a mean."""
    methods = str(attributes_of(variable).get("cell_methods", "")).lower()
    if re.search(r"\btime: point\b", methods):
        return times, None
    if (bounded := _time_bounds(dataset, times)) is not None:
        starts, ends = np.minimum(*bounded), np.maximum(*bounded)
        return ends, _minutes_between(starts, ends) or None
    stated, _ = _stated_periods(dataset, variable, EVERY_OR_PER)
    periods = [values[0] for values in stated.values() if len(values) == 1] or _intervals(variable, _step(times))
    return times, max(periods, default=None)


def _minutes_between(starts: Times, ends: Times) -> float:
    return float((ends - starts)[0] / np.timedelta64(1, "s")) / 60


def _step(times: Times) -> float | None:
    return float(most_common_step(np.sort(times)) / np.timedelta64(1, "s")) / 60 if times.size > 1 else None


def _intervals(variable: Variable[Any], step: float | None) -> list[float]:
    """Return the intervals (minutes) of `cell_methods` that are longer than the spacing of radar scans."""
    methods = str(attributes_of(variable).get("cell_methods", ""))[:MAX_NAME].lower()
    return [value for value in _minutes_of(INTERVAL, methods) if value > (SLOWEST_SCAN_MIN if step is None else step)]


def _time_bounds(dataset: Dataset, times: Times) -> tuple[Times, Times] | None:
    for time in (v for v in dataset.variables.values() if is_time(v) and v.size == times.size):
        bounds = dataset.variables.get(str(attributes_of(time).get("bounds", "")))
        if bounds is not None and bounds.size == 2 * times.size and np.array_equal(decoded(time), times):
            pairs = decoded(bounds, time).reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
    return None


def _bounds(dataset: Dataset, times: Times) -> tuple[Times, Times, str] | None:
    """Return the starts and ends that the file gives, and the name of their place."""
    if (bounded := _time_bounds(dataset, times)) is not None:
        return *bounded, "the bounds of the time"
    for name in START_NAMES:
        start = dataset.variables.get(name)
        if start is not None and is_time(start) and start.size == times.size:
            return decoded(start), times, f"the {name}"
    attributes = attributes_of(dataset)
    coverage = [parse_time(str(attributes.get(f"time_coverage_{end}", ""))) for end in ("start", "end")]
    if times.size == 1 and None not in coverage:
        first, last = (observation_time(moment) for moment in coverage if moment is not None)
        if last > first:
            return np.array([first]), np.array([last]), "the time_coverage"
    return None


def _stated_periods(
    dataset: Dataset, variable: Variable[Any], ignored: re.Pattern[str] = EVERY
) -> tuple[dict[str, list[float]], str]:
    """Return the periods (minutes) in names and attributes by their place, and the first attribute that is unclear."""
    own, whole = attributes_of(variable), attributes_of(dataset)
    stated: dict[str, list[float]] = {}
    unclear = ""
    texts: Mapping[str, str] = {"name": str(variable.name), **{n: str(own.get(n, "")) for n in NAMED}}
    for where, text in texts.items():
        if found := sorted(set(_durations(text, ignored))):
            stated[f"the {where} {text[:60]!r}"] = found
    for name, value in _period_attributes({**whole, **own}):
        where = f"the {name} {str((own if name in own else whole)[name])[:60]!r}"
        if value is None:
            unclear = unclear or where
        else:
            stated[where] = [value]
    return stated, unclear


def _period_attributes(attributes: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yield attributes that hold a period, and the minutes; None where there is no unit, or no period at all."""
    for name, value in attributes.items():
        text = str(value).strip()
        match = PERIOD_NAME.fullmatch(name)
        if not match or not text or (parse_time(text) is not None and not text.isdecimal()):
            continue
        unit = match["unit"] or match["alone"]
        unit = unit or next((str(attributes[n]) for n in (f"{name}_units", f"{name}_unit") if n in attributes), "")
        if re.fullmatch(r"\d{1,6}(\.\d*)?", text):
            yield name, minutes(text, unit.strip().lower()) or None
        elif clock := CLOCK.fullmatch(text):
            yield name, _total(clock) or None
        else:
            found = set(_durations(text))
            yield name, found.pop() if len(found) == 1 else None


def _totals(variable: Variable[Any]) -> str:
    """Return the attribute that describes a running total; '' where there is none."""
    attributes = {"name": variable.name, **attributes_of(variable)}
    texts = {n: str(v)[:MAX_NAME] for n, v in attributes.items() if n in ("name", *NAMED) or PERIOD_NAME.fullmatch(n)}
    return next((f"the {name} {text[:60]!r}" for name, text in texts.items() if TOTALS.search(text.lower())), "")


def _durations(text: str, ignored: re.Pattern[str] = EVERY) -> list[float]:
    """Return the durations (minutes) in a text: `rain_accumulation_1h`, `3-hour rain`, `PT15M`, `in one hour`."""
    plain = ignored.sub(" ", text[:MAX_NAME].lower())
    iso = [_total(match) for match in ISO_DURATION.finditer(plain)]
    plain = ISO_DURATION.sub(" ", plain)
    for pattern, number in WORDS:
        plain = pattern.sub(number, plain)
    return [*_minutes_of(DURATION, plain), *(value for value in iso if value)]


def _total(match: re.Match[str]) -> float:
    """Return the sum of days, hours, minutes and seconds in minutes."""
    parts = match.groupdict()
    return sum(float(parts[name] or 0) * length for name, length in (("d", 1440), ("h", 60), ("m", 1), ("s", 1 / 60)))


def _minutes_of(pattern: re.Pattern[str], text: str) -> list[float]:
    adverbs = {"hourly": "hour", "daily": "day"}
    found = [minutes(match["number"], adverbs.get(match["unit"], match["unit"])) for match in pattern.finditer(text)]
    return [value for value in found if value]


def _agreed(stated: Mapping[str, list[float]]) -> float | None:
    """Return the period (minutes) in all statements, None without any; a name may hold other durations as well."""
    period = next((values[0] for values in stated.values() if len(values) == 1), None)
    for values in stated.values():
        if period is None or all(abs(value - period) > TOLERANCE * period for value in values):
            listed = "; ".join(
                f"{' or '.join(f'{v:g}' for v in found)} min by {name}" for name, found in stated.items()
            )
            raise NotARadarFile(
                f"the period of the accumulation is not clear: {listed}",
                hint="Give bounds of the time, and a name that agrees with them",
            )
    return period
