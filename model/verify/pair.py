"""A forecast frame beside the frame that then came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray, hko7_fraction, hko7_rain_rate_mm_h


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The same frame [y, x] as rain rate (mm h-1) and as HKO-7 pixel fraction in [0, 1]; NaN in neither."""

    rain: FloatArray
    fraction: FloatArray

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Forecast and truth; `scored` [y, x] is where they are compared, and where not, both are dry."""

    forecast: Frame
    truth: Frame
    scored: NDArray[np.bool_]
