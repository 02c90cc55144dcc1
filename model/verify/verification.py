"""The result of a verification: sums by model and block of time, and the scores and intervals that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.core import bootstrap
from model.core.bootstrap import Interval, IntervalArrays, block_weights, confidence_intervals
from model.core.contingency import contingency_score, fss, mean_over_leads, paired_means, ratio
from model.data.archive import Archive
from model.verify.accumulators import ERRORS, Accumulators, Sums
from model.verify.case_study import CaseStudy
from model.verify.protocols import Protocol
from model.verify.scores import contingency_tables

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """Scores of several models under one protocol, on the same pixels.

    Attributes
    ----------
    protocol, accumulators, archive
        What was scored, and how.
    lead_minutes : tuple of float
        Lead times.
    days : tuple of str
        UTC days of the start times.
    blocks : int
        Number of blocks of time: days or, if `short_blocks`, intervals of three hours.
    starts : int
        Number of start times.
    sums : mapping
        Sums by model (NAME@VERSION); see `model.verify.accumulators`.
    variants : mapping
        The variant and device that each model ran on.
    weights : mapping
        SHA-256 of the weights of each package.
    seconds_per_nowcast : mapping
        Mean seconds of a forecast in this run.
    damaged : mapping
        Start times (UTC) that were left out, with the error of the frame that cannot be read.
    case_study : CaseStudy, optional
        Frames of the start time with the most rain.
    """

    protocol: Protocol
    accumulators: Accumulators
    lead_minutes: tuple[float, ...]
    days: tuple[str, ...]
    blocks: int
    short_blocks: bool
    starts: int
    archive: Archive
    sums: Mapping[str, Sums]
    variants: Mapping[str, str]
    weights: Mapping[str, str]
    seconds_per_nowcast: Mapping[str, float]
    damaged: Mapping[str, str] = field(default_factory=dict)
    case_study: CaseStudy | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Return NAME@VERSION of each model."""
        return tuple(self.sums)

    def csi(self, model: str) -> Array:
        """Return the critical success index [threshold, lead]; NaN where no event was forecast or observed."""
        return self.score(model, "csi")

    def score(self, model: str, name: str) -> Array:
        """Return a score of `model.core.contingency.CONTINGENCY_SCORES` [threshold, lead]."""
        return np.asarray(self._score_samples(model, name)[0])

    def intervals(self, model: str, name: str) -> IntervalArrays:
        """Return a score with its 95 % intervals [threshold, lead]."""
        return confidence_intervals(self._score_samples(model, name))

    def mean_intervals(self, model: str, name: str) -> IntervalArrays:
        """Return the mean of a score over the leads with its 95 % intervals [threshold]."""
        return confidence_intervals(mean_over_leads(self._score_samples(model, name)))

    def csi_difference(
        self, model: str, other: str, threshold_mm_h: float, lead_minutes: float | None = None
    ) -> Interval:
        """Return the CSI of `model` minus the CSI of `other`, on paired resamples.

        Parameters
        ----------
        model, other : str
            NAME@VERSION of each.
        threshold_mm_h : float
            A threshold of the protocol.
        lead_minutes : float, optional
            A lead time of the protocol; by default the mean over the leads at which, in a resample, both have a score.

        Raises
        ------
        ValueError
            The protocol has no such threshold or lead.
        """
        row = self.protocol.thresholds_mm_h.index(threshold_mm_h)
        lead = slice(None) if lead_minutes is None else [self.lead_minutes.index(lead_minutes)]
        first, second = paired_means(*(self._score_samples(name, "csi")[:, row, lead] for name in (model, other)))
        return confidence_intervals(first - second).at()

    def csi_ratio(self, model: str, other: str) -> IntervalArrays:
        """Return the mean CSI of `model` over the mean CSI of `other` [threshold], on paired resamples.

        In each resample, both means are over the leads at which both have a score.
        """
        means = paired_means(*(self._score_samples(name, "csi") for name in (model, other)))
        return confidence_intervals(ratio(*means))

    def fss(self, model: str) -> IntervalArrays:
        """Return the fractions skill score [threshold, window, lead]."""
        return confidence_intervals(fss(self._resampled(self.sums[model]["fss"])))

    def mean_fss(self, model: str) -> IntervalArrays:
        """Return the mean of the fractions skill score over the leads [threshold, window]."""
        return confidence_intervals(mean_over_leads(fss(self._resampled(self.sums[model]["fss"]))))

    def has_score(self, name: str) -> bool:
        """Return whether a score that depends on an optional package was computed."""
        return all(bool(sums[name].any()) for sums in self.sums.values())

    def errors(self, model: str) -> Mapping[str, Array]:
        """Return the errors by lead [lead].

        Errors of the rain rate are means over pixels; errors of the pixel fraction are sums over the pixels of a frame,
        averaged over sequences.
        """
        sums = {name: values.sum(axis=0) for name, values in self.sums[model].items()}
        per_pixel = ratio(sums["errors"], sums["pixels"])
        per_frame = ratio(sums["errors"], sums["sequences"])
        rows = {name: row for row, name in enumerate(ERRORS)}
        return {
            "mse_mm_h": per_pixel[rows["squared_rain"]],
            "mae_mm_h": per_pixel[rows["absolute_rain"]],
            "mse": per_frame[rows["squared"]],
            "mae": per_frame[rows["absolute"]],
            "b_mse": per_frame[rows["balanced_squared"]],
            "b_mae": per_frame[rows["balanced_absolute"]],
            "ssim": ratio(*sums["ssim"]),
            "psnr_db": ratio(*sums["psnr"]),
            "lpips": ratio(*sums["lpips"]),
        }

    @property
    def interval_note(self) -> str:
        """Return how the intervals were computed, or why there are none."""
        return interval_note(self.blocks, len(self.days), short_blocks=self.short_blocks)

    @cached_property
    def _block_weights(self) -> Array:
        return block_weights(self.blocks)

    def _resampled(self, sums: Array) -> Array:
        """Return sums [block, ..] under each resample [1 + RESAMPLES, ..]."""
        return (self._block_weights @ sums.reshape(self.blocks, -1)).reshape(-1, *sums.shape[1:])

    def _score_samples(self, model: str, name: str) -> Array:
        """Return a score of contingency tables under each resample [1 + RESAMPLES, threshold, lead]."""
        tables = contingency_tables(self.sums[model]["joint_histogram"], self.accumulators.threshold_indices)
        return contingency_score({cell: self._resampled(counts) for cell, counts in tables.items()}, name)


def interval_note(block_count: int, day_count: int, *, short_blocks: bool) -> str:
    """Return how intervals were computed from so many blocks of time, or why there are none."""
    blocks = days = _counted(day_count, "day")
    if short_blocks:
        blocks = f"{_counted(block_count, 'block')} of {bootstrap.SHORT_BLOCK_HOURS} hours"
        blocks += f", because the start times cover only {days}"
    if block_count < bootstrap.MIN_BLOCKS:
        return f"95 % intervals: none, too few blocks to resample: {blocks}"
    return f"95 % intervals: {bootstrap.RESAMPLES} resamples with replacement of {blocks}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"
