"""Temporal Attention Unit (Tan et al. 2023, arXiv 2206.12126, equations 4 to 6)."""

from __future__ import annotations

from torch import Tensor, nn

from model.nets.translator import LargeKernel

REDUCTION = 16
LEAST_REDUCTION = 4


class TemporalGate(nn.Module):
    """Statical attention within frames times dynamical attention between them.

    Within: a large kernel over the pixels of each channel. Between: each channel (a frame's features) is weighed by
    what the means of all say (squeeze and excitation). Their product weighs x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # OpenSTL's reading of "reduction": the divisor itself grows with the channels, so that about 16 are left.
        squeezed = channels // max(channels // REDUCTION, LEAST_REDUCTION)
        self.statical = LargeKernel(channels, channels)
        self.dynamical = nn.Sequential(
            nn.Linear(channels, squeezed, bias=False),
            nn.ReLU(),
            nn.Linear(squeezed, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, y, x] -> the same shape."""
        between = self.dynamical(x.mean(dim=(2, 3)))[:, :, None, None]
        attended: Tensor = between * self.statical(x) * x
        return attended
