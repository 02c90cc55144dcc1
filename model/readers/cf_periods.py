"""The periods of netCDF frames: those over which accumulations are summed, and rates are means.

A period is that of the time's bounds, or from `start_time` to the valid time, or the one that an attribute
(`accumulation_period`) or a name says (`rain_accumulation_1h`, "Hourly precipitation"), or an `interval` of
`cell_methods` that is longer than the time step, or the one in the file's title; the step itself is the last resort,
and said. An interval up to the step is the spacing of the original samples (CF 7.3.2). Where the file and a name
contradict each other, or a period is given without its unit, it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model.core.errors import NotARadarFile
from model.core.sequence import most_common_step
from model.readers.cf_attributes import attributes_of, is_time
from model.readers.cf_times import Times, decoded, moment_of
from model.readers.cf_units import minutes
from model.readers.plausible import plausible_time

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
"""What tells how often, and no period."""
EVERY_OR_PER: Final = re.compile(rf"{EVERY.pattern}|\bper\b[ _-]*\d*[ _-]*hour\b")
"""That, or the unit of a rate."""
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
"""What says that a period grows from frame to frame."""
INTERVAL: Final = re.compile(
    rf"(?:interval:|\bover\b(?: the)?(?: last)?)\s*(?P<number>\d{{1,5}}(?:\.\d{{1,3}})?)\s*(?P<unit>{UNIT_OF_TIME})\b"
)
NAMED: Final = ("long_name", "standard_name")
TOLERANCE: Final = 0.05
"""How far two statements of one period may differ: bounds of 59:59 are an hour."""
SLOWEST_SCAN_MIN: Final = 15.0
"""A longer `interval` is not the one at which a radar was sampled."""
DAY_MIN: Final = 1440.0
MAX_NAME: Final = 300


@dataclass(frozen=True, kw_only=True)
class Periods:
    """Starts and ends of the periods of an accumulation, and what the reader of a forecast must know of them."""

    starts: Times
    ends: Times
    note: str = ""


def periods_of(dataset: Any, variable: Any, times: Times) -> Periods:  # noqa: ANN401  (netCDF4 ships no types)
    """The periods of an accumulation.

    Raises
    ------
    NotARadarFile
        Nothing says over which period it is, or two things say otherwise, or one without its unit.
    """
    bounded = _bounds(dataset, times)
    said, unclear = _said(dataset, variable)
    if bounded is not None:
        starts, ends, what = bounded
        _agreed({what: [_minutes_between(starts, ends)], **said})
        return Periods(starts=starts, ends=ends)
    coverage = _durations(str(attributes_of(dataset).get("time_coverage_duration", "")))
    if not said and times.size == 1 and len(coverage) == 1:  # of several frames, it is that of all together
        said["its time_coverage_duration"] = coverage
    period = _agreed(said)
    if totals := _totals(variable):
        unclear, period = totals, None
    if period is None and unclear:
        raise NotARadarFile(
            f"{unclear} does not say over how long {variable.name} is an accumulation",
            hint="Give bounds of its time, or the period with its unit (accumulation_period = '1 hour')",
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
            note = f"the period of {variable.name}, {period:g} min, is that of the file's title"
        elif step is not None:
            period = step
            note = f"the period of {variable.name} is not in the file, and was taken to be its time step, {step:g} min"
        else:
            raise NotARadarFile(
                f"{variable.name} is an accumulation, and nothing says over which period",
                hint="Give bounds of its time or a start_time, or several frames in one file",
            )
    return Periods(starts=times - np.timedelta64(round(period * 60), "s"), ends=times, note=note)


def ends_of(dataset: Any, variable: Any, times: Times) -> tuple[Times, float | None]:  # noqa: ANN401
    """When what is no accumulation was seen whole: the ends of its bounds; and minutes over which it is a mean."""
    methods = str(attributes_of(variable).get("cell_methods", "")).lower()
    if re.search(r"\btime: point\b", methods):
        return times, None
    if (bounded := _time_bounds(dataset, times)) is not None:
        starts, ends = np.minimum(*bounded), np.maximum(*bounded)
        return ends, _minutes_between(starts, ends) or None
    said, _ = _said(dataset, variable, EVERY_OR_PER)
    periods = [values[0] for values in said.values() if len(values) == 1] or _intervals(variable, _step(times))
    return times, max(periods, default=None)


def _minutes_between(starts: Times, ends: Times) -> float:
    return float((ends - starts)[0] / np.timedelta64(1, "s")) / 60


def _step(times: Times) -> float | None:
    return float(most_common_step(np.sort(times)) / np.timedelta64(1, "s")) / 60 if times.size > 1 else None


def _intervals(variable: Any, step: float | None) -> list[float]:  # noqa: ANN401
    """Minutes of the intervals of `cell_methods` that are longer than the spacing of any samples."""
    methods = str(attributes_of(variable).get("cell_methods", ""))[:MAX_NAME].lower()
    return [value for value in _minutes_of(INTERVAL, methods) if value > (SLOWEST_SCAN_MIN if step is None else step)]


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
    coverage = [moment_of(str(attributes.get(f"time_coverage_{end}", ""))) for end in ("start", "end")]
    if times.size == 1 and None not in coverage:
        start, end = (plausible_time(moment) for moment in coverage if moment is not None)
        if end > start:
            return np.array([start]), np.array([end]), "its time_coverage"
    return None


def _said(
    dataset: Any,  # noqa: ANN401
    variable: Any,  # noqa: ANN401
    passed_over: re.Pattern[str] = EVERY,
) -> tuple[dict[str, list[float]], str]:
    """Minutes of the periods that names and attributes say, by where they do; and the attribute that is not clear."""
    own, whole = attributes_of(variable), attributes_of(dataset)
    said: dict[str, list[float]] = {}
    unclear = ""
    texts: Mapping[str, str] = {"name": str(variable.name), **{n: str(own.get(n, "")) for n in NAMED}}
    for where, text in texts.items():
        if found := sorted(set(_durations(text, passed_over))):
            said[f"its {where} {text[:60]!r}"] = found
    for name, value in _stated({**whole, **own}):
        where = f"its {name} {str((own if name in own else whole)[name])[:60]!r}"
        if value is None:
            unclear = unclear or where
        else:
            said[where] = [value]
    return said, unclear


def _stated(attributes: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Attributes that hold a period, and its minutes; None where it has no unit, or is no period at all."""
    for name, value in attributes.items():
        text = str(value).strip()
        match = PERIOD_NAME.fullmatch(name)
        if not match or not text or (moment_of(text) is not None and not text.isdecimal()):
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


