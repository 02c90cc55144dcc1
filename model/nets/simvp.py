"""SimVP (Gao et al. 2022, arXiv 2206.05099; gSTA: Tan et al. 2022, 2211.12509) and TAU (2206.12126): no recurrence.

The encoder reads each frame by itself; the translator sees all frames as channels of one image; the decoder makes each
frame, with a skip connection from the first layer of the encoder. Shapes and defaults are OpenSTL's, whose weights fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model.core.limits import check_limits
from model.nets.cell import MAX_CHANNELS
from model.nets.tau import TemporalGate
from model.nets.translator import InceptionTranslator, SpatialGate, attention_translator

GATES: dict[str, Callable[[int], nn.Module]] = {"gsta": SpatialGate, "tau": TemporalGate}


@dataclass(frozen=True, kw_only=True)
class SimVPConfig:
    """Configuration of SimVP or TAU.

    Attributes
    ----------
    translator
        IncepU and gSTA are SimVP's, TAU's is `tau`.
    frames
        Frames that the network reads, and predicts, at once.
    hidden
        Channels per frame.
    translator_hidden
        Channels of the translator.
    layers
        Layers of the encoder and of the decoder; every second one halves or doubles the resolution.
    translator_layers
        Blocks of the translator.
    mlp_ratio
        Hidden channels per input channel of the MLP in attention blocks.
    kernel
        Side of the convolutions of encoder and decoder.
    """

    translator: Literal["incepu", "gsta", "tau"]
    frames: int
    hidden: int = 64
    translator_hidden: int = 512
    layers: int = 4
    translator_layers: int = 8
    mlp_ratio: float = 8.0
    kernel: int = 3

    def __post_init__(self) -> None:
        check_limits(self, "frames", "layers", "translator_layers", ge=1, le=1000)
        check_limits(self, "hidden", "translator_hidden", ge=1, le=MAX_CHANNELS)
        check_limits(self, "mlp_ratio", gt=0, le=1000)
        check_limits(self, "kernel", ge=1, le=99)
        if self.translator_hidden * self.mlp_ratio < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio:g} leaves none of {self.translator_hidden} channels")

    @property
    def stride(self) -> int:
        """Number that divides both sides of every frame."""
        return int(2 ** (self.layers // 2))


class SimVP(nn.Module):
    """The network of a `SimVPConfig`; `inputs` and `outputs` are the planes of a frame."""

    def __init__(self, config: SimVPConfig, *, inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.config = config
        channels, wide = config.frames * config.hidden, config.translator_hidden
        resamples = [layer % 2 == 1 for layer in range(config.layers)]
        widths = [inputs, *[config.hidden] * config.layers]
        self.encoder = nn.ModuleList(
            _layer(into, config.hidden, config.kernel, down=down) for into, down in zip(widths, resamples, strict=False)
        )
        if config.translator == "incepu":
            self.translator: nn.Module = InceptionTranslator(channels, wide, config.translator_layers)
        else:
            gate = GATES[config.translator]
            self.translator = attention_translator(channels, wide, config.translator_layers, config.mlp_ratio, gate)
        self.decoder = nn.ModuleList(
            _layer(config.hidden, config.hidden, config.kernel, up=up) for up in reversed(resamples)
        )
        self.output = nn.Conv2d(config.hidden, outputs, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Predict the frames that follow: [b, frames, inputs, y, x] -> [b, frames, outputs, y, x].

        Raises
        ------
        ValueError
            The number of frames differs from `SimVPConfig.frames`.
        """
        batch, count = frames.shape[:2]
        if count != self.config.frames:
            raise ValueError(f"{count} frames, but this network reads {self.config.frames}")
        first = x = self.encoder[0](frames.flatten(0, 1))
        for layer in self.encoder[1:]:
            x = layer(x)
        image = torch.unflatten(x, 0, (batch, count)).flatten(1, 2)
        x = torch.unflatten(self.translator(image), 1, (count, -1)).flatten(0, 1)
        for layer in self.decoder[:-1]:
            x = layer(x)
        return torch.unflatten(self.output(self.decoder[-1](x + first)), 0, (batch, count))


def _layer(inputs: int, outputs: int, kernel: int, *, down: bool = False, up: bool = False) -> nn.Sequential:
    """Return a convolution that keeps, halves or doubles (depth to space) the resolution, norm and activation."""
    stride = 2 if down else 1
    conv = nn.Conv2d(inputs, outputs * (4 if up else 1), kernel, stride, (kernel - stride + 1) // 2)
    shuffle = [nn.PixelShuffle(2)] if up else []
    return nn.Sequential(conv, *shuffle, nn.GroupNorm(2, outputs), nn.SiLU())
