"""Recalibrate a model's probabilities on a feed's own past: isotonic regression by threshold and lead time.

What was forecast is compared with how often it happened (Zadrozny and Elkan 2002, doi:10.1145/775047.775151), in the
bins of `service.feeds.skill.counts`, as it was before any recalibration. Hours of rain depend on each other: with few
of them the curve is mixed with the forecast itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np

from model.core.isotonic import isotonic_regression
from model.core.model_info import ANY_TIME_STEP
from model.core.probability_calibration import KNOTS, CalibrationArchive, ProbabilityCalibration
from model.core.probability_scores import EVENTS, FORECAST, PIXELS
from service.feeds.skill.counts import PUBLISHED, UNCALIBRATED, Array, bins_shape, columns, part, unpack
from service.feeds.skill.ledger import SkillLedger
from service.feeds.skill.tables import FrameScore

WINDOW: Final = timedelta(days=7)
"""The past that is read, up to the newest frame."""

FEWEST_FRAMES: Final = 72
"""Frames that must have been scored: six hours at 5 min."""

FEWEST_EVENTS: Final = 1000
FEWEST_HOURS: Final = 3
"""Pixels with an observed event, and hours that have such pixels, for a threshold to be recalibrated."""

PRIOR_HOURS: Final = 6
"""As many hours of rain weigh as much as the forecast itself."""

PROTOCOL: Final = "frames of the feed, forecasts of its own; a pixel counts where all forecasts and the frame have data"


class PastBins:
    """Bins of one model's probabilities [lead, threshold, bin, sum] over the past of a feed."""

    def __init__(self, thresholds_mm_h: tuple[float, ...]) -> None:
        self.thresholds_mm_h = thresholds_mm_h
        self.frames = 0
        self.days: set[str] = set()
        self._bins: dict[float, Array] = {}
        self._hours: dict[str, Array] = {}

    def add(self, score: FrameScore) -> None:
        """Add the forecasts that were scored by one frame."""
        number = len(self.thresholds_mm_h)
        if tuple(score.thresholds_mm_h) != self.thresholds_mm_h or score.bins is None:
            return
        leads = len(score.lead_minutes)
        bins = unpack(score.bins, (leads, *bins_shape(number)))
        was_recalibrated = bins[:, UNCALIBRATED, ..., PIXELS].sum(axis=-1) > 0
        raw = np.where(was_recalibrated[..., None, None], bins[:, UNCALIBRATED], bins[:, PUBLISHED])
        for lead, values in zip(score.lead_minutes, raw, strict=True):
            self._bins[lead] = self._bins.get(lead, 0) + values
        table = part(unpack(score.counts, (leads, columns(number))), "contingency", number)
        hour = f"{score.valid_time:%Y-%m-%dT%H}"
        self._hours[hour] = self._hours.get(hour, 0) + table[..., :2].sum(axis=(0, 2))
        self.days.add(hour[:10])
        self.frames += 1

    def calibration(self, feed: str) -> ProbabilityCalibration | None:
        """Return the calibration; None where no threshold has enough of the past."""
        leads = tuple(sorted(lead for lead in self._bins if lead >= ANY_TIME_STEP.min_minutes))
        if self.frames < FEWEST_FRAMES or not leads:
            return None
        events = np.stack(list(self._hours.values()))
        hours = np.count_nonzero(events, axis=0)
        enough = (hours >= FEWEST_HOURS) & (events.sum(axis=0) >= FEWEST_EVENTS)
        if not enough.any():
            return None
        trust = np.where(enough, hours / (hours + PRIOR_HOURS), 0.0)
        table = [
            [_curve(self._bins[lead][row], trust[row]) for lead in leads] for row in range(len(self.thresholds_mm_h))
        ]
        past = CalibrationArchive(name=feed, digest="", days=tuple(sorted(self.days)), starts=self.frames)
        return ProbabilityCalibration(
            protocol=PROTOCOL,
            archives=(past,),
            thresholds_mm_h=self.thresholds_mm_h,
            lead_minutes=leads,
            shares=KNOTS,
            probabilities=np.round(table, 5).tolist(),
        )


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
