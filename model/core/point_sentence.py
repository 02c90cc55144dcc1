"""The rain forecast for one place as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.point_summary import PointSummary

INTENSITIES: Final = ((2.5, "light"), (10.0, "moderate"), (50.0, "heavy"), (float("inf"), "violent"))
"""Upper ends (mm h-1) of the classes of rain intensity of WMO-No. 8 (which calls the first one slight)."""

LEAST_CHANCE: Final = 0.1
"""A lower probability of rain is not worth a word."""


def intensity(rain_rate_mm_h: float) -> str:
    """Return the word for a rain rate: light, moderate, heavy or violent."""
    return next(word for limit, word in INTENSITIES if rain_rate_mm_h < limit)


def sentence(
    summary: PointSummary,
    rain_rate_mm_h: Sequence[float],
    valid_times: Sequence[datetime],
    now: datetime,
    *,
    chance: float | None = None,
) -> str:
    """Return the summary of a place as a sentence, such as "light rain in 10 to 15 min, for about 25 min".

    Parameters
    ----------
    summary
        The summary of the lead steps that are to come.
    rain_rate_mm_h
        Their rain rates (mm h-1), NaN where there is no data.
    valid_times
        Their valid times.
    now
        The time from which minutes are counted.
    chance
        Highest probability of rain at one of the times; None: not known.
    """
    if not valid_times:
        return "no forecast reaches beyond now"
    last = _minutes(valid_times[-1], now)
    if summary.state == "no-data":
        return "no data at this place: whether it will rain is not known"
    if summary.state == "dry":
        return f"no rain in the next {last} min{_chance(chance)}"
    if summary.state == "dry-where-known":
        known = len(valid_times) - summary.frames_without_data
        return f"no rain in the {known} of {len(valid_times)} frames with data; the others are not known"
    rain, times = np.asarray(rain_rate_mm_h, np.float64), list(valid_times)
    raining = summary.state == "raining"
    first = 0 if raining or summary.starts is None else times.index(summary.starts)
    end = len(times) if summary.ends is None else times.index(summary.ends)
    spell = rain[first:end]
    peak = float(np.nanmax(spell, initial=0.0)) if spell.size else 0.0
    what = f"{intensity(peak)} rain" if peak > 0 else "rain"
    if raining:
        text = f"{what} now{_end_of_rain_now(summary, spell, now, last)}"
    else:
        text = f"{what} {_start(rain, times, first, now)}{_end_of_rain(summary, spell)}"
    return text + _heavier_later(rain, times, end, peak, now)


def _chance(probability: float | None) -> str:
    """Return that rain is possible where the field is dry: a field is not all that is known."""
    if probability is None or probability < LEAST_CHANCE:
        return ""
    return f", but a chance of it of up to {100 * probability:.0f} % at a time"


def _start(rain: NDArray[np.float64], times: Sequence[datetime], first: int, now: datetime) -> str:
    """Return when rain starts: between two frames, of which the earlier one is dry or has passed."""
    starts = max(1, _minutes(times[first], now))
    if np.isnan(rain[:first]).any():
        return f"by {starts} min from now, before which there are no data"
    earliest = _minutes(times[first - 1], now) if first else 0
    return f"in {earliest} to {starts} min" if 0 < earliest < starts else f"within {starts} min"


def _end_of_rain(summary: PointSummary, spell: NDArray[np.float64]) -> str:
    if summary.ends is not None and summary.starts is not None:
        return f", for about {_minutes(summary.ends, summary.starts)} min"
    return "; its end is not known" if np.isnan(spell).any() else ", to the end of the forecast"


def _end_of_rain_now(summary: PointSummary, spell: NDArray[np.float64], now: datetime, last: int) -> str:
    if summary.ends is not None:
        return f", ending in about {max(1, _minutes(summary.ends, now))} min"
    return "; its end is not known" if np.isnan(spell).any() else f", for at least {last} min"


def _heavier_later(rain: NDArray[np.float64], times: Sequence[datetime], end: int, peak: float, now: datetime) -> str:
    """Return that a later spell is of a higher class than the first one, where there is such a spell."""
    rest = rain[end:]
    highest = float(np.nanmax(rest, initial=0.0)) if rest.size else 0.0
    words = [word for _, word in INTENSITIES]
    if highest <= 0 or words.index(intensity(highest)) <= words.index(intensity(peak)):
        return ""
    at = end + int(np.nanargmax(rest))
    return f"; later {intensity(highest)} rain, in about {_minutes(times[at], now)} min"


def _minutes(time: datetime, since: datetime) -> int:
    return round((time - since).total_seconds() / 60)
