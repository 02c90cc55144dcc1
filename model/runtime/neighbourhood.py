"""Probabilities of a forecast without a distribution: shares of a neighbourhood that reach a threshold.

The neighbourhood method takes the pixels around a place as equally likely to arrive there (Theis et al. 2005,
doi:10.1017/S1350482705001763; Schwartz and Sobash 2017, doi:10.1175/MWR-D-16-0400.1). The neighbourhood is a square
that grows with the lead time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.grid import Grid
from model.core.probability_calibration import ProbabilityCalibration
from model.core.units import FloatArray

KM_PER_MINUTE: Final = 0.75
"""Growth of the side of the square with the lead time, chosen on training archives (docs/lab.md)."""


def neighbourhood_probability(
    frame: FloatArray,
    grid: Grid,
    thresholds_mm_h: Sequence[float],
    lead_minutes: float,
    calibration: ProbabilityCalibration | None = None,
) -> FloatArray:
    """Return P(rain >= threshold) from the neighbourhood of each pixel.

    Parameters
    ----------
    frame : ndarray
        Rain rate [y, x] (mm h-1, NaN = no data).
    grid : Grid
        The grid of the frame, for the size of its pixels. (Frames without a location are read as 1 km pixels.)
    thresholds_mm_h : sequence of float
        Rain rates, ascending.
    lead_minutes : float
        Lead time of the frame.
    calibration : ProbabilityCalibration, optional
        Turns shares into probabilities; without it the share is the probability.

    Returns
    -------
    ndarray
        Probabilities [threshold, y, x] (0 to 1), not increasing along the thresholds; NaN where the frame has no data.
    """
    shares = np.empty((len(thresholds_mm_h), *frame.shape), np.float32)
    of_thresholds = neighbourhood_shares(frame, thresholds_mm_h, neighbourhood_px(grid, lead_minutes))
    for row, share in enumerate(of_thresholds):
        shares[row] = share
    # In place: of a continent, each threshold takes 100 MB.
    return shares if calibration is None else calibration.calibrate(shares, thresholds_mm_h, lead_minutes, out=shares)


def neighbourhood_shares(
    frame: FloatArray, thresholds_mm_h: Sequence[float], size: tuple[int, int]
) -> Iterator[FloatArray]:
    """Yield the share of pixels with data, in a box around each pixel, that reach each threshold.

    Parameters
    ----------
    frame : ndarray
        Rain rate [y, x] (mm h-1, NaN = no data).
    thresholds_mm_h : sequence of float
        Rain rates.
    size : tuple of int
        Rows and columns of the box, odd numbers.

    Yields
    ------
    ndarray
        Shares [y, x] (0 to 1) of one threshold; NaN where the frame has no data.
    """
    known = np.isfinite(frame)
    # Where the frame has no data, a count divided by NaN makes the share NaN.
    count = np.where(known, _box_sum(known, size), np.float32(np.nan))
    for threshold in thresholds_mm_h:
        yield np.asarray(_box_sum(frame >= np.float32(threshold), size) / count, np.float32)


def neighbourhood_px(grid: Grid, lead_minutes: float) -> tuple[int, int]:
    """Return the rows and columns of the square of a lead time: the odd numbers of pixels closest to its side."""
    side_m = 1000 * KM_PER_MINUTE * lead_minutes
    rows, columns = (2 * round((side_m / pixel_m - 1) / 2) + 1 for pixel_m in grid.pixel_size_m)
    return max(1, rows), max(1, columns)


def _box_sum(pixels: NDArray[np.bool_], size: tuple[int, int]) -> FloatArray:
    """Return the number of true pixels in the box around each pixel [y, x]; there are none beyond the edges."""
    counts = cv2.boxFilter(
        pixels.view(np.uint8), cv2.CV_32F, size[::-1], normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(counts, np.float32)
