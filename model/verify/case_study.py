"""The case that the report plots: the start time with the most rain at the plotted leads, selected by the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from model.core.units import FloatArray
from model.verify.frames import FramePair

WET_MM_H: Final = 2.0


@dataclass(kw_only=True)
class CaseStudy:
    """Frames (mm h-1, NaN where not scored) of the truth and of each model at `plotted_leads` (indices of leads)."""

    start: np.datetime64
    plotted_leads: tuple[int, ...]
    wet_pixels: int = 0
    truth: dict[int, FloatArray] = field(default_factory=dict)
    forecasts: dict[str, dict[int, FloatArray]] = field(default_factory=dict)

    def add(self, model: str, lead: int, pair: FramePair) -> None:
        """Store the pair if its lead is plotted."""
        if lead not in self.plotted_leads:
            return
        if lead not in self.truth:
            self.truth[lead] = np.where(pair.scored, pair.truth.rain, np.float32(np.nan))
            self.wet_pixels += int(np.count_nonzero(pair.truth.rain >= WET_MM_H))
        self.forecasts.setdefault(model, {})[lead] = np.where(pair.scored, pair.forecast.rain, np.float32(np.nan))
