"""Summary of the probabilities at one place: when rain is possible or likely, and how heavy it may get.

A probability is of one time, and those of several times are never combined as if they were independent. What stands
here follows from single times alone: rain at any time is at least as likely as at its likeliest time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, Field

from model.core.units import DRY_RAIN_RATE_MM_H

POSSIBLE, LIKELY, NEARLY_CERTAIN = 0.1, 0.5, 0.9
SLACK: Final = 1e-6
"""A stored probability of 0.1 may be read as a little less."""


class PeakRange(BaseModel):
    """Rates, of the thresholds, that the peak reaches at least that likely; 0: not even the lowest threshold."""

    p10: float = Field(description="With a probability of at least 90 %.")
    p50: float = Field(description="With a probability of at least 50 %.")
    p90: float = Field(description="With a probability of at least 10 %.")


class ProbabilitySummary(BaseModel):
    """What the probabilities of single times say of the forecast for one place. Rain begins at 0.1 mm/h.

    Nothing is counted as dry for want of data: where missing data might change a time, it is null.
    """

    highest: float | None = Field(
        None,
        description="Highest probability of rain at one time: that of rain at any time is not lower. null: no data.",
    )
    possible_from: datetime | None = Field(
        None, description="First frame with a probability of rain of at least 10 %; null: none, or not known."
    )
    possible_until: datetime | None = Field(None, description="Last frame with at least 10 %.")
    likely_from: datetime | None = Field(None, description="First frame with at least 50 %.")
    likely_until: datetime | None = Field(None, description="Last frame with at least 50 %.")
    peak: PeakRange = Field(description="Range of the highest rain rate, mm/h.")


def summarize_probability(
    probability: ArrayLike, thresholds_mm_h: Sequence[float], valid_times: Sequence[datetime]
) -> ProbabilitySummary | None:
    """Summarize the probabilities at one pixel; None where there are none.

    Parameters
    ----------
    probability
        P(rain >= threshold) [threshold, lead], 0 to 1, NaN where there is no data.
    thresholds_mm_h
        The thresholds in mm h-1, ascending.
    valid_times
        Valid time of each lead step.
    """
    values = np.asarray(probability, np.float64)
    if not values.size:
        return None
    of_rain = values[thresholds_mm_h.index(DRY_RAIN_RATE_MM_H)] if DRY_RAIN_RATE_MM_H in thresholds_mm_h else None
    rain = [np.nan] * len(valid_times) if of_rain is None else of_rain.tolist()
    highest = np.fmax.reduce(values, axis=1, initial=0.0).tolist()  # fmax passes over NaN
    known = [value for value in rain if not math.isnan(value)]
    possible, likely = _span(rain, valid_times, POSSIBLE), _span(rain, valid_times, LIKELY)
    return ProbabilitySummary(
        highest=round(max(known), 3) if known else None,
        possible_from=possible[0],
        possible_until=possible[1],
        likely_from=likely[0],
        likely_until=likely[1],
        peak=PeakRange(
            p10=_reached(highest, thresholds_mm_h, NEARLY_CERTAIN),
            p50=_reached(highest, thresholds_mm_h, LIKELY),
            p90=_reached(highest, thresholds_mm_h, POSSIBLE),
        ),
    )


def _span(
    probability: Sequence[float], valid_times: Sequence[datetime], least: float
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last time with at least `least`; None where missing data may be before, or after."""
    reached = [lead for lead, value in enumerate(probability) if value >= least - SLACK]
    if not reached:
        return None, None
    first, last = reached[0], reached[-1]
    before, after = probability[:first], probability[last + 1 :]
    return (
        None if any(map(math.isnan, before)) else valid_times[first],
        None if any(map(math.isnan, after)) else valid_times[last],
    )


def _reached(highest: Sequence[float], thresholds_mm_h: Sequence[float], least: float) -> float:
    """Return the highest threshold whose highest probability is at least `least`; 0: none."""
    return max(
        (rate for rate, value in zip(thresholds_mm_h, highest, strict=True) if value >= least - SLACK), default=0.0
    )
