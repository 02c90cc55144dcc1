"""Verify warnings of a place by what was observed there: which starts of rain were warned of, how early, and which not.

"It starts to rain" is forecast and counted apart from "it is raining": a warning that is raised while it rains already
forecasts no start. Missing observations are neither rain nor dry: what they leave open is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRY: Final = timedelta(minutes=30)
"""Rain that comes back within this time is the same spell."""

TOLERANCE: Final = timedelta(minutes=15)
"""Rain that starts this much later than a warning reached was warned of, late as it is."""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning: when it was raised, when it was cleared (None: it was not yet), and from when on it expected rain."""

    raised: datetime
    cleared: datetime | None = None
    onset: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Spell:
    """Rain at a place: its first and last observation; `start_known`: whether it was dry before."""

    start: datetime
    end: datetime
    start_known: bool


@dataclass(kw_only=True)
class WarningCounts:
    """Counts of a rule.

    Attributes
    ----------
    hits, late, misses : int
        Starts of rain before which a warning was raised; during whose rain it was; and without any.
    warnings, false_alarms : int
        Warnings that were raised while it did not rain, of which it is known what followed; those without rain.
    while_raining : int
        Warnings that were raised while it rained.
    open : int
        Warnings of which it is not known what followed, or whether it rained.
    onset_errors_minutes : list of float
        Expected less observed start of the rain, of the warnings that it followed.
    """

    hits: int = 0
    late: int = 0
    misses: int = 0
    warnings: int = 0
    false_alarms: int = 0
    while_raining: int = 0
    open: int = 0
    onset_errors_minutes: list[float] = field(default_factory=list)

    @property
    def starts(self) -> int:
        """Number of observed starts of rain."""
        return self.hits + self.late + self.misses


def verify_warnings(
    warnings: Sequence[Warned],
    times: Sequence[datetime],
    rain_rate_mm_h: ArrayLike,
    threshold_mm_h: float,
    within: timedelta,
) -> WarningCounts:
    """Count the warnings of a rule, and the starts of rain that it was to warn of.

    Parameters
    ----------
    warnings
        In the order in which they were raised.
    times
        Times of the observations, in order.
    rain_rate_mm_h
        Observed rain rate [time] (mm h-1), NaN where it is not known.
    threshold_mm_h
        Rain is at least so much (mm h-1).
    within
        How far ahead a warning looks.
    """
    rain = np.asarray(rain_rate_mm_h, np.float64)
    spells = spells_of(times, rain, threshold_mm_h)
    counts = WarningCounts()
    for warning in warnings:
        _count_warning(counts, warning, spells, times, rain, within + TOLERANCE)
    for spell in spells:
        if spell.start_known:
            _count_start(counts, spell, warnings)
    return counts


def spells_of(times: Sequence[datetime], rain: np.ndarray, threshold_mm_h: float) -> list[Spell]:
    """Return the spells of rain of at least a threshold; the start of one is known if it was dry for `DRY` before."""
    spells: list[Spell] = []
    dry_since: datetime | None = None
    for time, value in zip(times, rain.tolist(), strict=True):
        if np.isnan(value):
            dry_since = None
        elif value < threshold_mm_h:
            dry_since = dry_since or time
        else:
            if spells and time - spells[-1].end < DRY:
                spells[-1] = Spell(start=spells[-1].start, end=time, start_known=spells[-1].start_known)
            else:
                known = dry_since is not None and time - dry_since >= DRY
                spells.append(Spell(start=time, end=time, start_known=known))
            dry_since = None
    return spells


def starts_within(
    at: Sequence[datetime],
    times: Sequence[datetime],
    rain_rate_mm_h: ArrayLike,
    threshold_mm_h: float,
    within: timedelta,
) -> NDArray[np.float64]:
    """Return whether it starts to rain within a time after each of `at` [at]: 1 or 0.

    NaN: it is raining already, in a break of less than `DRY`, too; or it is not known. The other parameters are those
    of `verify_warnings`.
    """
    if not times:
        return np.full(len(at), np.nan)
    rain = np.asarray(rain_rate_mm_h, np.float64)
    seconds, now = (np.array([time.timestamp() for time in each]) for each in (times, at))
    first, end = (np.searchsorted(seconds, each, side="right") for each in (now, now + within.total_seconds()))
    wet, missing = (
        np.concatenate([[0], np.cumsum(each)]) for each in (np.nan_to_num(rain) >= threshold_mm_h, np.isnan(rain))
    )
    is_known = (missing[end] == missing[first]) & (end > first) & (now + within.total_seconds() <= seconds[-1])
    found = np.where(wet[end] > wet[first], 1.0, np.where(is_known, 0.0, np.nan))
    newest = np.where(first > 0, rain[first - 1], np.nan)
    raining = newest >= threshold_mm_h
    for spell in spells_of(times, rain, threshold_mm_h):
        raining |= (now >= spell.start.timestamp()) & (now <= spell.end.timestamp())
    return np.where(raining | np.isnan(newest), np.nan, found)


def _count_warning(
    counts: WarningCounts,
    warning: Warned,
    spells: Sequence[Spell],
    times: Sequence[datetime],
    rain: np.ndarray,
    reach: timedelta,
) -> None:
    if any(spell.start <= warning.raised <= spell.end for spell in spells):
        counts.while_raining += 1
        return
    end = warning.raised + reach
    following = [spell for spell in spells if warning.raised < spell.start <= end]
    watched = [value for time, value in zip(times, rain.tolist(), strict=True) if warning.raised < time <= end]
    if following:
        counts.warnings += 1
        if warning.onset is not None and following[0].start_known:
            error = warning.onset - following[0].start
            counts.onset_errors_minutes.append(error.total_seconds() / 60)
    elif not times or times[-1] < end or not watched or np.isnan(watched).any():
        counts.open += 1
    else:
        counts.warnings += 1
        counts.false_alarms += 1


def _count_start(counts: WarningCounts, spell: Spell, warnings: Sequence[Warned]) -> None:
    if any(each.raised < spell.start and (each.cleared is None or each.cleared > spell.start) for each in warnings):
        counts.hits += 1
    elif any(spell.start <= each.raised <= spell.end for each in warnings):
        counts.late += 1
    else:
        counts.misses += 1
