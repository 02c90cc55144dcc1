"""The distribution head: from planes of a network to logits of exceedance probabilities that fall with the threshold.

An ordinal regression (McCullagh 1980, doi 10.1111/j.2517-6161.1980.tb01109.x) with a location for each pixel, and a
scale and offsets that vary from place to place, so that the distribution may have any form:

    l_k = s p - c_k        c_1 = s e_1 - d_1        c_k = c_{k-1} + squareplus(s (e_k - e_{k-1}) - d_k)

Here p is the frame that the network predicts and reads next, s > 0 the inverse of the scale, e_k the thresholds as
HKO-7 pixel fractions, d_k departures from a logistic distribution around p. The offsets c_k ascend, whatever the
weights: monotone by construction. p carries the detail of the observed frames; s and c_k, which vary slowly, are
computed at the resolution of the network's patches and interpolated, so that a logit costs one subtraction per pixel.
Squareplus (Barron 2021, arXiv 2112.11687) is a softplus of one square root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.metrics import float32_pixel_threshold

INITIAL_SCALE: Final = 0.04
"""Scale of the logistic distribution of an untrained network (pixel fraction), 2.8 dBZ."""
LOG_SCALE_LIMIT: Final = 3.0
"""The scale stays within a factor of e^3 of the initial one, so that no logit overflows 16 bits."""
CURVATURE: Final = 0.25
"""Of squareplus: half of its root is the value at 0."""


class ExceedanceHead(nn.Module):
    """Turns planes into logits of exceedance; it has no weights of its own.

    Parameters
    ----------
    thresholds_mm_h
        Rain rates (mm h-1), ascending.
    patch
        n, the side of the network's patches in pixels.
    """

    edges: Tensor

    def __init__(self, thresholds_mm_h: Sequence[float], patch: int = 1) -> None:
        super().__init__()
        self.patch = patch
        edges = [float32_pixel_threshold(threshold) for threshold in thresholds_mm_h]
        self.register_buffer("edges", torch.tensor(edges), persistent=False)

    @property
    def planes(self) -> int:
        """Number of planes that the head reads beside the predicted frame: log s, then a departure per threshold."""
        return 1 + len(self.edges)

    def forward(self, frame: Tensor, planes: Tensor) -> Tensor:
        """Return logits of P(rain >= threshold).

        Parameters
        ----------
        frame : [b, 1, y, x]
            The predicted frame.
        planes : [b, 1 + threshold, y / n, x / n]
            Logarithm of s over its initial value, and the departures, at the resolution of patches of n x n pixels.

        Returns
        -------
        Tensor
            Logits [b, threshold, y, x], decreasing along the thresholds.
        """
        precision = torch.promote_types(planes.dtype, torch.float32)  # of 16 bits, a logit would keep too few
        frame, planes = frame.to(precision), planes.to(precision)
        log_scale = planes[:, :1].clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
        sharpness = torch.exp(log_scale - math.log(INITIAL_SCALE))
        edges = self.edges.to(precision)[:, None, None]
        first = sharpness * edges[:1] - planes[:, 1:2]
        widths = sharpness * (edges[1:] - edges[:-1]) - planes[:, 2:]
        rises = 0.5 * (widths + torch.sqrt(widths.square() + CURVATURE))
        offsets = torch.cat([first, first + rises.cumsum(dim=1)], dim=1)
        if self.patch > 1:
            sharpness, offsets = (
                functional.interpolate(each, scale_factor=self.patch, mode="bilinear") for each in (sharpness, offsets)
            )
        return sharpness * frame - offsets
