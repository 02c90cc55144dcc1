"""Sums over the start times of a verification. Every score is a function of these sums.

So memory does not grow with the number of start times. All arrays end in [.., lead]; their first axis is blocks of
time, which the intervals resample (`model.core.bootstrap`). Sums without an interval have a single row there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.metrics import SSIM_WINDOW, balanced_weights, psnr, ssim
from model.verify.frames import FramePair
from model.verify.spectrum import rapsd, wavenumbers

Sums = dict[str, NDArray[np.float64]]

RESAMPLED: Final = ("joint_histogram", "fss")
"""Sums of the scores that have an interval."""

ERRORS: Final = ("squared_rain", "absolute_rain", "squared", "absolute", "balanced_squared", "balanced_absolute")
"""Rows of `errors`: of the rain rate (mm h-1), then of the pixel fraction, unweighted and balanced."""


@dataclass(frozen=True, kw_only=True)
class Accumulators:
    """Shapes of the sums, and how a pair of frames is added to them.

    Attributes
    ----------
    scale : str
        Scale of the classes: `rain` or `pixel`.
    class_edges : tuple of float
        Edges of the classes of the joint histogram on that scale, in ascending order; an edge starts the class above.
    threshold_indices : tuple of int
        Indices of the edges that are thresholds of events.
    fss_windows : tuple of int
        Sides of the windows of FSS in pixels, odd numbers.
    plotted_leads : tuple of int
        Indices of the leads that the report plots; LPIPS and the spectrum are computed at these.
    ssim_psnr_leads : tuple of int
        Indices of the leads at which SSIM and PSNR are computed.
    lead_count : int
        Number of leads.
    grid_shape : tuple of int
        Rows and columns of a frame.
    psnr_epsilon : float
        Constant that is added to the MSE in PSNR.
    """

    scale: str
    class_edges: tuple[float, ...]
    threshold_indices: tuple[int, ...]
    fss_windows: tuple[int, ...]
    plotted_leads: tuple[int, ...]
    ssim_psnr_leads: tuple[int, ...]
    lead_count: int
    grid_shape: tuple[int, int]
    psnr_epsilon: float = 0.0

    def zeros(self, blocks: int) -> Sums:
        """Return empty sums: one row for each block where there is an interval, otherwise one row for all blocks."""
        leads, classes = self.lead_count, len(self.class_edges) + 1
        shapes: Mapping[str, tuple[int, ...]] = {
            "sequences": (leads,),
            "pixels": (leads,),
            "joint_histogram": (classes, classes, leads),
            "errors": (len(ERRORS), leads),
            "fss": (2, len(self.threshold_indices), len(self.fss_windows), leads),
            "ssim": (2, leads),
            "psnr": (2, leads),
            "lpips": (2, leads),
            "power": (2, wavenumbers(self.grid_shape).size, leads),
        }
        return {name: np.zeros((blocks if name in RESAMPLED else 1, *shape)) for name, shape in shapes.items()}

    def add(self, sums: Sums, block: int, lead: int, pair: FramePair) -> None:
        """Add a pair of frames to the sums of one model, in place."""
        sums["sequences"][0, lead] += 1
        sums["pixels"][0, lead] += np.count_nonzero(pair.scored)
        sums["joint_histogram"][block, :, :, lead] += self._joint_histogram(pair)
        sums["errors"][0, :, lead] += _errors(pair)
        sums["fss"][block, ..., lead] += self._fss_sums(pair)
        scores = {"ssim": _ssim(pair), "psnr": self._psnr(pair)} if lead in self.ssim_psnr_leads else {}
        if lead in self.plotted_leads:
            scores["lpips"] = _lpips(pair)
            sums["power"][0, 0, :, lead] += rapsd(pair.forecast.fraction)
            sums["power"][0, 1, :, lead] += rapsd(pair.truth.fraction)
        for name, score in scores.items():
            if score is not None:
                sums[name][0, :, lead] += (score, 1)

    def _joint_histogram(self, pair: FramePair) -> NDArray[np.float64]:
        """Count the scored pixels by the class of the forecast and of the truth [forecast class, truth class]."""
        classes = len(self.class_edges) + 1
        code = _class_indices(pair.forecast.on_scale(self.scale), self.class_edges).astype(np.intp) * classes
        code += _class_indices(pair.truth.on_scale(self.scale), self.class_edges)
        return np.bincount(code[pair.scored], minlength=classes**2).reshape(classes, classes).astype(np.float64)

    def _fss_sums(self, pair: FramePair) -> NDArray[np.float64]:
        """Return the sums over the frame of (Pf - Po)^2 and of Pf^2 + Po^2 [2, threshold, window].

        Pf and Po are the fractions of forecast and true events in a window (Roberts and Lean 2008, eqs. 5 to 7,
        doi 10.1175/2007MWR2123.1).
        """
        sums = np.zeros((2, len(self.threshold_indices), len(self.fss_windows)))
        for row, index in enumerate(self.threshold_indices):
            threshold = self.class_edges[index]
            if not any((frame.on_scale(self.scale) >= threshold).any() for frame in (pair.forecast, pair.truth)):
                continue
            for column, window in enumerate(self.fss_windows):
                forecast, truth = (
                    frame.exceedance_fraction(self.scale, threshold, window) for frame in (pair.forecast, pair.truth)
                )
                squares = cv2.norm(forecast, cv2.NORM_L2SQR) + cv2.norm(truth, cv2.NORM_L2SQR)
                sums[:, row, column] = (cv2.norm(forecast, truth, cv2.NORM_L2SQR), squares)
        return sums

    def _psnr(self, pair: FramePair) -> float | None:
        """Return PSNR of the MSE plus `psnr_epsilon`; None for a frame without an error, whose PSNR is infinite."""
        value = float(psnr(pair.forecast.fraction[None, None, None], pair.truth.fraction[None, None, None])[0])
        if self.psnr_epsilon:
            return float(-10 * np.log10(10 ** (-value / 10) + self.psnr_epsilon))
        return value if np.isfinite(value) else None


def _class_indices(values: FloatArray, edges: tuple[float, ...]) -> NDArray[np.uint8]:
    indices = np.zeros(values.shape, np.uint8)
    for edge in edges:
        indices += values >= edge
    return indices


def _errors(pair: FramePair) -> NDArray[np.float64]:
    """Return the sums over the frame in the order of ERRORS; both frames are dry where they are not scored."""
    rain = np.asarray(pair.forecast.rain, np.float64) - pair.truth.rain
    fraction = np.asarray(pair.forecast.fraction, np.float64) - pair.truth.fraction
    weights = balanced_weights(pair.truth.fraction)
    squared, absolute = np.square(fraction), np.abs(fraction)
    unweighted = [np.vdot(rain, rain), np.abs(rain).sum(), squared.sum(), absolute.sum()]
    return np.array([*unweighted, np.vdot(weights, squared), np.vdot(weights, absolute)])


def _ssim(pair: FramePair) -> float | None:
    """Return SSIM; None for a frame that is smaller than its window."""
    if min(pair.scored.shape) < SSIM_WINDOW:
        return None
    return float(ssim(pair.forecast.fraction[None, None, None], pair.truth.fraction[None, None, None])[0])


def _lpips(pair: FramePair) -> float | None:
    """Return LPIPS (Zhang et al. 2018) of grey frames in [-1, 1]; None if the package is not installed."""
    network = _lpips_network()
    if network is None:
        return None
    import torch

    frames = [torch.from_numpy(2 * frame.fraction[None, None] - 1) for frame in (pair.forecast, pair.truth)]
    with torch.inference_mode():
        return float(network(*(frame.expand(1, 3, -1, -1) for frame in frames)))


@cache
def _lpips_network() -> Callable[..., Any] | None:
    if find_spec("lpips") is None:
        return None
    import lpips

    network: Callable[..., Any] = lpips.LPIPS(net="alex", verbose=False).eval()
    return network
