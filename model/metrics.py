"""Scores of forecast frames as the literature of video prediction has them. Frames [n, t, c, y, x] in [0, 1].

Every score is given per lead time, as a mean over the n sequences; their mean over lead times is what papers print.
MSE and MAE are summed over the pixels and channels of a frame, not averaged: 4096 times larger for 64 x 64 pixels.
A forecast is scored as it is: clip it to [0, 1] first where its network does not.
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
"""HKO-7's (Shi et al. 2017): a pixel's weight below 0.5 mm/h, from 0.5, 2, 5, 10 and 30 mm/h on."""

DATA_RANGE: Final = 1.0
SSIM_WINDOW: Final = 11
SSIM_SIGMA: Final = 1.5
SSIM_K1: Final = 0.01
SSIM_K2: Final = 0.03

Scores = NDArray[np.float64]
"""[t], one per lead time."""


def mse(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Squared error, summed over a frame."""
    return np.asarray(np.square(_difference(forecast, truth)).sum(axis=(2, 3, 4)).mean(axis=0))


def mae(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Absolute error, summed over a frame."""
    return np.asarray(np.abs(_difference(forecast, truth)).sum(axis=(2, 3, 4)).mean(axis=0))


def psnr(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Peak signal-to-noise ratio (dB) of each frame for a data range of 1; infinite where a frame has no error."""
    error = np.square(_difference(forecast, truth)).mean(axis=(2, 3, 4))
    with np.errstate(divide="ignore"):
        return np.asarray((10 * np.log10(DATA_RANGE**2 / error)).mean(axis=0))


def ssim(forecast: FloatArray, truth: FloatArray) -> Scores:
    """Structural similarity (Wang et al. 2004, doi 10.1109/TIP.2003.819861) for a data range of 1, in float64.

    As in that paper: a Gaussian window of 11 x 11 pixels, sigma 1.5, K1 0.01, K2 0.03, population variances, and the
    mean over the pixels whose window lies in the frame. Repositories differ here (8 bit, or a range of 2, or a flat
    window of 7 x 7), and so do their numbers. Each channel is scored by itself, and the mean taken.

    Raises
    ------
    ValueError
        A frame is smaller than the window.
    """
    _difference(forecast, truth)
    number, leads, channels, ny, nx = forecast.shape
    if min(ny, nx) < SSIM_WINDOW:
        raise ValueError(f"frames of {ny} x {nx} pixels are smaller than the window of SSIM, {SSIM_WINDOW}")
    scores = np.empty((number, leads, channels))
    for place in np.ndindex(number, leads, channels):
        scores[place] = _ssim_of(forecast[place].astype(np.float64), truth[place].astype(np.float64))
    return np.asarray(scores.mean(axis=(0, 2)))


def least_float32(value: float) -> float:
    """The least float32 number that is not below `value`: float32 arrays reach both at the same pixels."""
    near = np.float32(value)
    return float(near if float(near) >= value else np.nextafter(near, np.float32(np.inf)))


def pixel_threshold(rain_rate_mm_h: float) -> float:
    """HKO-7 pixel fraction of a rain rate (mm h-1) above 0, in float64, as thresholds are in HKO-7's evaluation."""
    dbz = 10 * math.log10(HKO7.a) + 10 * HKO7.b * math.log10(rain_rate_mm_h)
    return (dbz - HKO7_DBZ_OFFSET) / HKO7_DBZ_RANGE


def pixel_edge(rain_rate_mm_h: float) -> float:
    """The least float32 pixel fraction that reaches a rain rate (mm h-1)."""
    return least_float32(pixel_threshold(rain_rate_mm_h))


def balanced_weights(truth: FloatArray) -> FloatArray:
    """Weight of each pixel in B-MSE and B-MAE, by its true HKO-7 pixel fraction; any shape."""
    weights = np.full(truth.shape, BALANCED_WEIGHTS[0], np.float32)
    for edge, below, above in zip(BALANCED_EDGES_MM_H, BALANCED_WEIGHTS[:-1], BALANCED_WEIGHTS[1:], strict=True):
        if above != below:
            weights[truth >= np.float32(pixel_edge(edge))] = above
    return weights


FRAME_SCORES: Final[Mapping[str, Callable[[FloatArray, FloatArray], Scores]]] = MappingProxyType(
    {"mse": mse, "mae": mae, "psnr": psnr, "ssim": ssim}
)


def _difference(forecast: FloatArray, truth: FloatArray) -> NDArray[np.float64]:
    if forecast.shape != truth.shape or forecast.ndim != 5:
        raise ValueError(f"forecast {forecast.shape} and truth {truth.shape} are not both [n, t, c, y, x]")
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
    """Gaussian mean around each pixel whose window lies in the frame."""
    half = SSIM_WINDOW // 2
    mean = cv2.GaussianBlur(frame, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return np.asarray(mean[half:-half, half:-half], np.float64)
