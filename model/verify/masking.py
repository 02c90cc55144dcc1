"""Which pixels a protocol scores: how it reads the frames of an archive, and how it treats missing data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.grid import Grid
from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.sequence import FrameSequence
from model.core.times import Times
from model.core.units import FloatArray
from model.data.archive import Archive
from model.metrics import pixel_threshold
from model.verify.frames import MaskedFrame

NOISE_BELOW: Final = 71
"""The HKO-7 benchmark treats true pixels in (0, 71) as noise: round(0.28 * 255)."""
MS_RNN_SIDE: Final = 128
"""Pixels along a side of the frames that MS-RNN's test loop scores."""

Mask = NDArray[np.bool_]


class Masking(ABC):
    """How a protocol reads frames and selects the pixels to score.

    Attributes
    ----------
    scale : str
        Scale that is compared with thresholds: `rain` (mm h-1) or `pixel` (HKO-7 pixel fraction).
    psnr_epsilon : float
        Constant that is added to the MSE before PSNR is computed.
    """

    scale: str
    psnr_epsilon: float = 0.0

    def grid(self, archive: Archive) -> Grid:
        """Return the grid of the frames that are read and scored."""
        return archive.grid

    @abstractmethod
    def read_context(self, archive: Archive, times: Times) -> FrameSequence:
        """Read the input frames of a forecast."""

    @abstractmethod
    def read_truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """Read the true frame of a time [y, x], and which of its pixels may be scored [y, x]."""

    @abstractmethod
    def scored_pixels(self, valid: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """Return which pixels are scored [y, x].

        Parameters
        ----------
        valid : array of bool [y, x]
            Pixels of the truth that may be scored.
        forecasts : iterable of array [y, x]
            Forecast of each model (mm h-1, NaN = unknown).
        """

    @abstractmethod
    def truth_frame(self, truth: FloatArray, scored: Mask) -> MaskedFrame:
        """Return the frame of a truth that `read_truth` returned."""

    @abstractmethod
    def forecast_frame(self, rain: FloatArray, scored: Mask) -> MaskedFrame:
        """Return the frame of a forecast (mm h-1, NaN = unknown)."""

    def to_scale(self, rain_rate_mm_h: float) -> float:
        """Convert a rain rate (mm h-1) to the scale that is compared with thresholds."""
        return pixel_threshold(rain_rate_mm_h) if self.scale == "pixel" else rain_rate_mm_h


class CommonMasking(Masking):
    """Score the pixels where the truth and the forecast of every model hold data; compare rain rates."""

    scale = "rain"

    def read_context(self, archive: Archive, times: Times) -> FrameSequence:
        """See `Masking.read_context`."""
        return FrameSequence(rain_rate=np.stack([archive.read(time) for time in times]), times=times, grid=archive.grid)

    def read_truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """See `Masking.read_truth`."""
        rain = archive.read(time)
        return rain, np.isfinite(rain)

    def scored_pixels(self, valid: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """See `Masking.scored_pixels`."""
        for forecast in forecasts:
            valid = valid & np.isfinite(forecast)
        return valid

    def truth_frame(self, truth: FloatArray, scored: Mask) -> MaskedFrame:
        """See `Masking.truth_frame`."""
        return MaskedFrame.from_rain_rate(truth, scored)

    def forecast_frame(self, rain: FloatArray, scored: Mask) -> MaskedFrame:
        """See `Masking.forecast_frame`."""
        return MaskedFrame.from_rain_rate(rain, scored)


class HKO7Masking(Masking):
    """Mask as the HKO-7 benchmark does (Shi et al. 2017): by the truth alone; compare pixel fractions.

    A missing frame is read as 0 and none of its pixels is scored. Input frames keep their noise: the models do not
    learn which pixels are masked. Pixels that a forecast leaves unknown count as 0.
    """

    scale = "pixel"

    def read_context(self, archive: Archive, times: Times) -> FrameSequence:
        """See `Masking.read_context`."""
        frames = [hko7_rain_rate_mm_h(self.read_truth(archive, time)[0]) for time in times]
        return FrameSequence(rain_rate=np.stack(frames), times=times, grid=self.grid(archive))

    def read_truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """See `Masking.read_truth`."""
        if not _has_frame(archive, time):
            return np.zeros(archive.grid.shape, np.float32), np.zeros(archive.grid.shape, np.bool_)
        pixels, valid = archive.read_raw(time)
        noise = (pixels > 0) & (pixels < NOISE_BELOW)
        return pixels.astype(np.float32) / np.float32(255), valid & ~noise

    def scored_pixels(self, valid: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """See `Masking.scored_pixels`."""
        return valid

    def truth_frame(self, truth: FloatArray, scored: Mask) -> MaskedFrame:
        """See `Masking.truth_frame`."""
        return MaskedFrame.from_fraction(truth, scored)

    def forecast_frame(self, rain: FloatArray, scored: Mask) -> MaskedFrame:
        """See `Masking.forecast_frame`."""
        return MaskedFrame.from_fraction(np.nan_to_num(hko7_fraction(rain)), scored)


class MSRNNMasking(HKO7Masking):
    """Score every pixel, as MS-RNN's test loop does (Ma et al. 2022); frames are resized to 128 x 128 on reading."""

    psnr_epsilon = 1e-5

    def grid(self, archive: Archive) -> Grid:
        """See `Masking.grid`: the same extent in fewer pixels."""
        return Grid(crs=archive.grid.crs, x=_resized(archive.grid.x), y=_resized(archive.grid.y))

    def read_truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """See `Masking.read_truth`."""
        pixels, _ = archive.read_raw(time)
        # Resizing the 8-bit frame rounds the result to whole pixel values, as in the loader of MS-RNN.
        resized = np.asarray(cv2.resize(pixels, (MS_RNN_SIDE, MS_RNN_SIDE)), np.float32)
        return resized / np.float32(255), np.ones(resized.shape, np.bool_)


def _resized(centres: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the centres of `MS_RNN_SIDE` pixels between the same edges."""
    step = centres[1] - centres[0]
    return np.asarray(centres[0] - step / 2 + step * centres.size / MS_RNN_SIDE * (np.arange(MS_RNN_SIDE) + 0.5))


def _has_frame(archive: Archive, time: np.datetime64) -> bool:
    index = int(np.searchsorted(archive.times, time))
    return index < archive.times.size and bool(archive.times[index] == time)
