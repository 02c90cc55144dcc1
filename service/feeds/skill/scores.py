"""Scores of a window with their intervals, the difference between models, and whether there are enough cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from model.core.bootstrap import MIN_BLOCKS, Interval, IntervalArrays, block_weights, confidence_intervals
from model.core.contingency import contingency_score, fss, mean_over_leads, paired_means, ratio
from service.feeds.skill.counts import PUBLISHED, UNCALIBRATED, Array
from service.feeds.skill.window import Window

FEWEST_FRAMES: Final = 24
"""Frames that a comparison needs: two hours at 5 min."""

FEWEST_EVENTS: Final = 1000
"""Pixels, over all frames and leads, that rain at a threshold must cover for a score to count."""

OF_FIELD: Final = ("mae", "me", "rmse")
OF_EVENTS: Final = ("csi", "pod", "far", "bias")


class WindowScores:
    """Scores of the models of a window. All models share the same resamples of its blocks."""

    def __init__(self, window: Window) -> None:
        self.window = window
        weights = block_weights(len(window.blocks)) if window.blocks else np.ones((1, 0))
        shape = window.counts.shape[1:]
        resampled = weights @ window.counts.reshape(len(window.blocks), math.prod(shape))
        self._parts = Window(
            models=window.models,
            thresholds_mm_h=window.thresholds_mm_h,
            lead_minutes=window.lead_minutes,
            blocks=window.blocks,
            by_day=window.by_day,
            counts=resampled.reshape(len(weights), *shape),
        ).part

    @cached_property
    def shortage(self) -> str:
        """Why there are too few cases for a conclusion; empty where there are enough."""
        window = self.window
        if window.frames >= FEWEST_FRAMES and len(window.blocks) >= MIN_BLOCKS and self.known_thresholds:
            return ""
        unit = "day" if window.by_day else "hour"
        found = f"{window.frames} frames in {len(window.blocks)} {unit}{'s' if len(window.blocks) != 1 else ''}"
        if window.frames >= FEWEST_FRAMES and len(window.blocks) >= MIN_BLOCKS:
            return f"too little rain: at no threshold {FEWEST_EVENTS} pixels in {MIN_BLOCKS} {unit}s, in {found}"
        return f"too few cases: {found}, {FEWEST_FRAMES} frames in {MIN_BLOCKS} {unit}s are needed"

    @property
    def events(self) -> Array:
        """Pixels with observed events, over all frames [threshold, lead]."""
        return np.asarray(self._observed().sum(axis=0))

    @cached_property
    def known_thresholds(self) -> tuple[float, ...]:
        """The thresholds with enough observed rain."""
        by_block = self._observed().sum(axis=-1)
        enough = (np.count_nonzero(by_block, axis=0) >= MIN_BLOCKS) & (by_block.sum(axis=0) >= FEWEST_EVENTS)
        return tuple(np.asarray(self.window.thresholds_mm_h)[enough].tolist())

    def _observed(self) -> Array:
        """Return the pixels with observed events [block, threshold, lead]: hits and misses are those of any model."""
        table = self.window.part("contingency")[:, 0]
        return np.moveaxis(table[..., 0] + table[..., 1], 1, -1)

    @property
    def cases(self) -> Array:
        """Number of forecasts of each model [lead]."""
        return np.asarray(self.window.part("cases")[:, 0].sum(axis=0))

    def samples(self, name: str, model: str) -> Array:
        """Return a score under each resample [resample, .., lead]; NaN where there is nothing to count.

        `mae`, `me`, `rmse` and `crps` (mm h-1) [lead]; `csi`, `pod`, `far`, `bias`, `brier` and `brier_uncalibrated`
        [threshold, lead]; `fss` [threshold, window, lead].
        """
        row = self.window.models.index(model)

        def of(part: str) -> Array:
            return np.moveaxis(self._parts(part)[:, row], 1, -1)

        pixels = of("pixels")
        if name in OF_FIELD:
            total = {"me": 0, "mae": 1, "rmse": 2}[name]
            mean = ratio(of("errors")[:, total], pixels)
            return np.sqrt(mean) if name == "rmse" else mean
        if name in OF_EVENTS:
            hits, misses, alarms = np.moveaxis(of("contingency"), 2, 0)
            rest = pixels[:, None] - hits - misses - alarms
            return contingency_score({"tp_count": hits, "fn_count": misses, "fp_count": alarms, "tn_count": rest}, name)
        if name == "fss":
            return fss(of("fss"))
        if name == "crps":
            number, total_crps = np.moveaxis(of("crps"), 1, 0)
            return ratio(total_crps, number)
        source = {"brier": PUBLISHED, "brier_uncalibrated": UNCALIBRATED}[name]
        number, squares = np.moveaxis(of("brier")[:, source], 2, 0)
        return ratio(squares, number)

    def interval(self, name: str, model: str) -> IntervalArrays:
        """Return a score with its interval [.., lead]; see `samples`."""
        return confidence_intervals(self.samples(name, model))

    def difference(self, name: str, model: str, other: str) -> IntervalArrays:
        """Return a score of `model` less that of `other` [.., lead], with the paired interval."""
        return confidence_intervals(self.samples(name, model) - self.samples(name, other))

    def mean_difference(self, name: str, model: str, other: str, leads: Sequence[int]) -> IntervalArrays:
        """Return the same [..], mean over the leads of these indices at which both have a score."""
        one, two = (self.samples(name, each)[..., list(leads)] for each in (model, other))
        first, second = paired_means(one, two)
        return confidence_intervals(first - second)

    def mean_csi_difference(self, model: str, other: str) -> Interval:
        """Return the difference of CSI, mean over leads and over thresholds with enough rain."""
        rows = [self.window.thresholds_mm_h.index(threshold) for threshold in self.known_thresholds]
        if not rows:
            return Interval(np.nan, np.nan, np.nan)
        one, two = (self.samples("csi", each)[:, rows] for each in (model, other))
        first, second = paired_means(one, two)
        return confidence_intervals(mean_over_leads(first - second)).at()
