"""Recalibrate a model's probabilities on a feed's own past: isotonic regression by threshold and lead time.

What was forecast is compared with how often it happened (Zadrozny and Elkan 2002, doi:10.1145/775047.775151), in the
bins of `service.feeds.skill.counts`, as it was before any recalibration. Hours of rain depend on each other: with few
of them the curve is mixed with the forecast itself, and no threshold is touched that would not have gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np

from model.core.isotonic import isotonic_regression
from model.core.model_info import ANY_TIME_STEP
from model.core.probability_calibration import KNOTS, CalibrationArchive, ProbabilityCalibration
from model.core.probability_scores import EVENTS, FORECAST, PIXELS
from service.feeds.skill.counts import PUBLISHED, UNCALIBRATED, Array, bins_shape, unpack
from service.feeds.skill.ledger import SkillLedger
from service.feeds.skill.tables import FrameScore

WINDOW: Final = timedelta(days=7)
"""The past that is read, up to the newest frame."""

FEWEST_FRAMES: Final = 72
"""Frames that must have been scored: six hours at 5 min."""

SHORTEST_LEAD: Final = ANY_TIME_STEP.min_minutes
FEWEST_EVENTS: Final = 1000
FEWEST_HOURS: Final = 3
"""Pixels with an observed event, and hours that have such pixels, for a threshold to be recalibrated."""

PRIOR_HOURS: Final = 6
"""As many hours of rain weigh as much as the forecast itself."""

PROTOCOL: Final = "frames of the feed, forecasts of its own; a pixel counts where all forecasts and the frame have data"


class PastBins:
    """Bins of one model's probabilities over the past of a feed, by hour."""

    def __init__(self, thresholds_mm_h: tuple[float, ...]) -> None:
        self.thresholds_mm_h = thresholds_mm_h
        self.frames = 0
        self._hours: dict[str, dict[float, Array]] = {}

    def add(self, score: FrameScore) -> None:
        """Add the forecasts that were scored by one frame."""
        number = len(self.thresholds_mm_h)
        if tuple(score.thresholds_mm_h) != self.thresholds_mm_h or score.bins is None:
            return
        bins = unpack(score.bins, (len(score.lead_minutes), *bins_shape(number)))
        was_recalibrated = bins[:, UNCALIBRATED, ..., PIXELS].sum(axis=-1) > 0
        raw = np.where(was_recalibrated[..., None, None], bins[:, UNCALIBRATED], bins[:, PUBLISHED])
        hour = self._hours.setdefault(f"{score.valid_time:%Y-%m-%dT%H}", {})
        for lead, values in zip(score.lead_minutes, raw, strict=True):
            hour[lead] = hour[lead] + values if lead in hour else values
        self.frames += 1

    def calibration(self, feed: str) -> ProbabilityCalibration | None:
        """Return the calibration; None where no threshold gains by it.

        A threshold is recalibrated where there is enough of the past, and where the newest third of the hours would
        have had a lower Brier score with what the hours before it tell.
        """
        hours = sorted(self._hours)
        leads = tuple(sorted({lead for of_hour in self._hours.values() for lead in of_hour if lead >= SHORTEST_LEAD}))
        if self.frames < FEWEST_FRAMES or not leads:
            return None
        by_hour = np.stack([self._at(hour, leads) for hour in hours])
        early, late = np.split(by_hour, [len(hours) * 2 // 3])
        curves, before = _curves(by_hour), _curves(early)
        gains = [
            _brier_sum(late, before, row) < _brier_sum(late, None, row) for row in range(len(self.thresholds_mm_h))
        ]
        if not any(gains):
            return None
        curves[~np.asarray(gains)] = KNOTS
        days = tuple(sorted({hour[:10] for hour in hours}))
        return ProbabilityCalibration(
            protocol=PROTOCOL,
            archives=(CalibrationArchive(name=feed, digest="", days=days, starts=self.frames),),
            thresholds_mm_h=self.thresholds_mm_h,
            lead_minutes=leads,
            shares=KNOTS,
            probabilities=np.round(curves, 5).tolist(),
        )

    def _at(self, hour: str, leads: Sequence[float]) -> Array:
        """Return the bins of an hour [threshold, lead, bin, sum]."""
        none = np.zeros(bins_shape(len(self.thresholds_mm_h))[1:])
        return np.stack([self._hours[hour].get(lead, none) for lead in leads], axis=1)


def fit(ledger: SkillLedger, feed: str, model: str) -> ProbabilityCalibration | None:
    """Fit the recalibration of a version's probabilities on the feed's past; None where there is not enough of it."""
    newest = ledger.newest_scored(feed)
    if newest is None:
        return None
    past: PastBins | None = None
    for [score] in ledger.scores(feed, newest - WINDOW, newest, [model], bins=True):
        thresholds = tuple(score.thresholds_mm_h)
        if past is None or past.thresholds_mm_h != thresholds:  # the feed's thresholds were changed
            past = PastBins(thresholds)
        past.add(score)
    return None if past is None else past.calibration(feed)


def described(calibration: ProbabilityCalibration) -> str:
    """Return what a product says of the recalibration of its probabilities."""
    [past] = calibration.archives
    days = past.days[0] if len(past.days) == 1 else f"{past.days[0]} to {past.days[-1]}"
    return f"isotonic by threshold and lead time, on {past.starts} frames of this feed of {days}"


def _curves(by_hour: Array) -> Array:
    """Return the probability at each of KNOTS [threshold, lead, knot], given bins [hour, threshold, lead, bin, sum].

    A threshold without enough of the past keeps the forecast.
    """
    events = by_hour[..., EVENTS].sum(axis=(2, 3))
    hours = np.count_nonzero(events, axis=0)
    enough = (hours >= FEWEST_HOURS) & (events.sum(axis=0) >= FEWEST_EVENTS)
    trust = np.where(enough, hours / (hours + PRIOR_HOURS), 0.0)
    return np.stack(
        [
            np.stack([_curve(bins, share) for bins in leads])
            for leads, share in zip(by_hour.sum(axis=0), trust, strict=True)
        ]
    )


def _curve(bins: Array, trust: float) -> Array:
    """Return the probability at each of KNOTS, given the bins of a threshold and lead [bin, sum].

    `trust`: the weight of the past; the rest is that of the forecast itself.
    """
    seen = bins[bins[:, PIXELS] > 0]
    if not trust or not len(seen):
        return np.asarray(KNOTS)
    forecast, observed = seen[:, FORECAST] / seen[:, PIXELS], seen[:, EVENTS] / seen[:, PIXELS]
    fitted = np.interp(KNOTS, forecast, isotonic_regression(observed, seen[:, PIXELS]))
    return np.asarray(np.clip(trust * fitted + (1 - trust) * np.asarray(KNOTS), 0, 1))


def _brier_sum(by_hour: Array, curves: Array | None, row: int) -> float:
    """Return the sum of (p - o)^2 - o of a threshold over all leads, of the mean p of each bin, as calibrated."""
    total = 0.0
    for lead, bins in enumerate(by_hour[:, row].sum(axis=0)):
        seen = bins[bins[:, PIXELS] > 0]
        p = seen[:, FORECAST] / seen[:, PIXELS]
        if curves is not None:
            p = np.interp(p, KNOTS, curves[row, lead])
        total += float((seen[:, PIXELS] * p**2 - 2 * p * seen[:, EVENTS]).sum())
    return total
