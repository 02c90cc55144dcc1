"""The rain forecast for one place as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from model.core.point_summary import PointSummary

INTENSITIES: Final = ((2.5, "light"), (10.0, "moderate"), (50.0, "heavy"), (float("inf"), "violent"))
"""Upper ends (mm h-1) of the classes of rain intensity of WMO-No. 8 (which calls the first one slight)."""


def intensity(rain_rate_mm_h: float) -> str:
    """Return the word for a rain rate: light, moderate, heavy or violent."""
    return next(word for limit, word in INTENSITIES if rain_rate_mm_h < limit)


def sentence(summary: PointSummary, valid_times: Sequence[datetime], now: datetime) -> str:
    """Return the summary of a place as a sentence, such as "light rain in 10 to 15 min, for about 25 min".

    Parameters
    ----------
    summary
        The summary of the lead steps that are to come.
    valid_times
        Their valid times.
    now
        The time from which minutes are counted.
    """
    if not valid_times:
        return "no forecast reaches beyond now"
    last = _minutes(valid_times[-1], now)
    if summary.state == "no-data":
        return "no data at this place: whether it will rain is not known"
    if summary.state == "dry":
        return f"no rain in the next {last} min"
    if summary.state == "dry-where-known":
        known = len(valid_times) - summary.frames_without_data
        return f"no rain in the {known} of {len(valid_times)} frames with data; the others are not known"
    if summary.state == "raining":
        return _raining(summary, now, last)
    rain = f"{intensity(summary.peak or 0.0)} rain"
    if summary.starts is None:
        return f"{rain} within {last} min"
    number = list(valid_times).index(summary.starts)
    earliest = _minutes(valid_times[number - 1], now) if number else 0
    starts = _minutes(summary.starts, now)
    when = f"in {earliest} to {starts} min" if earliest < starts else f"in {starts} min"
    if summary.ends is None:
        return f"{rain} {when}" + (
            "; its end is not known" if summary.frames_without_data else ", to the end of the forecast"
        )
    return f"{rain} {when}, for about {_minutes(summary.ends, summary.starts)} min"


def _raining(summary: PointSummary, now: datetime, last: int) -> str:
    """Return the sentence for a place where it rains now."""
    ends = None if summary.ends is None else _minutes(summary.ends, now)
    peak = f", up to {intensity(summary.peak)}" if summary.peak is not None else ""
    if ends is None:
        return f"rain now{peak}" + (
            "; its end is not known" if summary.frames_without_data else f", for at least {last} min"
        )
    return f"rain now{peak}, ending in about {ends} min"


def _minutes(time: datetime, since: datetime) -> int:
    return round((time - since).total_seconds() / 60)
