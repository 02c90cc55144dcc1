"""What is to be told of one place: whether, from when and until when there is precipitation, and how sure that is.

Where there are members, shares and ranges are counted in these. Without, the probabilities of single times tell what
follows from each alone, and are never combined as if they were independent: precipitation at any time is at least as
likely as at its likeliest time. Without probabilities the field tells it, and nothing tells how sure that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, cast, get_args

from pydantic import BaseModel, Field

from model.core.members_summary import MembersSummary
from model.core.phase import Precipitation
from model.core.point_summary import WET_MM_H, PointSummary
from model.core.probability_summary import LIKELY, POSSIBLE, SLACK, ProbabilitySummary

Intensity = Literal["light", "moderate", "heavy", "violent"]
State = Literal["raining", "coming", "possible", "dry", "dry-where-known", "no-data", "no-forecast"]
End = Literal["over", "may-last", "lasts", "unknown"]
Basis = Literal["members", "probabilities", "field"]

INTENSITIES: Final[tuple[tuple[float, Intensity], ...]] = (
    (2.5, "light"),
    (10.0, "moderate"),
    (50.0, "heavy"),
    (math.inf, "violent"),
)
"""Upper ends (mm h-1) of the classes of rain intensity of WMO-No. 8 (which calls the first one slight)."""

LONG_SPELL_FRAMES: Final = 3
"""Of a shorter spell the time of its peak says nothing that start and end do not."""

OVER_IN_MOST: Final = 0.75
"""Where the spell ends in this share of the members, nine tenths of that are two in three: likely."""


class PointOutlook(BaseModel):
    """What a sentence tells of a place."""

    state: State = Field(
        description="`coming`: at least 50 % likely, or in the field where nothing tells how likely; `possible`: at "
        "least 10 %; `raining`: at the time from which the answer counts; `no-forecast`: none reaches beyond that time."
    )
    precipitation: Precipitation = Field(description="`precipitation`: nobody knows whether it is rain or snow.")
    intensity: Intensity | None = Field(
        None, description="Of what falls now, else of the peak of the first spell in the field; null: it has none."
    )
    may_reach: Intensity | None = Field(
        None, description="A higher one that is reached with at least 10 %; null: none."
    )
    starts_from: datetime | None = Field(
        None,
        description="The frame before the 10th percentile of the members in which it starts; else before the first "
        "time with at least 10 %; else before the first of the field: it starts between frames. null: not known.",
    )
    starts_by: datetime | None = Field(
        None, description="By then: the 90th percentile; else the first time with at least 50 %; else its first frame."
    )
    heaviest: datetime | None = Field(
        None, description="Time of the peak of the first spell in the field, if it is long."
    )
    end: End | None = Field(
        None,
        description="Whether the first spell is over within the forecast; `may-last`: in 50 to 75 % of the members.",
    )
    over_by: datetime | None = Field(
        None,
        description="When the first spell is over: the 90th percentile of the members in which it ends; else the first "
        "time after it with less than 50 %; else the first dry frame of the field.",
    )
    again: datetime | None = Field(
        None,
        description="The first time after `over_by` with at least 50 %; else the first wet frame of the field. null: "
        "none; by members: not known.",
    )
    later: Intensity | None = Field(None, description="A higher one that the field has later.")
    later_time: datetime | None = Field(None, description="Its peak.")
    probability: float | None = Field(
        None,
        description="How sure: of precipitation at any time (`dry`, `possible`, `coming`), and where it falls already, "
        "that it is over at `over_by`. By members their share; by probabilities that of the likeliest time, which is a "
        "lower bound. null: not known.",
    )
    threshold_mm_h: float | None = Field(
        None, description="Where nothing tells how sure: the lowest threshold whose probability is known."
    )
    threshold_probability: float | None = Field(
        None, description="Highest probability of that threshold at any one time; null: not known."
    )
    basis: Basis = Field("field", description="What tells `probability`, start and end.")
    members: int = Field(0, description="Of how many members shares are counted.")
    likeliest: datetime | None = Field(None, description="The likeliest time, by probabilities.")
    until: datetime | None = Field(None, description="Last time of the forecast.")
    frames: int = Field(description="Forecast frames from now on.")
    frames_without_data: int = Field(description="Those without data at this place.")


class _Told(NamedTuple):
    """What members, probabilities or the field tell: how likely, from when, until when."""

    basis: Basis
    probability: float | None
    starts: tuple[datetime | None, datetime | None] = (None, None)
    end: End | None = None
    over_by: datetime | None = None
    again: datetime | None = None
    likeliest: datetime | None = None


class _Spell(NamedTuple):
    """The first spell of the field: its intensity, its peak if it is long, and what is heavier later."""

    intensity: Intensity | None
    heaviest: datetime | None
    later: Intensity | None
    later_time: datetime | None


def intensity(rain_rate_mm_h: float) -> Intensity:
    """Return the word for a rain rate: light, moderate, heavy or violent."""
    return next(word for limit, word in INTENSITIES if rain_rate_mm_h < limit)


def point_outlook(
    summary: PointSummary,
    rain_rate_mm_h: Sequence[float],
    valid_times: Sequence[datetime],
    now: datetime,
    *,
    now_mm_h: float = math.nan,
    probability_of_rain: Sequence[float] = (),
    probabilities: ProbabilitySummary | None = None,
    members: MembersSummary | None = None,
    lowest_threshold: tuple[float, float] | None = None,
    precipitation: Precipitation = "precipitation",
) -> PointOutlook:
    """Return what is to be told of a place.

    Parameters
    ----------
    summary
        The summary of the lead steps that are to come.
    rain_rate_mm_h
        Their rain rates (mm h-1), NaN where there is no data.
    valid_times
        Their valid times.
    now
        The time from which the forecast counts.
    now_mm_h
        Rain rate at that time, NaN where there is no data.
    probability_of_rain
        Probability of rain at each of the times, NaN where it is not known; empty where nothing tells it.
    probabilities, members
        Their summaries; None where there are none.
    lowest_threshold
        The lowest threshold (mm h-1) that has probabilities, and the highest of these; told where those of rain, which
        begins below it, are not known.
    precipitation
        What falls.
    """
    times = list(valid_times)
    about: dict[str, Any] = {
        "precipitation": precipitation,
        "frames": len(times),
        "frames_without_data": summary.frames_without_data,
    }
    if not times:
        return PointOutlook(state="no-forecast", **about)
    about["until"] = times[-1]
    if summary.state == "no-data":
        return PointOutlook(state="no-data", **about)
    raining = summary.state == "raining"
    told = (
        _by_members(members, times, now, raining=raining)
        or _by_probabilities(probability_of_rain, times, now, raining=raining)
        or _by_field(summary, rain_rate_mm_h, times, now)
    )
    state = _state(summary, told)
    about |= {"state": state, "basis": told.basis, "probability": told.probability, "likeliest": told.likeliest}
    if told.probability is None and lowest_threshold is not None and not raining:
        about["threshold_mm_h"], about["threshold_probability"] = lowest_threshold
    about["members"] = members.count if members is not None and told.basis == "members" else 0
    if state in ("dry", "dry-where-known"):
        return PointOutlook(**about)
    spell = _spell(summary, rain_rate_mm_h, times, now_mm_h)
    return PointOutlook(
        **about,
        **spell._asdict(),
        may_reach=_may_reach(spell, probabilities, members),
        starts_from=None if raining else told.starts[0],
        starts_by=None if raining else told.starts[1],
        end=told.end,
        over_by=told.over_by,
        again=told.again,
    )


def _state(summary: PointSummary, told: _Told) -> State:
    """Return the state: what is likely goes before what the field shows, and a wet field is never called dry."""
    if summary.state == "raining":
        return "raining"
    wet = summary.state == "rain-coming"
    if told.probability is None:
        return "coming" if wet else "dry-where-known" if summary.frames_without_data else "dry"
    if told.probability >= LIKELY - SLACK:
        return "coming"
    if wet or told.probability >= POSSIBLE - SLACK:
        return "possible"
    return "dry-where-known" if summary.frames_without_data else "dry"


def _by_members(
    members: MembersSummary | None, times: Sequence[datetime], now: datetime, *, raining: bool
) -> _Told | None:
    """Return what the members tell; None where there are none, or missing data leaves it open."""
    if members is None or (members.end if raining else members.start).probability is None:
        return None
    share, over_by = members.end.probability, members.end.p90
    end: End = "unknown"
    if share is not None:
        end = "over" if share >= OVER_IN_MOST else "may-last" if share >= LIKELY else "lasts"
    over_by = over_by if end == "over" else None
    if raining:
        sure = 0.9 * share if share is not None and over_by is not None else None
        return _Told("members", None if sure is None else round(sure, 3), end=end, over_by=over_by)
    first, last = members.start.p10, members.start.p90
    if first is None or last is None:
        return _Told("members", members.start.probability)
    return _Told("members", members.start.probability, (_before(first, times, now), last), end, over_by)


def _by_probabilities(
    probability: Sequence[float], times: Sequence[datetime], now: datetime, *, raining: bool
) -> _Told | None:
    """Return what follows from the probabilities of single times; None where those that are known tell nothing.

    Low probabilities with gaps are no bound: the likeliest time may be one that is not known.
    """
    known = [(value, step) for step, value in enumerate(probability) if not math.isnan(value)]
    if not known:
        return None
    highest, at = max(known, key=lambda item: (item[0], -item[1]))
    likely = [step for value, step in known if value >= LIKELY - SLACK]
    possible = [step for value, step in known if value >= POSSIBLE - SLACK]
    if not possible and not raining and len(known) < len(times):
        return None
    end, over_by, again = None, None, None
    if likely or raining:
        first = 0 if raining else likely[0]
        after = next((step for step in range(first, len(times)) if step not in likely), len(times))
        end = "lasts" if after == len(times) else "unknown" if math.isnan(probability[after]) else "over"
        over_by = times[after] if end == "over" else None
        again = next((times[step] for step in likely if step > after), None) if end == "over" else None
    starts: tuple[datetime | None, datetime | None] = (None, None)
    if likely:
        is_open = any(map(math.isnan, probability[: likely[0]]))
        starts = (None if is_open else _before(times[possible[0]], times, now), times[likely[0]])
    sure = None if raining else round(highest, 3)
    likeliest = None if raining else times[at]
    return _Told("probabilities", sure, starts, cast("End | None", end), over_by, again, likeliest)


def _by_field(summary: PointSummary, rain: Sequence[float], times: Sequence[datetime], now: datetime) -> _Told:
    """Return what the field tells, which is not how sure that is."""
    raining = summary.state == "raining"
    if not raining and summary.starts is None:
        return _Told("field", None)
    first = 0 if raining or summary.starts is None else times.index(summary.starts)
    starts: tuple[datetime | None, datetime | None] = (None, None)
    if not raining:
        is_open = any(map(math.isnan, rain[:first]))
        starts = (None if is_open else _before(times[first], times, now), times[first])
    if summary.ends is None:
        return _Told("field", None, starts, "unknown" if any(map(math.isnan, rain[first:])) else "lasts")
    rest = zip(times, rain, strict=True)
    again = next((time for time, rate in rest if time > summary.ends and rate >= WET_MM_H), None)
    return _Told("field", None, starts, "over", summary.ends, again)


def _before(time: datetime, times: Sequence[datetime], now: datetime) -> datetime:
    """Return the frame before a time, or now: what is first seen at the time began in between."""
    step = times.index(time)
    return times[step - 1] if step else min(now, time)


def _spell(summary: PointSummary, rain: Sequence[float], times: Sequence[datetime], now_mm_h: float) -> _Spell:
    """Return what the field has of the first spell, and what is heavier after it, or than what falls now."""
    raining = summary.state == "raining"
    first = 0 if raining or summary.starts is None else times.index(summary.starts)
    end = len(times) if summary.ends is None else times.index(summary.ends)
    peak, at = _peak(rain[first:end])
    word = intensity(now_mm_h) if raining else intensity(peak) if peak > 0 else None
    rest = first if raining else end
    highest, later_at = _peak(rain[rest:])
    heavier = highest > 0 and (word is None or _rank(intensity(highest)) > _rank(word))
    is_long = end - first >= LONG_SPELL_FRAMES and (at > 0 or not raining)
    has_peak = word is not None and peak > 0 and is_long and _rank(intensity(peak)) <= _rank(word)
    return _Spell(
        intensity=word,
        heaviest=times[first + at] if has_peak else None,
        later=intensity(highest) if heavier else None,
        later_time=times[rest + later_at] if heavier else None,
    )


def _peak(rain: Sequence[float]) -> tuple[float, int]:
    """Return the highest rain rate and its index; 0 where there is none that reads as rain. NaN is passed over."""
    highest, at = 0.0, 0
    for step, rate in enumerate(rain):
        if rate > highest:
            highest, at = rate, step
    return highest, at


def _may_reach(
    spell: _Spell, probabilities: ProbabilitySummary | None, members: MembersSummary | None
) -> Intensity | None:
    """Return an intensity beyond that of the field which is reached with at least 10 %."""
    worst = members.peak.p90 if members is not None else probabilities.peak.p90 if probabilities is not None else None
    if spell.intensity is None:
        return None
    highest = max(_rank(spell.intensity), -1 if spell.later is None else _rank(spell.later))
    return intensity(worst) if worst and _rank(intensity(worst)) > highest else None


def _rank(word: Intensity) -> int:
    return get_args(Intensity).index(word)