def _totals(variable: Any) -> str:  # noqa: ANN401
    """The attribute that says that sums began at some moment; '' where none does."""
    attributes = {"name": variable.name, **attributes_of(variable)}
    texts = {n: str(v)[:MAX_NAME] for n, v in attributes.items() if n in ("name", *NAMED) or PERIOD_NAME.fullmatch(n)}
    return next((f"its {name} {text[:60]!r}" for name, text in texts.items() if TOTALS.search(text.lower())), "")


def _durations(text: str, passed_over: re.Pattern[str] = EVERY) -> list[float]:
    """Minutes of the durations in a text: `rain_accumulation_1h`, `3-hour rain`, `PT15M`, `hourly`, "in one hour"."""
    plain = passed_over.sub(" ", text[:MAX_NAME].lower())
    iso = [_total(match) for match in ISO_DURATION.finditer(plain)]
    plain = ISO_DURATION.sub(" ", plain)
    for pattern, number in WORDS:
        plain = pattern.sub(number, plain)
    return [*_minutes_of(DURATION, plain), *(value for value in iso if value)]


def _total(match: re.Match[str]) -> float:
    """Minutes of days, hours, minutes and seconds together."""
    parts = match.groupdict()
    return sum(float(parts[name] or 0) * length for name, length in (("d", 1440), ("h", 60), ("m", 1), ("s", 1 / 60)))


def _minutes_of(pattern: re.Pattern[str], text: str) -> list[float]:
    adverbs = {"hourly": "hour", "daily": "day"}
    found = [minutes(match["number"], adverbs.get(match["unit"], match["unit"])) for match in pattern.finditer(text)]
    return [value for value in found if value]


def _agreed(said: Mapping[str, list[float]]) -> float | None:
    """The period (minutes) that all agree on; None where nothing says any. A name may hold others beside it."""
    sure = next((values[0] for values in said.values() if len(values) == 1), None)
    for values in said.values():
        if sure is None or all(abs(value - sure) > TOLERANCE * sure for value in values):
            told = "; ".join(f"{name} says {' or '.join(f'{v:g}' for v in held)} min" for name, held in said.items())
            raise NotARadarFile(
                f"it does not say clearly over which period it is an accumulation: {told}",
                hint="Give bounds of its time, and a name that agrees with them",
            )
    return sure
