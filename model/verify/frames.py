"""Pairs of a forecast frame and the true frame, on both scales that scores are computed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.units import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedFrame:
    """One frame [y, x] on two scales, dry where the frame is not scored; without NaN.

    Attributes
    ----------
    rain : array of float32
        Rain rate (mm h-1).
    fraction : array of float32
        HKO-7 pixel fraction, 0 to 1.
    """

    rain: FloatArray
    fraction: FloatArray
    _exceedance_fractions: dict[tuple[str, float, int], FloatArray] = field(default_factory=dict)

    @classmethod
    def from_rain_rate(cls, rain: FloatArray, scored: NDArray[np.bool_]) -> Self:
        """Return the frame of a rain rate (mm h-1)."""
        rain = np.where(scored, rain, np.float32(0))
        return cls(rain=rain, fraction=hko7_fraction(rain))

    @classmethod
    def from_fraction(cls, fraction: FloatArray, scored: NDArray[np.bool_]) -> Self:
        """Return the frame of an HKO-7 pixel fraction."""
        fraction = np.where(scored, fraction, np.float32(0))
        return cls(rain=hko7_rain_rate_mm_h(fraction), fraction=fraction)

    def on_scale(self, scale: str) -> FloatArray:
        """Return the frame on the scale that a protocol compares with thresholds: `rain` or `pixel`."""
        return self.fraction if scale == "pixel" else self.rain

    def exceedance_fraction(self, scale: str, threshold: float, window: int) -> FloatArray:
        """Return the fraction of pixels at or above a threshold in the square window around each pixel [y, x].

        Pixels outside the frame and pixels that are not scored count as no event, as in pysteps. The result is cached:
        the truth is the same for every model.

        Parameters
        ----------
        scale : str
            `rain` or `pixel`.
        threshold : float
            Threshold on that scale.
        window : int
            Side of the window in pixels, an odd number.
        """
        key = (scale, threshold, window)
        if key not in self._exceedance_fractions:
            events = (self.on_scale(scale) >= threshold).astype(np.float32)
            if window > 1:
                events = np.asarray(
                    cv2.boxFilter(events, -1, (window, window), borderType=cv2.BORDER_CONSTANT), np.float32
                )
            self._exceedance_fractions[key] = events
        return self._exceedance_fractions[key]


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePair:
    """Forecast and truth at one lead, both dry outside the pixels `scored` [y, x]."""

    forecast: MaskedFrame
    truth: MaskedFrame
    scored: NDArray[np.bool_]
