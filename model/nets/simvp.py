"""SimVP (Gao et al. 2022, arXiv 2206.05099; gSTA: Tan et al. 2022, 2211.12509) and TAU (2206.12126): no recurrence.

The encoder reads each frame alone; the translator sees all frames as channels of one image; the decoder answers each
frame, with what the encoder's first layer saw of it. Shapes and settings are OpenSTL's, so that its weights fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model.core.limits import check_limits
from model.nets.cell import MOST_CHANNELS
from model.nets.tau import TemporalGate
from model.nets.translator import InceptionTranslator, SpatialGate, attention_translator

GATES: dict[str, Callable[[int], nn.Module]] = {"gsta": SpatialGate, "tau": TemporalGate}


@dataclass(frozen=True, kw_only=True)
class SimVPConfig:
    """`frames`: in, and out at once. `hidden`: channels per frame. `layers`: of encoder and decoder, every second one
    halves or doubles the resolution. `translator_hidden`, `translator_layers`: of what lies between. `mlp_ratio`: of
    the MLP in attention blocks."""

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
        check_limits(self, "hidden", "translator_hidden", ge=1, le=MOST_CHANNELS)
        check_limits(self, "mlp_ratio", gt=0, le=1000)
        check_limits(self, "kernel", ge=1, le=99)
        if self.translator_hidden * self.mlp_ratio < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio:g} leaves no channel of {self.translator_hidden}")

    @property
    def stride(self) -> int:
        """Both sides of a frame must be multiples of this."""
        return int(2 ** (self.layers // 2))


class SimVP(nn.Module):
    """[b, frames, inputs, y, x] -> the frames that follow, [b, frames, outputs, y, x]."""

    def __init__(self, config: SimVPConfig, *, inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.config = config
        channels, wide = config.frames * config.hidden, config.translator_hidden
        coarser = [layer % 2 == 1 for layer in range(config.layers)]
        widths = [inputs, *[config.hidden] * config.layers]
        self.encoder = nn.ModuleList(
            _layer(into, config.hidden, config.kernel, down=down) for into, down in zip(widths, coarser, strict=False)
        )
        if config.translator == "incepu":
            self.translator: nn.Module = InceptionTranslator(channels, wide, config.translator_layers)
        else:
            gate = GATES[config.translator]
            self.translator = attention_translator(channels, wide, config.translator_layers, config.mlp_ratio, gate)
        self.decoder = nn.ModuleList(
            _layer(config.hidden, config.hidden, config.kernel, up=up) for up in reversed(coarser)
        )
        self.output = nn.Conv2d(config.hidden, outputs, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Raises ValueError where the frames are not as many as the network was built for."""
        batch, count = frames.shape[:2]
        if count != self.config.frames:
            raise ValueError(f"{count} frames, this network reads {self.config.frames}")
        first = x = self.encoder[0](frames.flatten(0, 1))
        for layer in self.encoder[1:]:
            x = layer(x)
        together = torch.unflatten(x, 0, (batch, count)).flatten(1, 2)
        x = torch.unflatten(self.translator(together), 1, (count, -1)).flatten(0, 1)
        for layer in self.decoder[:-1]:
            x = layer(x)
        return torch.unflatten(self.output(self.decoder[-1](x + first)), 0, (batch, count))


def _layer(inputs: int, outputs: int, kernel: int, *, down: bool = False, up: bool = False) -> nn.Sequential:
    """A convolution that keeps, halves or (by depth to space) doubles the resolution; then norm and activation."""
    stride = 2 if down else 1
    conv = nn.Conv2d(inputs, outputs * (4 if up else 1), kernel, stride, (kernel - stride + 1) // 2)
    shuffle = [nn.PixelShuffle(2)] if up else []
    return nn.Sequential(conv, *shuffle, nn.GroupNorm(2, outputs), nn.SiLU())
