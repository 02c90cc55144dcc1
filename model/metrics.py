"""Scores of forecast frames [n, t, c, y, x] in [0, 1], as the literature on video prediction defines them.

Every score is per lead time, a mean over the n sequences; papers report the mean over lead times. MSE and MAE are sums
over the pixels and channels of a frame, 4096 times the average for 64 x 64 pixels. Forecasts are scored as they are:
clip them to [0, 1] first where the network does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.normalisation import HKO7_DBZ_OFFSET, HKO7_DBZ_RANGE
from model.core.units import FloatArray
from model.core.zr import HKO7

BALANCED_EDGES_MM_H: Final = (0.5, 2.0, 5.0, 10.0, 30.0)
BALANCED_WEIGHTS: Final = (1.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Weights of a pixel in HKO-7 (Shi et al. 2017, arXiv 1706.03458): below 0.5 mm/h, and from each edge on."""

DATA_RANGE: Final = 1.0
SSIM_WINDOW: Final = 11
SSIM_SIGMA: Final = 1.5
SSIM_K1: Final = 0.01
SSIM_K2: Final = 0.03

Scores = NDArray[np.float64]
"""Scores [t], one per lead time."""


def mse(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Return the squared error, summed over a frame."""
    return np.asarray(np.square(_difference(forecast, truth)).sum(axis=(2, 3, 4)).mean(axis=0))


def mae(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Return the absolute error, summed over a frame."""
    return np.asarray(np.abs(_difference(forecast, truth)).sum(axis=(2, 3, 4)).mean(axis=0))


def psnr(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Return the peak signal-to-noise ratio in dB, for a data range of 1; infinite where a frame has no error."""
    error = np.square(_difference(forecast, truth)).mean(axis=(2, 3, 4))
    with np.errstate(divide="ignore"):
        return np.asarray((10 * np.log10(DATA_RANGE**2 / error)).mean(axis=0))


def ssim(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Return the structural similarity (Wang et al. 2004, doi 10.1109/TIP.2003.819861), for a data range of 1.

    As in that paper: a Gaussian window of 11 x 11 pixels, sigma 1.5, K1 0.01, K2 0.03, population variances, and the
    mean over the pixels whose window lies in the frame; computed in float64, as the mean over channels. Repositories
    differ in these settings (8 bits, a data range of 2, a flat window of 7 x 7), and so do their numbers.

    Parameters
    ----------
    forecast, truth : [n, t, c, y, x]
        Frames of at least 11 x 11 pixels.

    Raises
    ------
    ValueError
        The shapes differ, or a frame is smaller than the window.
    """
    _difference(forecast, truth)
    number, leads, channels, ny, nx = forecast.shape
    if min(ny, nx) < SSIM_WINDOW:
        raise ValueError(
            f"frames of {ny} x {nx} pixels are smaller than the {SSIM_WINDOW} x {SSIM_WINDOW} window of SSIM"
        )
    scores = np.empty((number, leads, channels))
    for index in np.ndindex(number, leads, channels):
        scores[index] = _ssim_of(forecast[index].astype(np.float64), truth[index].astype(np.float64))
    return np.asarray(scores.mean(axis=(0, 2)))


def ceil_to_float32(value: float) -> float:
    """Return the smallest float32 number not below `value`.

    Comparing a float32 array with either number selects the same pixels.
    """
    nearest = np.float32(value)
    return float(nearest if float(nearest) >= value else np.nextafter(nearest, np.float32(np.inf)))


def pixel_threshold(rain_rate_mm_h: float) -> float:
    """Return the HKO-7 pixel fraction of a rain rate (mm h-1) above 0, in float64 as in HKO-7's evaluation."""
    dbz = 10 * math.log10(HKO7.a) + 10 * HKO7.b * math.log10(rain_rate_mm_h)
    return (dbz - HKO7_DBZ_OFFSET) / HKO7_DBZ_RANGE


def float32_pixel_threshold(rain_rate_mm_h: float) -> float:
    """Return the smallest float32 pixel fraction that reaches a rain rate (mm h-1)."""
    return ceil_to_float32(pixel_threshold(rain_rate_mm_h))


def balanced_weights(truth: FloatArray) -> FloatArray:
    """Return the weight of each pixel in B-MSE and B-MAE, from its true HKO-7 pixel fraction; any shape."""
    weights = np.full(truth.shape, BALANCED_WEIGHTS[0], np.float32)
    for edge, below, above in zip(BALANCED_EDGES_MM_H, BALANCED_WEIGHTS[:-1], BALANCED_WEIGHTS[1:], strict=True):
        if above != below:
            weights[truth >= np.float32(float32_pixel_threshold(edge))] = above
    return weights


FRAME_SCORES: Final[Mapping[str, Callable[[FloatArray, FloatArray], Scores]]] = MappingProxyType(
    {"mse": mse, "mae": mae, "psnr": psnr, "ssim": ssim}
)


def _difference(forecast: FloatArray, truth: FloatArray) -> NDArray[np.float64]:
    if forecast.shape != truth.shape or forecast.ndim != 5:
        raise ValueError(f"forecast {forecast.shape} and truth {truth.shape} must have one shape [n, t, c, y, x]")
    return forecast.astype(np.float64) - truth


def _ssim_of(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    mean_one, mean_other = _windowed(one), _windowed(other)
    variance_one = _windowed(one * one) - mean_one**2
    variance_other = _windowed(other * other) - mean_other**2
    covariance = _windowed(one * other) - mean_one * mean_other
    c1, c2 = (SSIM_K1 * DATA_RANGE) ** 2, (SSIM_K2 * DATA_RANGE) ** 2
    luminance = (2 * mean_one * mean_other + c1) / (mean_one**2 + mean_other**2 + c1)
    structure = (2 * covariance + c2) / (variance_one + variance_other + c2)
    return float((luminance * structure).mean())


def _windowed(frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gaussian mean around each pixel whose window lies in the frame."""
    half = SSIM_WINDOW // 2
    mean = cv2.GaussianBlur(frame, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return np.asarray(mean[half:-half, half:-half], np.float64)
