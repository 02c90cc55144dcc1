"""Summary of the rain forecast for one place: when rain starts, how heavy it gets, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field

from model.core.units import DRY_RAIN_RATE_MM_H

PointState = Literal["raining", "rain-coming", "dry", "dry-where-known", "no-data"]

WET_MM_H: Final = DRY_RAIN_RATE_MM_H - 1e-4
"""A forecast file stores 0.1 mm h-1 as a packed number, which may be read as a little less."""


class PointSummary(BaseModel):
    """The forecast for one place in brief. Rain begins at 0.1 mm/h.

    The state is `dry` only where every forecast frame has data; `dry-where-known` means no rain in the frames that do.
    """

    state: PointState = Field(description="`raining` refers to the reference time.")
    starts: datetime | None = Field(
        None, description="First forecast frame with rain; where it rains already, the first after a dry one."
    )
    ends: datetime | None = Field(
        None, description="First dry frame after the first spell of rain; null: rain to the end, or not known."
    )
    peak: float | None = Field(None, description="Highest rain rate of the forecast, mm/h.")
    peak_time: datetime | None = None
    total_mm: float | None = Field(
        None, description="Rain of the whole forecast in mm; null: not known, for want of data at any time."
    )
    frames_without_data: int = Field(description="Forecast frames without data at this place.")


def summarize_point(
    rain_rate_mm_h: ArrayLike,
    valid_times: Sequence[datetime],
    *,
    now_mm_h: float = np.nan,
    lead_minutes: Sequence[float] = (),
) -> PointSummary:
    """Summarize the rain rates of one pixel. Missing data is never taken as dry.

    Parameters
    ----------
    rain_rate_mm_h
        Forecast rain rate [lead] in mm h-1, NaN where there is no data.
    valid_times
        Valid time of each lead step.
    now_mm_h
        Observed rain rate at the reference time, NaN where there is no data.
    lead_minutes
        Lead time of each step, for the total; a rain rate holds for the time since the step before.

    Returns
    -------
    PointSummary
        State, start, end, peak and total of the rain.
    """
    rain = np.asarray(rain_rate_mm_h, np.float64)
    wet, known = rain >= WET_MM_H, np.isfinite(rain)
    raining = now_mm_h >= WET_MM_H
    starts, ends = first_spell(wet, known, raining)
    state: PointState
    if raining:
        state = "raining"
    elif wet.any():
        state = "rain-coming"
    elif not known.any():
        state = "no-data"
    else:
        state = "dry" if known.all() else "dry-where-known"
    peak = int(np.nanargmax(rain)) if wet.any() else None
    return PointSummary(
        state=state,
        starts=None if starts is None else valid_times[starts],
        ends=None if ends is None else valid_times[ends],
        peak=None if peak is None else float(rain[peak]),
        peak_time=None if peak is None else valid_times[peak],
        total_mm=round(float(rain @ step_hours(lead_minutes)), 3) if len(lead_minutes) and known.all() else None,
        frames_without_data=int((~known).sum()),
    )


def step_hours(lead_minutes: Sequence[float]) -> NDArray[np.float64]:
    """Return for how long (h) the rain rate of each lead step holds: since the step before."""
    leads = np.asarray(lead_minutes, np.float64)
    hours = leads / 60.0
    hours[1:] -= leads[:-1] / 60.0
    return hours


def first_spell(wet: NDArray[np.bool_], known: NDArray[np.bool_], raining: bool) -> tuple[int | None, int | None]:
    """Return the lead steps at which rain starts and at which the first spell ends; None where never, or not known.

    Where it rains already, rain starts again only after a frame that is known to be dry: a gap in the data is no pause.
    """
    first_wet = 0 if raining else _first(wet, 0)
    end = None if first_wet is None else _first(~wet, first_wet)
    ends = end if end is not None and known[end] else None
    if not raining:
        return first_wet, ends
    dry = None if end is None else _first(known & ~wet, end)
    return (None if dry is None else _first(wet, dry)), ends


def _first(flags: NDArray[np.bool_], start: int) -> int | None:
    """Return the index of the first true flag from `start` on."""
    found = np.flatnonzero(flags[start:])
    return start + int(found[0]) if found.size else None
