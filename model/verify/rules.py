"""What of a frame counts: how a protocol reads an archive, and what it does about missing data."""

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
from model.core.units import FloatArray
from model.data.archive import Archive
from model.metrics import pixel_threshold
from model.verify.pair import Frame
from model.verify.windows import Times

NOISE_BELOW: Final = 71
"""HKO-7's benchmark takes true pixels in (0, 71) for noise: round(0.28 * 255)."""
SIDE: Final = 128
"""MS-RNN shrinks frames of HKO-7 to as many pixels a side."""

Mask = NDArray[np.bool_]


class Rules(ABC):
    """How a protocol reads frames and compares them."""

    scale: str
    """`rain` or `pixel`: what is compared with thresholds."""
    psnr_floor: float = 0.0
    """Added to the MSE in PSNR."""

    def grid(self, archive: Archive) -> Grid:
        """The grid of the frames that are read and scored."""
        return archive.grid

    @abstractmethod
    def read(self, archive: Archive, times: Times) -> FrameSequence:
        """The frames that a forecast starts from."""

    @abstractmethod
    def truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """What was seen at a time [y, x], and which pixels of it count."""

    @abstractmethod
    def scored(self, counts: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """Which pixels are compared, given those of the truth and the forecasts (mm h-1, NaN = not known)."""

    @abstractmethod
    def frame_of_truth(self, truth: FloatArray, scored: Mask) -> Frame:
        """Of what `truth` answered."""

    @abstractmethod
    def frame_of_forecast(self, rain: FloatArray, scored: Mask) -> Frame:
        """Of a forecast (mm h-1, NaN = not known)."""

    def edge(self, rain_rate_mm_h: float) -> float:
        """A rain rate on the scale."""
        return pixel_threshold(rain_rate_mm_h) if self.scale == "pixel" else rain_rate_mm_h


class WhereAllHoldData(Rules):
    """A pixel counts where the truth and the forecast of every model hold data; rain rates are compared."""

    scale = "rain"

    def read(self, archive: Archive, times: Times) -> FrameSequence:
        """See Rules.read."""
        return FrameSequence(rain_rate=np.stack([archive.read(time) for time in times]), times=times, grid=archive.grid)

    def truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """See Rules.truth."""
        rain = archive.read(time)
        return rain, np.isfinite(rain)

    def scored(self, counts: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """See Rules.scored."""
        for forecast in forecasts:
            counts = counts & np.isfinite(forecast)
        return counts

    def frame_of_truth(self, truth: FloatArray, scored: Mask) -> Frame:
        """See Rules.frame_of_truth."""
        return Frame.of_rain(truth, scored)

    def frame_of_forecast(self, rain: FloatArray, scored: Mask) -> Frame:
        """See Rules.frame_of_forecast."""
        return Frame.of_rain(rain, scored)


class Benchmark(Rules):
    """As HKO-7's benchmark: the mask of the truth decides which pixels count; pixel fractions are compared.

    Frames that are missing are read as 0, and none of their pixels counts. Inputs are read as their pixels are, noise
    included: a model is not told what is masked. What a forecast does not know is 0.
    """

    scale = "pixel"

    def read(self, archive: Archive, times: Times) -> FrameSequence:
        """See Rules.read."""
        frames = [hko7_rain_rate_mm_h(self._pixels(archive, time)[0]) for time in times]
        return FrameSequence(rain_rate=np.stack(frames), times=times, grid=self.grid(archive))

    def truth(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        """See Rules.truth."""
        return self._pixels(archive, time)

    def scored(self, counts: Mask, forecasts: Iterable[FloatArray]) -> Mask:
        """See Rules.scored."""
        return counts

    def frame_of_truth(self, truth: FloatArray, scored: Mask) -> Frame:
        """See Rules.frame_of_truth."""
        return Frame.of_fraction(truth, scored)

    def frame_of_forecast(self, rain: FloatArray, scored: Mask) -> Frame:
        """See Rules.frame_of_forecast."""
        return Frame.of_fraction(np.nan_to_num(hko7_fraction(rain)), scored)

    def _pixels(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        if not _has(archive, time):
            return np.zeros(archive.grid.shape, np.float32), np.zeros(archive.grid.shape, np.bool_)
        pixels, counts = archive.read_raw(time)
        noise = (pixels > 0) & (pixels < NOISE_BELOW)
        return pixels.astype(np.float32) / np.float32(255), counts & ~noise


class Shrunk(Benchmark):
    """As MS-RNN's test loop: frames are shrunk to `SIDE` x `SIDE` pixels, as they are read; every pixel counts."""

    psnr_floor = 1e-5

    def grid(self, archive: Archive) -> Grid:
        """See Rules.grid: the same extent in fewer pixels."""
        return Grid(crs=archive.grid.crs, x=_resampled(archive.grid.x), y=_resampled(archive.grid.y))

    def _pixels(self, archive: Archive, time: np.datetime64) -> tuple[FloatArray, Mask]:
        pixels, _ = archive.read_raw(time)
        small = np.asarray(cv2.resize(pixels, (SIDE, SIDE)), np.float32)  # of bytes: rounded to whole pixel values
        return small / np.float32(255), np.ones(small.shape, np.bool_)


def _resampled(centres: NDArray[np.floating]) -> NDArray[np.floating]:
    """Centres of `SIDE` pixels between the same edges."""
    step = centres[1] - centres[0]
    return np.asarray(centres[0] - step / 2 + step * centres.size / SIDE * (np.arange(SIDE) + 0.5))


def _has(archive: Archive, time: np.datetime64) -> bool:
    at = int(np.searchsorted(archive.times, time))
    return at < archive.times.size and bool(archive.times[at] == time)
