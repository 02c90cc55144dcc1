"""What `verify` found: sums by model and block of time, and the scores and intervals that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.data.archive import Archive
from model.verify.answer import answer_of
from model.verify.bootstrap import (
    FEWEST_BLOCKS,
    RESAMPLES,
    SHORT_BLOCK_HOURS,
    Interval,
    Intervals,
    draws,
    interval_of,
)
from model.verify.example import Example
from model.verify.scores import contingency, fss, mean_over_leads, paired_means, ratio, tables
from model.verify.tally import ERRORS, Layout, Sums

if TYPE_CHECKING:
    from model.verify.protocol import Protocol

__all__ = ["Interval", "Intervals", "Verification"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """Scores of several models under one protocol, on the same pixels.

    `days`: UTC days of the start times. `sums`: by model (NAME@VERSION), of `blocks` blocks of time; days, or with few
    days (`short_blocks`) three hours each. `weights`: SHA-256 of those of packages. `seconds_per_nowcast`: mean, as it
    ran here on `variants`. `damaged`: start times (UTC) left out for a frame that cannot be read, and which.
    """

    protocol: Protocol
    layout: Layout
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
    example: Example | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """NAME@VERSION of each model."""
        return tuple(self.sums)

    def csi(self, model: str) -> Array:
        """Critical success index [threshold, lead]; NaN where there is nothing to count."""
        return self.score(model, "csi")

    def score(self, model: str, name: str) -> Array:
        """A score of `model.verify.scores.CONTINGENCY` [threshold, lead]."""
        return np.asarray(self._samples(model, name)[0])

    def intervals(self, model: str, name: str) -> Intervals:
        """The score [threshold, lead] with its 95 % intervals."""
        return interval_of(self._samples(model, name))

    def mean_intervals(self, model: str, name: str) -> Intervals:
        """Its mean over leads [threshold]."""
        return interval_of(mean_over_leads(self._samples(model, name)))

    def csi_difference(
        self, model: str, other: str, threshold_mm_h: float, lead_minutes: float | None = None
    ) -> Interval:
        """CSI of `model` less that of `other`: at a lead time, or (None) the mean over leads. Paired draws of blocks.

        In each draw the mean is over the leads where both have a score. NaN where there is nothing to count.

        Raises
        ------
        ValueError
            The protocol has no such threshold or lead.
        """
        row = self.protocol.thresholds_mm_h.index(threshold_mm_h)
        one, two = (self._samples(name, "csi")[:, row] for name in (model, other))
        lead = slice(None) if lead_minutes is None else [self.lead_minutes.index(lead_minutes)]
        first, second = paired_means(one[:, lead], two[:, lead])
        return interval_of(first - second).at()

    def csi_ratio(self, model: str, other: str) -> Intervals:
        """Mean over leads of the CSI of `model`, over that of `other` [threshold]; paired draws of blocks.

        In each draw both means are over the leads where both have a score.
        """
        return interval_of(ratio(*paired_means(self._samples(model, "csi"), self._samples(other, "csi"))))

    def fss(self, model: str) -> Intervals:
        """Fractions skill score [threshold, window, lead]."""
        return interval_of(fss(self._drawn(model, "fss")))

    def mean_fss(self, model: str) -> Intervals:
        """Its mean over leads [threshold, window]."""
        return interval_of(mean_over_leads(fss(self._drawn(model, "fss"))))

    def has(self, name: str) -> bool:
        """Whether anything was summed for a score that is not always there."""
        return all(bool(sums[name].any()) for sums in self.sums.values())

    def errors(self, model: str) -> Mapping[str, Array]:
        """Errors by lead [lead]: of the rain rate means over pixels, of the pixel fraction sums over a frame's pixels,
        mean over sequences."""
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
            "ssim": ratio(sums["ssim"][0], sums["ssim"][1]),
            "psnr_db": ratio(sums["psnr"][0], sums["psnr"][1]),
            "lpips": ratio(sums["lpips"][0], sums["lpips"][1]),
        }

    @property
    def note(self) -> str:
        """How the intervals were made, or why there are none."""
        days = f"{len(self.days)} day{'s' if len(self.days) > 1 else ''}"
        short = (
            f"{self.blocks} block{'s' if self.blocks > 1 else ''} of {SHORT_BLOCK_HOURS} hours, for there is no more "
        )
        what = f"{short}than {days}" if self.short_blocks else days
        if self.blocks < FEWEST_BLOCKS:
            return f"95 % intervals: none, too little to draw from: {what}"
        return f"95 % intervals: {RESAMPLES} draws with replacement of {what}"

    @cached_property
    def _draws(self) -> Array:
        return draws(self.blocks)

    def _drawn(self, model: str, name: str) -> Array:
        """A sum under each of the draws [1 + RESAMPLES, ..]."""
        sums = self.sums[model][name]
        return (self._draws @ sums.reshape(self.blocks, -1)).reshape(-1, *sums.shape[1:])

    def _samples(self, model: str, name: str) -> Array:
        """A score of contingency tables under each of the draws [1 + RESAMPLES, threshold, lead]."""
        cells = tables(self.sums[model]["classes"], self.layout.events)
        drawn = {
            cell: (self._draws @ counts.reshape(self.blocks, -1)).reshape(-1, *counts.shape[1:])
            for cell, counts in cells.items()
        }
        return contingency(drawn, name)

    def as_json(self) -> dict[str, Any]:
        """What `echocast verify --json` prints."""
        return answer_of(self)
