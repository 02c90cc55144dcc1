"""Scores of probabilities and members, from sums over pixels. Leading axes, such as resamples, pass through.

Bins hold n pixels with mean probability p and observed share o; N, m and c are the number of pixels, the mean
probability and the observed share of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.core.contingency import ratio
from model.core.units import FloatArray

Array = NDArray[np.float64]

BIN_SUMS: Final = ("pixels", "p", "pp", "o", "po")
"""Sums over the pixels of a bin: number, forecast probability, its square, events, and probability times event."""

ROUNDING: Final = 1e-6
"""A share of members that is a bin's lower edge belongs to that bin, however it is rounded."""

PIXELS, FORECAST, FORECAST_SQUARED, EVENTS, JOINT = (BIN_SUMS.index(name) for name in ("pixels", "p", "pp", "o", "po"))

DECOMPOSITION: Final = ("reliability", "resolution", "uncertainty", "within_bins")


def bin_sums(probability: FloatArray, event: NDArray[np.bool_], edges: Sequence[float]) -> Array:
    """Return the sums of BIN_SUMS [bin, sum] of pixels.

    Parameters
    ----------
    probability : array [N]
        Forecast probabilities, without NaN.
    event : array of bool [N]
        Where the event was observed.
    edges : sequence of float
        Lower edges of the bins, ascending from 0.
    """
    p = np.asarray(probability, np.float64)
    index = np.searchsorted(np.asarray(edges), p + ROUNDING, side="right") - 1
    columns = (np.ones_like(p), p, p * p, event, p * event)
    return np.stack([np.bincount(index, weights=column, minlength=len(edges)) for column in columns], axis=-1)


def members_crps(members: FloatArray, truth: FloatArray) -> Array:
    """Return the CRPS (mm h-1) of members without the penalty for their number (Ferro 2014, doi 10.1002/qj.2270).

    mean |x - y| - sum over pairs |x - x'| / (2 m (m - 1)); of sorted members the sum is 2 sum (2 i - m - 1) x_i.

    Parameters
    ----------
    members : array [realization, N]
        Rain rate (mm h-1), at least 2 members, without NaN.
    truth : array [N]
        Rain rate (mm h-1), without NaN.
    """
    values = np.sort(np.asarray(members, np.float64), axis=0)
    m = len(values)
    weights = 2 * np.arange(1, m + 1) - m - 1
    return np.asarray(np.abs(values - truth).mean(axis=0) - np.tensordot(weights, values, axes=1) / (m * (m - 1)))


def brier(bins: Array, members: int | None = None) -> Array:
    """Return the Brier score (Brier 1950), mean of (p - o)^2 over all pixels [..].

    With a number of members, without the penalty for it: less p (1 - p) / (members - 1) (Ferro 2014, eq. 8,
    doi 10.1002/qj.2270).

    Parameters
    ----------
    bins : array [.., bin, sum, lead]
        Sums of BIN_SUMS.
    members : int, optional
        Number of members whose shares the probabilities are.
    """
    totals = bins.sum(axis=-3)
    score = totals[..., FORECAST_SQUARED, :] - 2 * totals[..., JOINT, :] + totals[..., EVENTS, :]
    if members is not None:
        score = score - (totals[..., FORECAST, :] - totals[..., FORECAST_SQUARED, :]) / (members - 1)
    return ratio(score, totals[..., PIXELS, :])


