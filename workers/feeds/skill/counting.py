"""Count forecasts beside the frame that was observed at their valid time, at the same pixels for all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.grid import Grid
from model.core.packing import PROBABILITY_RESOLUTION
from model.core.probability_scores import ROUNDING, members_crps
from model.core.units import FloatArray
from model.runtime.neighbourhood import neighbourhood_shares
from service.feeds.skill.counts import (
    FSS_KM,
    PROBABILITY_EDGES,
    PUBLISHED,
    UNCALIBRATED,
    Array,
    bins_shape,
    columns,
    part,
    stride_of,
)
from workers.feeds.skill.stored_nowcast import LeadForecast, Levels

Mask = NDArray[np.bool_]

LEVELS: Final = np.arange(round(1 / PROBABILITY_RESOLUTION) + 1) * PROBABILITY_RESOLUTION
"""The probabilities that a forecast file can hold."""
BIN_OF_LEVEL: Final = np.searchsorted(np.asarray(PROBABILITY_EDGES), LEVELS + ROUNDING, side="right") - 1


class LeadCounts(NamedTuple):
    """Counts of one lead time [column], and its bins of probability; see `service.feeds.skill.counts`."""

    counts: Array
    bins: Array | None


def count_lead(
    observed: FloatArray, forecasts: Mapping[str, LeadForecast], thresholds_mm_h: Sequence[float], grid: Grid
) -> dict[str, LeadCounts]:
    """Count the forecasts of one start time at one lead time.

    A pixel counts where the observation and the forecasts of all models have data; so models are compared at the same
    pixels, and missing data is neither a hit nor a miss.

    Parameters
    ----------
    observed
        Rain rate [y, x] (mm h-1, NaN is no data).
    forecasts
        By model.
    thresholds_mm_h
        Events are rain of at least so much.
    grid
        The grid of all of them.

    Returns
    -------
    dict of str to LeadCounts
        By model; empty where no pixel has data in all.
    """
    scored = np.isfinite(observed)
    for forecast in forecasts.values():
        scored &= np.isfinite(forecast.field)
    if not scored.any():
        return {}
    fractions = _Fractions(thresholds_mm_h, grid)
    truth = np.where(scored, observed, np.float32(np.nan))
    of_truth = fractions.of(truth)
    stride = stride_of(observed.shape)
    found = {}
    for model, forecast in forecasts.items():
        field = np.where(scored, forecast.field, np.float32(np.nan))
        counts = np.zeros(columns(len(thresholds_mm_h)))
        _count_field(counts, field[scored], observed[scored], thresholds_mm_h)
        part(counts, "fss", len(thresholds_mm_h))[...] = fractions.sums(fractions.of(field), of_truth)
        thin = scored[::stride, ::stride]
        rain = observed[::stride, ::stride][thin]
        bins = _count_probabilities(counts, forecast, thin, rain, thresholds_mm_h)
        if forecast.members is not None:
            part(counts, "crps", len(thresholds_mm_h))[...] = _crps(forecast.members[:, thin], rain)
        found[model] = LeadCounts(counts, bins)
    return found


def _count_field(counts: Array, field: FloatArray, rain: FloatArray, thresholds_mm_h: Sequence[float]) -> None:
    """Fill in the counts of the field at the scored pixels [N]."""
    number = len(thresholds_mm_h)
    error = np.asarray(field, np.float64) - rain
    part(counts, "cases", number)[...] = 1
    part(counts, "pixels", number)[...] = rain.size
    part(counts, "errors", number)[...] = (error.sum(), np.abs(error).sum(), np.vdot(error, error))
    table = part(counts, "contingency", number)
    for row, threshold in enumerate(np.asarray(thresholds_mm_h, np.float32)):
        said, seen = field >= threshold, rain >= threshold
        table[row] = [np.count_nonzero(each) for each in (said & seen, ~said & seen, said & ~seen)]


class _Fractions:
    """Shares of events in windows, for the fractions skill score (Roberts and Lean 2008, doi 10.1175/2007MWR2123.1)."""

    def __init__(self, thresholds_mm_h: Sequence[float], grid: Grid) -> None:
        self._thresholds = thresholds_mm_h
        self._windows = [_window_px(grid, side) for side in FSS_KM]

    def of(self, frame: FloatArray) -> list[list[FloatArray]]:
        """Return the shares [threshold][window] of a frame, 0 where it is not scored."""
        by_window = [
            [np.nan_to_num(share, copy=False) for share in neighbourhood_shares(frame, self._thresholds, window)]
            for window in self._windows
        ]
        return [list(shares) for shares in zip(*by_window, strict=True)]

    @staticmethod
    def sums(forecast: list[list[FloatArray]], truth: list[list[FloatArray]]) -> Array:
        """Return the sums of (Pf - Po)^2 and of Pf^2 + Po^2 [2, threshold, window]."""
        found = np.zeros((2, len(truth), len(FSS_KM)))
        for row, (of_forecast, of_truth) in enumerate(zip(forecast, truth, strict=True)):
            for column, (pf, po) in enumerate(zip(of_forecast, of_truth, strict=True)):
                squares = cv2.norm(pf, cv2.NORM_L2SQR) + cv2.norm(po, cv2.NORM_L2SQR)
                found[:, row, column] = (cv2.norm(pf, po, cv2.NORM_L2SQR), squares)
        return found


def _window_px(grid: Grid, side_km: float) -> tuple[int, int]:
    """Return the odd numbers of rows and columns that are closest to a side."""
    rows, columns_ = (max(1, 2 * round((1000 * side_km / pixel - 1) / 2) + 1) for pixel in grid.pixel_size_m)
    return rows, columns_


def _count_probabilities(
    counts: Array, forecast: LeadForecast, thin: Mask, rain: FloatArray, thresholds_mm_h: Sequence[float]
) -> Array | None:
    """Fill in the sums of the Brier score; return the bins, None without probabilities."""
    if forecast.probability is None:
        return None
    number = len(thresholds_mm_h)
    bins, brier = np.zeros(bins_shape(number)), part(counts, "brier", number)
    for source, probability in ((PUBLISHED, forecast.probability), (UNCALIBRATED, forecast.uncalibrated)):
        if probability is None:
            continue
        for row, threshold in enumerate(thresholds_mm_h):
            if threshold not in forecast.thresholds_mm_h:
                continue
            levels = probability[forecast.thresholds_mm_h.index(threshold)][thin]
            bins[source, row] = bin_sums_of_levels(levels, rain >= np.float32(threshold))
            brier[source, row] = (rain.size, brier_sum(bins[source, row]))
    return bins


def bin_sums_of_levels(levels: Levels, event: Mask) -> Array:
    """Return the sums of the bins [bin, sum] of probabilities in steps of `PROBABILITY_RESOLUTION` [N].

    As `model.core.probability_scores.bin_sums`, by counting each of the few levels.
    """
    others, events = np.bincount(levels.astype(np.intp) + 256 * event, minlength=512).reshape(2, 256)[:, : LEVELS.size]
    pixels = others + events
    columns_ = (pixels, pixels * LEVELS, pixels * LEVELS**2, events, events * LEVELS)
    return np.stack([np.bincount(BIN_OF_LEVEL, column, len(PROBABILITY_EDGES)) for column in columns_], axis=-1)


def brier_sum(bins: Array) -> float:
    """Return the sum of (p - o)^2, given the sums of the bins [bin, sum]."""
    _, _, squares, events, joint = bins.sum(axis=0)
    return float(squares - 2 * joint + events)


def _crps(members: FloatArray, rain: FloatArray) -> tuple[float, float]:
    """Return the number of pixels and the sum of their CRPS; of parts, as it takes hundreds of bytes a pixel."""
    size, total = 2**16, 0.0
    for first in range(0, rain.size, size):
        pixels = slice(first, first + size)
        total += float(members_crps(members[:, pixels], rain[pixels]).sum())
    return rain.size, total
