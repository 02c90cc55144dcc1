"""One case to look at: the start time with the most rain in what then came, chosen by the truth alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from model.core.units import FloatArray
from model.verify.pair import Pair

WET_MM_H: Final = 2.0


@dataclass(kw_only=True)
class Example:
    """Frames (mm h-1, NaN = not compared) of the truth and of each model, at the `looks` (indices of leads)."""

    start: np.datetime64
    looks: tuple[int, ...]
    wetness: int = 0
    truth: dict[int, FloatArray] = field(default_factory=dict)
    forecasts: dict[str, dict[int, FloatArray]] = field(default_factory=dict)

    def add(self, model: str, lead: int, pair: Pair) -> None:
        """Keep the pair, where its lead is looked at."""
        if lead not in self.looks:
            return
        if lead not in self.truth:
            self.truth[lead] = np.where(pair.scored, pair.truth.rain, np.float32(np.nan))
            self.wetness += int(np.count_nonzero(pair.truth.rain >= WET_MM_H))
        self.forecasts.setdefault(model, {})[lead] = np.where(pair.scored, pair.forecast.rain, np.float32(np.nan))