def decomposition(bins: Array) -> Array:
    """Return reliability, resolution, uncertainty and the terms within bins of the Brier score [.., 4, lead].

    Brier score = reliability - resolution + uncertainty + within bins: sum n (p - o)^2 / N, sum n (o - c)^2 / N and
    c (1 - c) (Murphy 1973, doi 10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2); the last is the variance of the
    forecasts of a bin less twice their covariance with the events (Stephenson et al. 2008,
    doi 10.1175/2007WAF2006116.1).

    Parameters
    ----------
    bins : array [.., bin, sum, lead]
        Sums of BIN_SUMS.
    """
    number, p_sum, pp_sum, events, po_sum = (bins[..., row, :] for row in range(len(BIN_SUMS)))
    total = number.sum(axis=-2)
    p, o = _filled_ratio(p_sum, number), _filled_ratio(events, number)
    climate = ratio(events.sum(axis=-2), total)
    reliability = ratio((number * (p - o) ** 2).sum(axis=-2), total)
    resolution = ratio((number * (o - climate[..., None, :]) ** 2).sum(axis=-2), total)
    variance, covariance = pp_sum - number * p**2, po_sum - number * p * o
    within = ratio((variance - 2 * covariance).sum(axis=-2), total)
    return np.stack([reliability, resolution, climate * (1 - climate), within], axis=-2)


def roc_area(bins: Array) -> Array:
    """Return the area below the ROC curve [.., lead]: probability of detection over false alarm rate, by trapezoids.

    The curve has a point for each bin's lower edge (Mason 1982); the area is NaN without events or without non-events.

    Parameters
    ----------
    bins : array [.., bin, sum, lead]
        Sums of BIN_SUMS.
    """
    events = bins[..., EVENTS, :][..., ::-1, :]
    others = (bins[..., PIXELS, :] - bins[..., EVENTS, :])[..., ::-1, :]
    detected, alarms = (np.cumsum(counts, axis=-2) for counts in (events, others))
    # Each bin's non-events lie below the events of all bins above it, and half of its own.
    area = (others * (detected - events / 2)).sum(axis=-2)
    return ratio(area, detected[..., -1, :] * alarms[..., -1, :])


class ReliabilityCurve(NamedTuple):
    """Pixels, mean forecast probability and observed share of each bin [.., bin]; NaN without pixels."""

    pixels: Array
    forecast: Array
    observed: Array


def reliability_curve(bins: Array) -> ReliabilityCurve:
    """Return the curve of the reliability diagram.

    Parameters
    ----------
    bins : array [.., bin, sum]
        Sums of BIN_SUMS.
    """
    pixels = bins[..., PIXELS]
    return ReliabilityCurve(pixels, ratio(bins[..., FORECAST], pixels), ratio(bins[..., EVENTS], pixels))


def largest_deviation(bins: Array, fewest_pixels: int) -> Array:
    """Return the largest difference of observed share and forecast probability over bins with enough pixels [..].

    Parameters
    ----------
    bins : array [.., bin, sum]
        Sums of BIN_SUMS.
    fewest_pixels : int
        Pixels that a bin must have; NaN where none has.
    """
    curve = reliability_curve(bins)
    away = np.abs(curve.observed - curve.forecast)
    away = np.where(curve.pixels >= fewest_pixels, away, -np.inf)
    largest = away.max(axis=-1)
    return np.where(np.isfinite(largest), largest, np.nan)


def merged_bins(bins: Array, edges: tuple[float, ...], coarse: tuple[float, ...], axis: int) -> Array:
    """Add up bins to coarser ones, whose lower edges are among `edges`, along an axis."""
    return np.asarray(np.add.reduceat(bins, [edges.index(edge) for edge in coarse], axis=axis))


def spread_error_ratio(spread: Array, members: int) -> Array:
    """Return the spread of members over the error of their mean [.., lead]; 1 where they are consistent.

    sqrt((m + 1) / m  mean variance) / root mean squared error (Fortin et al. 2014, doi 10.1175/JHM-D-14-0008.1).

    Parameters
    ----------
    spread : array [.., 2, lead]
        Sums of the variance, and of the squared error.
    members : int
        Number of members m.
    """
    return np.sqrt(ratio((members + 1) / members * spread[..., 0, :], spread[..., 1, :]))


def rank_share(ranks: Array) -> Array:
    """Return the share of each rank times their number [rank, ..]: 1 everywhere for a flat histogram."""
    return ratio(ranks * len(ranks), ranks.sum(axis=0))


def _filled_ratio(numerator: Array, denominator: Array) -> Array:
    return np.nan_to_num(ratio(numerator, denominator))
