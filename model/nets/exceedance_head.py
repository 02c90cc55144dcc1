"""The distribution head: from planes of a network to logits of exceedance probabilities that fall with the threshold.

An ordinal regression (McCullagh 1980, doi 10.1111/j.2517-6161.1980.tb01109.x) with a location and a scale for each
pixel, and a departure from them for each threshold, so that the distribution may have any form:

    l_1 = s (p - e_1) + d_1        l_k = l_{k-1} - squareplus(s (e_k - e_{k-1}) + d_k)

Here p is the frame that the network predicts and reads next, s > 0 the inverse of the scale, e_k the thresholds as
HKO-7 pixel fractions, d_k the departures. Each logit is lower than the one before by a positive number, whatever the
weights: monotone by construction. p carries the detail of the observed frames, which few channels at a coarser
resolution could not tell. Squareplus (Barron 2021, arXiv 2112.11687) is a softplus of one square root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

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
    """

    edges: Tensor

    def __init__(self, thresholds_mm_h: Sequence[float]) -> None:
        super().__init__()
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
        planes : [b, 1 + threshold, y, x]
            Logarithm of s over its initial value, and the departures.

        Returns
        -------
        Tensor
            Logits [b, threshold, y, x], decreasing along the thresholds.
        """
        frame, planes = frame.float(), planes.float()
        log_scale = planes[:, :1].clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
        sharpness = torch.exp(log_scale - math.log(INITIAL_SCALE))
        edges = self.edges[:, None, None]
        logit = sharpness * (frame - edges[:1]) + planes[:, 1:2]
        widths = sharpness * (edges[1:] - edges[:-1]) + planes[:, 2:]
        drops = 0.5 * (widths + torch.sqrt(widths.square() + CURVATURE))
        return torch.cat([logit, logit - drops.cumsum(dim=1)], dim=1)
