"""What is summed up over start times. Every score is a function of these sums, so memory does not grow with them.

All arrays end in [.., lead]; their first axis is blocks of time (days), which are drawn again for the intervals
(`model.verify.bootstrap`). Sums that no interval is made of have one row there, for all blocks.
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
from model.verify.pair import Pair
from model.verify.spectrum import power_by_wavenumber, wavenumbers

Sums = dict[str, NDArray[np.float64]]

DRAWN: Final = ("classes", "fss")
"""Sums that intervals are made of."""

ERRORS: Final = ("squared_rain", "absolute_rain", "squared", "absolute", "balanced_squared", "balanced_absolute")
"""Rows of `errors`: of the rain rate (mm h-1), then of the pixel fraction, then balanced."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which sums there are. `edges`: of the classes of values, on `scale` (`rain` or `pixel`), in order.

    `events`: which of the edges are thresholds. `windows`: sides of FSS's windows, odd numbers of pixels. `looks`:
    leads that are looked at as pictures (LPIPS, spectrum); `images`: those of SSIM and PSNR, to whose MSE `psnr_floor`
    is added. `shape`: of a frame.
    """

    scale: str
    edges: tuple[float, ...]
    events: tuple[int, ...]
    windows: tuple[int, ...]
    looks: tuple[int, ...]
    images: tuple[int, ...]
    leads: int
    shape: tuple[int, int]
    psnr_floor: float = 0.0

    def empty(self, blocks: int) -> Sums:
        """No sums yet: of what intervals are made of for each block, of the rest for all at once."""
        classes = len(self.edges) + 1
        shapes: Mapping[str, tuple[int, ...]] = {
            "sequences": (self.leads,),
            "pixels": (self.leads,),
            "classes": (classes, classes, self.leads),
            "errors": (len(ERRORS), self.leads),
            "fss": (2, len(self.events), len(self.windows), self.leads),
            "ssim": (2, self.leads),
            "psnr": (2, self.leads),
            "lpips": (2, self.leads),
            "power": (2, wavenumbers(self.shape).size, self.leads),
        }
        return {name: np.zeros((blocks if name in DRAWN else 1, *shape)) for name, shape in shapes.items()}

    def add(self, sums: Sums, block: int, lead: int, pair: Pair) -> None:
        """Add one pair of frames."""
        sums["sequences"][0, lead] += 1
        sums["pixels"][0, lead] += np.count_nonzero(pair.scored)
        sums["classes"][block, :, :, lead] += self._classes(pair)
        sums["errors"][0, :, lead] += _errors(pair)
        sums["fss"][block, ..., lead] += self._fractions(pair)
        images = {"ssim": _ssim(pair), "psnr": _psnr(pair, self.psnr_floor)} if lead in self.images else {}
        if lead in self.looks:
            images["lpips"] = _lpips(pair)
            sums["power"][0, 0, :, lead] += power_by_wavenumber(pair.forecast.fraction)
            sums["power"][0, 1, :, lead] += power_by_wavenumber(pair.truth.fraction)
        for name, score in images.items():
            if score is not None:
                sums[name][0, :, lead] += (score, 1)

    def _classes(self, pair: Pair) -> NDArray[np.float64]:
        """Scored pixels by class of the forecast and of the truth [forecast, truth]: an edge begins the class above."""
        classes = len(self.edges) + 1
        code = _class_of(pair.forecast.on(self.scale), self.edges).astype(np.intp) * classes
        code += _class_of(pair.truth.on(self.scale), self.edges)
        return np.bincount(code[pair.scored], minlength=classes**2).reshape(classes, classes).astype(np.float64)

    def _fractions(self, pair: Pair) -> NDArray[np.float64]:
        """Sums over the frame of (Pf - Po)^2 and of Pf^2 + Po^2 [2, threshold, window] (see docs/verification.md)."""
        sums = np.zeros((2, len(self.events), len(self.windows)))
        for row, event in enumerate(self.events):
            edge = self.edges[event]
            if not any((frame.on(self.scale) >= edge).any() for frame in (pair.forecast, pair.truth)):
                continue
            for column, side in enumerate(self.windows):
                forecast, truth = (frame.share(self.scale, edge, side) for frame in (pair.forecast, pair.truth))
                squares = cv2.norm(forecast, cv2.NORM_L2SQR) + cv2.norm(truth, cv2.NORM_L2SQR)
                sums[:, row, column] = (cv2.norm(forecast, truth, cv2.NORM_L2SQR), squares)
        return sums


def _class_of(values: FloatArray, edges: tuple[float, ...]) -> NDArray[np.uint8]:
    found = np.zeros(values.shape, np.uint8)
    for edge in edges:
        found += values >= edge
    return found


def _errors(pair: Pair) -> NDArray[np.float64]:
    """Sums over the scored pixels, in the order of ERRORS; outside them there is no error, for both are dry."""
    rain = np.asarray(pair.forecast.rain, np.float64) - pair.truth.rain
    fraction = np.asarray(pair.forecast.fraction, np.float64) - pair.truth.fraction
    weights = balanced_weights(pair.truth.fraction)
    squares, sizes = np.square(fraction), np.abs(fraction)
    return np.array(
        [
            np.vdot(rain, rain),
            np.abs(rain).sum(),
            squares.sum(),
            sizes.sum(),
            np.vdot(weights, squares),
            np.vdot(weights, sizes),
        ]
    )


def _ssim(pair: Pair) -> float | None:
    """None where the frame is smaller than the window."""
    if min(pair.scored.shape) < SSIM_WINDOW:
        return None
    return float(ssim(pair.forecast.fraction[None, None, None], pair.truth.fraction[None, None, None])[0])


def _psnr(pair: Pair, floor: float) -> float | None:
    """That of an MSE which is larger by `floor`; None where there is no error: its PSNR is infinite."""
    value = float(psnr(pair.forecast.fraction[None, None, None], pair.truth.fraction[None, None, None])[0])
    if floor:
        return float(-10 * np.log10(10 ** (-value / 10) + floor))
    return value if np.isfinite(value) else None


def _lpips(pair: Pair) -> float | None:
    """Learned perceptual distance (Zhang et al. 2018), of grey frames in [-1, 1]; None where it is not installed."""
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
