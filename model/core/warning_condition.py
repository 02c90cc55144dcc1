"""Whether a forecast fulfils the condition of a warning, from when on, and what of it is not known.

The condition is about the time from now on, at one place or in one area, whose values come as a series by lead step.
Missing data is never dry: a condition is known not to hold only where every lead step is known not to fulfil it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOLERANCE: Final = 1e-4
"""A forecast file stores rain rates (mm h-1) and probabilities as packed numbers, which may be read as less."""


@dataclass(frozen=True, kw_only=True)
class WarningCondition:
    """A rain rate, or a probability, that is reached within a time from now.

    Attributes
    ----------
    within_minutes : float
        Lead steps that are valid later than this after now do not count.
    rain_rate_mm_h : float, optional
        Rain rate (mm h-1) that a lead step reaches.
    probability : float, optional
        Probability (0 to 1) of a threshold that a lead step reaches.
    either : bool
        Whether one of the two suffices, where both are given. By default one lead step reaches both.
    """

    within_minutes: float
    rain_rate_mm_h: float | None = None
    probability: float | None = None
    either: bool = False

    def __post_init__(self) -> None:
        if self.rain_rate_mm_h is None and self.probability is None:
            raise ValueError("a condition needs a rain rate, a probability, or both")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a condition holds.

    Attributes
    ----------
    holds : bool or None
        None: not known.
    onset : datetime, optional
        The first lead step that is known to fulfil the condition.
    lead_minutes : float, optional
        Minutes from now to `onset`.
    rain_rate_mm_h, probability : float, optional
        The highest ones within the time of the condition; None where none is known.
    reason : str
        Why it is not known.
    """

    holds: bool | None
    onset: datetime | None = None
    lead_minutes: float | None = None
    rain_rate_mm_h: float | None = None
    probability: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ReachedProbability:
    """The highest limit of a probability at which a condition holds.

    `certain`: whether it is known not to hold at higher limits; otherwise data is missing.
    """

    probability: float
    certain: bool


def judge_condition(
    condition: WarningCondition,
    valid_times: Sequence[datetime],
    now: datetime,
    *,
    rain_rate_mm_h: ArrayLike,
    probability: ArrayLike | None = None,
    complete: ArrayLike = True,
) -> Judgement:
    """Return whether a condition holds from now on, by a forecast for a place or an area.

    Parameters
    ----------
    condition
        The condition.
    valid_times
        Valid times [lead] in order; those that have passed by `now` do not count.
    now
        The time from which `condition.within_minutes` counts.
    rain_rate_mm_h
        Rain rate [lead] (mm h-1), NaN where it is not known.
    probability
        Probability [lead] (0 to 1) of the condition's threshold, NaN where it is not known; None: there is none.
    complete
        Whether the values are known [lead] and no lower bounds, as those of an area of which a part has no data: by a
        lower bound a condition may hold, and is not known not to.
    """
    end = now + timedelta(minutes=condition.within_minutes)
    counts = [number for number, time in enumerate(valid_times) if now < time <= end]
    rates = np.asarray(rain_rate_mm_h, np.float64)[counts]
    chances = np.full(rates.shape, np.nan) if probability is None else np.asarray(probability, np.float64)[counts]
    whole = np.broadcast_to(np.asarray(complete, bool), len(valid_times))[counts]
    met, known = _met(condition, rates, chances, whole)
    onset = valid_times[counts[int(met.argmax())]] if met.any() else None
    reason = "" if onset else _unknown(condition, valid_times, now, known)
    return Judgement(
        holds=True if onset else None if reason else False,
        onset=onset,
        lead_minutes=None if onset is None else (onset - now).total_seconds() / 60,
        rain_rate_mm_h=_highest(rates),
        probability=_highest(chances),
        reason=reason,
    )


def reached_probability(
    condition: WarningCondition,
    valid_times: Sequence[datetime],
    now: datetime,
    *,
    rain_rate_mm_h: ArrayLike,
    probability: ArrayLike,
    complete: ArrayLike = True,
) -> ReachedProbability:
    """Return up to which limit of its probability a condition holds; the others of its limits stay as they are.

    The parameters are those of `judge_condition`. Where no probability suffices, as the rain rate is too low, it is 0;
    where none is needed, it is 1.
    """

    def holds(limit: float) -> bool | None:
        return judge_condition(
            replace(condition, probability=limit),
            valid_times,
            now,
            rain_rate_mm_h=rain_rate_mm_h,
            probability=probability,
            complete=complete,
        ).holds

    chances = np.asarray(probability, np.float64)
    levels = np.unique([1.0, *chances[np.isfinite(chances)]])[::-1].tolist()
    reached = next((level for level in levels if holds(level)), 0.0)
    return ReachedProbability(probability=reached, certain=holds(reached + 2 * TOLERANCE) is False)


def _met(
    condition: WarningCondition,
    rates: NDArray[np.float64],
    chances: NDArray[np.float64],
    complete: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which lead steps are known to fulfil the condition, and of which it is known whether they do."""
    of_limits = []
    for values, limit in ((rates, condition.rain_rate_mm_h), (chances, condition.probability)):
        if limit is not None:
            met = values >= limit - TOLERANCE
            of_limits.append((met, met | (np.isfinite(values) & complete)))
    met, known = of_limits[0]
    if len(of_limits) == 1:
        return met, known
    other_met, other_known = of_limits[1]
    if condition.either:
        return met | other_met, met | other_met | (known & other_known)
    return met & other_met, (known & ~met) | (other_known & ~other_met) | (known & other_known)


def _unknown(
    condition: WarningCondition, valid_times: Sequence[datetime], now: datetime, known: NDArray[np.bool_]
) -> str:
    """Return why it is not known whether a condition holds that no lead step is known to fulfil; empty where it is."""
    if not known.size:
        return f"no lead step of the forecast lies within {condition.within_minutes:g} min from now"
    missing = int((~known).sum())
    if missing:
        return f"{missing} of {known.size} lead steps within {condition.within_minutes:g} min lack data"
    steps = [later - earlier for earlier, later in pairwise(valid_times)]
    step = max(steps, default=timedelta())
    if valid_times[-1] + step <= now + timedelta(minutes=condition.within_minutes):
        reach = (valid_times[-1] - now).total_seconds() / 60
        return f"the forecast reaches {reach:.0f} min from now, less than {condition.within_minutes:g}"
    return ""


def _highest(values: NDArray[np.float64]) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None
