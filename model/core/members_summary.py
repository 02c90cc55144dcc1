"""Summary of the members at one place: when rain starts and ends, how likely it is within the hour, and how much falls.

All of it concerns several times at once, and so is counted member by member: probabilities of single times do not say
it, and are never combined as if they were independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field

from model.core.point_summary import WET_MM_H, first_spell, step_hours
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray

HOUR_MINUTES: Final = 60.0
CHANCE_THRESHOLDS_MM_H: Final = (DRY_RAIN_RATE_MM_H, 2.0, 5.0, 10.0)
PACKING_SLACK_MM_H: Final = DRY_RAIN_RATE_MM_H - WET_MM_H
"""A forecast file stores 2 mm h-1 as a packed number, which may be read as a little less."""
PERCENT: Final = (10, 50, 90)


class TimeRange(BaseModel):
    """When something happens: its percentiles over the members in which it happens, and their share."""

    probability: float | None = Field(
        description="Share of the members in which it happens within the forecast; null: not known, for want of data."
    )
    p10: datetime | None = Field(
        description="A valid time of the forecast until which it happens in 10 % of the members in which it happens at "
        "all. null: it happens in none, or it is not known."
    )
    p50: datetime | None = None
    p90: datetime | None = None


class Chance(BaseModel):
    """Probability of at least a rain rate at any time of a period."""

    threshold_mm_h: float
    probability: float | None = Field(description="Share of the members; null: not known, for want of data.")


class NextHour(BaseModel):
    """The first hour of the forecast."""

    within_minutes: float = Field(description="Its last lead time: less than 60 where the forecast is shorter.")
    chances: list[Chance] = Field(description="Of rain (0.1 mm/h), and of 2, 5 and 10 mm/h.")


class Percentiles(BaseModel):
    """Percentiles over the members; null: not known, for want of data."""

    p10: float | None = None
    p50: float | None = None
    p90: float | None = None


class MembersSummary(BaseModel):
    """What the members say of one place over time. Rain begins at 0.1 mm/h.

    Nothing is counted as dry for want of data: where the data of one member would decide, the answer is null.
    """

    count: int = Field(description="Number of members. Shares are multiples of one over it: 0 is not impossible.")
    start: TimeRange = Field(
        description="First frame with rain; where it rains already, the first after a dry one, as in `summary`."
    )
    end: TimeRange = Field(
        description="First dry frame after the first spell of rain, in the members with rain: in all where it rains "
        "already, else in those in which it starts."
    )
    next_hour: NextHour
    peak: Percentiles = Field(description="Highest rain rate of the forecast, mm/h, members without rain included.")
    total_mm: Percentiles = Field(description="Rain of the whole forecast in mm.")


class _Spell(NamedTuple):
    """First spell of rain of a member: lead steps of start and end, None where there is none or it is not known."""

    start: int | None
    end: int | None
    has_rain: bool
    start_is_open: bool
    end_is_open: bool


def summarize_members(
    members_mm_h: ArrayLike, valid_times: Sequence[datetime], lead_minutes: Sequence[float], *, now_mm_h: float = np.nan
) -> MembersSummary:
    """Summarize the members at one pixel.

    Parameters
    ----------
    members_mm_h
        Rain rate [realization, lead] in mm h-1, NaN where there is no data.
    valid_times
        Valid time of each lead step.
    lead_minutes
        Lead time of each step; a rain rate holds for the time since the step before.
    now_mm_h
        Observed rain rate at the reference time, NaN where there is no data.

    Returns
    -------
    MembersSummary
        Start, end, chances within the hour, peak and total.
    """
    rain = np.asarray(members_mm_h, np.float64)
    leads = np.asarray(lead_minutes, np.float64)
    raining = now_mm_h >= WET_MM_H
    spells = [_spell(member, raining) for member in rain]
    ends = [spell.end for spell in spells if spell.has_rain]
    undecided_end = any(spell.end_is_open for spell in spells)
    within = leads <= HOUR_MINUTES + 1e-6
    return MembersSummary(
        count=len(rain),
        start=_time_range([spell.start for spell in spells], valid_times, any(spell.start_is_open for spell in spells)),
        end=_time_range(ends, valid_times, undecided_end),
        next_hour=NextHour(
            within_minutes=float(leads[within].max(initial=0.0)),
            chances=[
                Chance(threshold_mm_h=threshold, probability=share_of_members(rain[:, within], threshold))
                for threshold in CHANCE_THRESHOLDS_MM_H
            ],
        ),
        peak=percentiles(rain.max(axis=1)) if leads.size else Percentiles(),
        total_mm=percentiles(rain @ step_hours(lead_minutes)),
    )


def share_of_members(members_mm_h: NDArray[np.float64], threshold_mm_h: float) -> float | None:
    """Return the share of members [realization, lead] that reach a threshold at any lead; None where it is not known.

    A member that reaches it has reached it, whatever is missing; one that does not is only known not to with all data.
    """
    reached = (members_mm_h >= threshold_mm_h - PACKING_SLACK_MM_H).any(axis=1)
    open_members = ~reached & np.isnan(members_mm_h).any(axis=1)
    if not members_mm_h.size or open_members.any():
        return None
    return round(float(reached.mean()), 3)


def _spell(rain_mm_h: NDArray[np.float64], raining: bool) -> _Spell:
    """Return the first spell of a member [lead]; open is what its missing data might change."""
    wet, known = rain_mm_h >= WET_MM_H, np.isfinite(rain_mm_h)
    start, end = first_spell(wet, known, raining)
    complete = bool(known.all())
    first_wet = 0 if raining else start
    if first_wet is None:
        return _Spell(None, None, False, not complete, not complete)
    gap_before = start is not None and not bool(known[:start].all())  # it may have rained then
    end_is_open = (end is None and not known[first_wet:].all()) or (gap_before and not raining)
    return _Spell(start, end, True, gap_before or (start is None and not complete), end_is_open)


def _time_range(steps: Sequence[int | None], valid_times: Sequence[datetime], is_open: bool) -> TimeRange:
    """Return the range of lead steps over members, None in members in which it does not happen."""
    if is_open or not steps:
        return TimeRange(probability=None, p10=None)
    found = [step for step in steps if step is not None]
    probability = round(len(found) / len(steps), 3)
    if not found:
        return TimeRange(probability=probability, p10=None)
    p10, p50, p90 = (valid_times[int(step + 0.5)] for step in _quantiles(found))
    return TimeRange(probability=probability, p10=p10, p50=p50, p90=p90)


def percentiles(values: NDArray[np.float64]) -> Percentiles:
    """Return the percentiles of one value of each member [realization]; null where one is NaN."""
    if not values.size or np.isnan(values).any():
        return Percentiles()
    p10, p50, p90 = (round(value, 3) for value in _quantiles(values))
    return Percentiles(p10=p10, p50=p50, p90=p90)


def percentiles_by_lead(members_mm_h: FloatArray) -> list[Percentiles]:
    """Return the percentiles of the members [realization, lead] at each lead; null where one member has no data."""
    values = np.asarray(members_mm_h, np.float64)
    by_lead: list[list[float]] = np.percentile(values, PERCENT, axis=0, method="weibull").round(3).T.tolist()
    return [
        Percentiles() if any(map(math.isnan, each)) else Percentiles(p10=each[0], p50=each[1], p90=each[2])
        for each in by_lead
    ]


def _quantiles(values: ArrayLike) -> list[float]:
    """Return the percentiles between whose 10 and 90 lie 80 % of further members (Weibull's plotting positions)."""
    return [float(value) for value in np.percentile(np.asarray(values, np.float64), PERCENT, method="weibull")]
