"""Rainfall over a period, from the rain rates of a forecast.

The rate of a lead step stands for the time since the step before, as in radar hydrology where one scan stands for an
interval. A period that begins or ends within a step takes that share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

PERIODS_MINUTES: Final = (15.0, 30.0, 60.0)
"""Periods over which rainfall is given."""


def step_hours(lead_minutes: Sequence[float], start_minutes: float, end_minutes: float) -> NDArray[np.float32] | None:
    """Return for how many hours of a period each lead step stands.

    Parameters
    ----------
    lead_minutes
        Lead times [lead], ascending; the first step begins at the reference time.
    start_minutes, end_minutes
        The period, in minutes after the reference time.

    Returns
    -------
    ndarray or None
        Hours [lead], 0 where a step lies outside of the period; None where the forecast does not cover the period.
    """
    ends = np.asarray(lead_minutes, np.float64)
    starts = np.concatenate([[0.0], ends[:-1]])
    tolerance = 1e-6
    if start_minutes < -tolerance or end_minutes > ends[-1] + tolerance:
        return None
    overlap = np.minimum(ends, end_minutes) - np.maximum(starts, start_minutes)
    hours: NDArray[np.float32] = (np.where(overlap > tolerance, overlap, 0.0) / 60.0).astype(np.float32)
    return hours


def rainfall_mm(rain_rate_mm_h: FloatArray, hours: NDArray[np.float32]) -> FloatArray:
    """Return the rainfall (mm) [...] over a period; missing wherever a step of the period is missing.

    Parameters
    ----------
    rain_rate_mm_h
        Rain rates [..., lead, y, x] (mm h-1, NaN is no data).
    hours
        For how many hours each step counts [lead], of `step_hours`.
    """
    steps = np.flatnonzero(hours)
    total: FloatArray = np.einsum("l,...lyx->...yx", hours[steps], rain_rate_mm_h[..., steps, :, :])
    return total


def exceedance(members_mm: FloatArray, thresholds_mm: Sequence[float]) -> FloatArray:
    """Return the share of members that reach each threshold [threshold, y, x]; missing where a member is.

    `members_mm`: rainfall of the members [realization, y, x] (mm, NaN is no data).
    """
    missing = np.isnan(members_mm).any(axis=0)
    shares = np.stack([(members_mm >= threshold - 1e-4).mean(axis=0, dtype=np.float32) for threshold in thresholds_mm])
    shares[:, missing] = np.nan
    return shares
