"""Scores from contingency tables (Wilks 2011, chapter 8): hits, misses, false alarms, pooled over pixels and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray


@dataclass(eq=False)
class Contingency:
    """Counts by threshold and lead: hits, misses and false alarms, int64 [threshold, lead] each."""

    thresholds_mm_h: tuple[float, ...]
    hits: NDArray[np.int64]
    misses: NDArray[np.int64]
    false_alarms: NDArray[np.int64]

    @classmethod
    def empty(cls, thresholds_mm_h: tuple[float, ...], leads: int) -> Contingency:
        """No counts yet."""

        def zeros() -> NDArray[np.int64]:
            return np.zeros((len(thresholds_mm_h), leads), np.int64)

        return cls(thresholds_mm_h=thresholds_mm_h, hits=zeros(), misses=zeros(), false_alarms=zeros())

    def add(self, lead: int, forecast: FloatArray, truth: FloatArray, scored: NDArray[np.bool_]) -> None:
        """Count one pair of frames [y, x] (mm h-1) over the pixels that are `scored`; an event is rain >= threshold."""
        forecast, truth = forecast[scored], truth[scored]
        for index, threshold in enumerate(self.thresholds_mm_h):
            foreseen, event = forecast >= threshold, truth >= threshold
            hits = int(np.count_nonzero(foreseen & event))
            self.hits[index, lead] += hits
            self.misses[index, lead] += int(np.count_nonzero(event)) - hits
            self.false_alarms[index, lead] += int(np.count_nonzero(foreseen)) - hits

    @property
    def csi(self) -> NDArray[np.float64]:
        """Critical success index, hits / (hits + misses + false alarms); NaN where there is nothing to count."""
        return _ratio(self.hits, self.hits + self.misses + self.false_alarms)

    @property
    def pod(self) -> NDArray[np.float64]:
        """Probability of detection, hits / (hits + misses)."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def far(self) -> NDArray[np.float64]:
        """False alarm ratio, false alarms / (hits + false alarms)."""
        return _ratio(self.false_alarms, self.hits + self.false_alarms)

    @property
    def bias(self) -> NDArray[np.float64]:
        """Frequency bias, (hits + false alarms) / (hits + misses); above 1 is too much rain area."""
        return _ratio(self.hits + self.false_alarms, self.hits + self.misses)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
