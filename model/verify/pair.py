"""A forecast frame beside the frame that then came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.units import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The same frame [y, x] as rain rate (mm h-1) and as HKO-7 pixel fraction in [0, 1]; NaN in neither."""

    rain: FloatArray
    fraction: FloatArray
    shares: dict[tuple[str, float, int], FloatArray] = field(default_factory=dict)

    @classmethod
    def of_rain(cls, rain: FloatArray, scored: NDArray[np.bool_]) -> Self:
        """The frame of a rain rate, dry where it is not scored."""
        rain = np.where(scored, rain, np.float32(0))
        return cls(rain=rain, fraction=hko7_fraction(rain))

    @classmethod
    def of_fraction(cls, fraction: FloatArray, scored: NDArray[np.bool_]) -> Self:
        """The frame of a pixel fraction, 0 where it is not scored."""
        fraction = np.where(scored, fraction, np.float32(0))
        return cls(rain=hko7_rain_rate_mm_h(fraction), fraction=fraction)

    def on(self, scale: str) -> FloatArray:
        """On the scale that a protocol compares with its thresholds: `rain` or `pixel`."""
        return self.fraction if scale == "pixel" else self.rain

    def share(self, scale: str, edge: float, side: int) -> FloatArray:
        """Share of pixels that reach `edge` in the window of `side` pixels around each pixel; kept, once made.

        Outside the frame, and where nothing is scored, no pixel does.
        """
        key = (scale, edge, side)
        if key not in self.shares:
            events = (self.on(scale) >= edge).astype(np.float32)
            self.shares[key] = np.asarray(
                cv2.boxFilter(events, -1, (side, side), borderType=cv2.BORDER_CONSTANT) if side > 1 else events,
                np.float32,
            )
        return self.shares[key]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Forecast and truth; `scored` [y, x] is where they are compared, and where not, both are dry."""

    forecast: Frame
    truth: Frame
    scored: NDArray[np.bool_]
