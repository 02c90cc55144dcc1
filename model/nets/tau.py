"""Temporal Attention Unit (Tan et al. 2023, arXiv 2206.12126, equations 4 to 6)."""

from __future__ import annotations

from torch import Tensor, nn

from model.nets.translator import LargeKernel

REDUCTION = 16
MIN_REDUCTION = 4


class TemporalGate(nn.Module):
    """Statical attention within frames, times dynamical attention between frames, times x.

    Statical attention (equation 4) is a large kernel over the pixels of each channel. Dynamical attention (equation 5)
    is squeeze and excitation (Hu et al. 2018, arXiv 1709.01507): a weight per channel, from the means of all channels.
    Channels are the features of all frames, so this is where frames interact.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # As in OpenSTL, the divisor grows with the channels, so that about 16 channels remain.
        squeezed = channels // max(channels // REDUCTION, MIN_REDUCTION)
        self.statical = LargeKernel(channels, channels)
        self.dynamical = nn.Sequential(
            nn.Linear(channels, squeezed, bias=False),
            nn.ReLU(),
            nn.Linear(squeezed, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend over [b, channels, y, x]; the shape does not change."""
        between = self.dynamical(x.mean(dim=(2, 3)))[:, :, None, None]
        attended: Tensor = between * self.statical(x) * x
        return attended
