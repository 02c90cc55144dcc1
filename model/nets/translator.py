"""Translators of SimVP, between encoder and decoder: blocks over an image whose channels are all frames of a sequence.

IncepU (SimVP, arXiv 2206.05099) is a U-Net of Inception blocks. gSTA (SimVPv2, arXiv 2211.12509) and TAU
(`model.nets.tau`) are sequences of attention blocks that differ in the attention only. All of them fit any grid.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

INCEPTION_KERNELS = (3, 5, 7, 11)
INCEPTION_GROUPS = 8
LARGE_KERNEL = 21
"""Side of the receptive field of the attention: 5 x 5, then 7 x 7 with dilation 3."""
DILATION = 3
LAYER_SCALE = 1e-2


class Inception(nn.Module):
    """A 1x1 convolution, then the sum of grouped convolutions of several sizes, each normalised."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        groups = INCEPTION_GROUPS if hidden % INCEPTION_GROUPS == 0 else 1
        self.reduce = nn.Conv2d(inputs, hidden, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(hidden, outputs, size, padding=size // 2, groups=groups),
                nn.GroupNorm(groups, outputs),
                nn.LeakyReLU(0.2),
            )
            for size in INCEPTION_KERNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, inputs, y, x] -> [b, outputs, y, x]."""
        x = self.reduce(x)
        return torch.stack([branch(x) for branch in self.branches]).sum(dim=0)


class InceptionTranslator(nn.Module):
    """`layers` Inception blocks down and as many up, with skip connections that concatenate channels."""

    def __init__(self, channels: int, hidden: int, layers: int) -> None:
        super().__init__()
        half = hidden // 2
        self.down = nn.ModuleList(Inception(hidden if layer else channels, half, hidden) for layer in range(layers))
        self.up = nn.ModuleList(
            Inception(2 * hidden if layer else hidden, half, hidden if layer < layers - 1 else channels)
            for layer in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Translate [b, channels, y, x]; the shape does not change."""
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()  # the deepest output is the input of the way up
        for layer, block in enumerate(self.up):
            x = block(torch.cat([x, skips.pop()], dim=1) if layer else x)
        return x


class LargeKernel(nn.Module):
    """A depthwise convolution of 21 x 21 pixels, decomposed into 5 x 5, a dilated 7 x 7, and 1 x 1.

    Decomposed as in the Visual Attention Network (Guo et al. 2022, arXiv 2202.09741), for a fraction of the weights.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        near = 2 * DILATION - 1
        far = LARGE_KERNEL // DILATION + LARGE_KERNEL // DILATION % 2 - 1
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        self.far = nn.Conv2d(
            channels, channels, far, padding=DILATION * (far - 1) // 2, dilation=DILATION, groups=channels
        )
        self.mix = nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [b, channels, y, x] -> [b, outputs, y, x]."""
        mixed: Tensor = self.mix(self.far(self.near(x)))
        return mixed


class SpatialGate(nn.Module):
    """Gated spatiotemporal attention (gSTA): half of a large kernel's output gates the other half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.kernel = LargeKernel(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over [b, channels, y, x]; the shape does not change."""
        values, gate = torch.split(self.kernel(x), self.channels, dim=1)
        return torch.sigmoid(gate) * values


class AttentionBlock(nn.Module):
    """Attention, then a convolutional MLP: pre-norm residual blocks, each with a learned scale per channel.

    The scale starts small, so that deep stacks train from near the identity (LayerScale, Touvron et al. 2021, arXiv
    2103.17239).
    """

    def __init__(self, inputs: int, outputs: int, mlp_ratio: float, gate: Callable[[int], nn.Module]) -> None:
        super().__init__()
        wide = int(inputs * mlp_ratio)
        self.norm = nn.BatchNorm2d(inputs)
        self.attend = nn.Sequential(nn.Conv2d(inputs, inputs, 1), nn.GELU(), gate(inputs), nn.Conv2d(inputs, inputs, 1))
        self.mlp_norm = nn.BatchNorm2d(inputs)
        self.mlp = nn.Sequential(
            nn.Conv2d(inputs, wide, 1),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            nn.GELU(),
            nn.Conv2d(wide, inputs, 1),
        )
        self.scale = nn.Parameter(torch.full((inputs, 1, 1), LAYER_SCALE))
        self.mlp_scale = nn.Parameter(torch.full((inputs, 1, 1), LAYER_SCALE))
        self.reduce = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, inputs, y, x] -> [b, outputs, y, x]."""
        normed = self.norm(x)
        x = x + self.scale * (normed + self.attend(normed))
        x = x + self.mlp_scale * self.mlp(self.mlp_norm(x))
        output: Tensor = self.reduce(x)
        return output


def attention_translator(
    channels: int, hidden: int, layers: int, mlp_ratio: float, gate: Callable[[int], nn.Module]
) -> nn.Sequential:
    """Return `layers` attention blocks, the first from `channels` to `hidden`, the last back to `channels`.

    Parameters
    ----------
    channels
        Frames times channels per frame.
    hidden
        Channels between the blocks.
    layers
        Number of blocks.
    mlp_ratio
        Hidden channels of the MLP per input channel.
    gate
        The attention of a number of channels: `SpatialGate` or `model.nets.tau.TemporalGate`.
    """
    widths = [channels, *[hidden] * (layers - 1), channels]
    return nn.Sequential(*(AttentionBlock(into, out, mlp_ratio, gate) for into, out in pairwise(widths)))
