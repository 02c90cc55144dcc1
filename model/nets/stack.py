"""One stack of recurrent cells: PredRNN where every layer has scale 1, MS-PredRNN where scales go down and up again.

The memory M zigzags: up through the layers within a step, and from the last layer into the first of the next step
(PredRNN, arXiv 2103.09504, figure 2). Across scales (MS-RNN, arXiv 2206.03010, figure 4) H and M are max-pooled by 2
on the way down and upsampled bilinearly on the way up; on the way up H, and only H, is summed with the output of the
layer of the same scale on the way down.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.st_lstm import STLSTM, CellState


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """A stack of ST-LSTM layers.

    `scales`: per layer, by how much its grid is coarser than the embedded frame; neighbours differ by 1 or 2 times.
    `patch`: side of the square of pixels that becomes channels (space to depth), as in PredRNN.
    `embed`: a 1x1 convolution before the first layer, as in MS-RNN. `in_channels`: planes per pixel of the input.
    """

    hidden: int
    scales: tuple[int, ...]
    kernel: int
    patch: int
    in_channels: int = 1
    out_channels: int = 1
    conditions: int = 0
    embed: bool = False
    forget_bias: float = 1.0
    bias: bool = True

    def __post_init__(self) -> None:
        if self.scales[0] != 1 or self.scales[-1] != 1:
            raise ValueError(f"scales {self.scales} must begin and end with 1")
        for below, above in zip(self.scales[:-1], self.scales[1:], strict=True):
            if above not in (below, 2 * below) and below != 2 * above:
                raise ValueError(f"scales {self.scales}: {below} and {above} are not neighbours")

    @property
    def stride(self) -> int:
        """Both sides of a frame must be multiples of this."""
        return self.patch * max(self.scales)


State = tuple[Tensor, ...]
"""H and C of each layer, first to last, then M: [b, hidden, y / s, x / s] at the layer's scale s times the patch."""


class RecurrentStack(nn.Module):
    """PredRNN or MS-PredRNN, one step at a time; it holds no state."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        patch_channels = config.in_channels * config.patch**2 + config.conditions
        self.embed = nn.Conv2d(patch_channels, config.hidden, 1, bias=config.bias) if config.embed else nn.Identity()
        first = config.hidden if config.embed else patch_channels
        self.cells = nn.ModuleList(
            STLSTM(
                first if layer == 0 else config.hidden,
                config.hidden,
                kernel=config.kernel,
                forget_bias=config.forget_bias,
                bias=config.bias,
            )
            for layer in range(len(config.scales))
        )
        self.output = nn.Conv2d(config.hidden, config.out_channels * config.patch**2, 1, bias=config.bias)

    def initial_state(self, batch: int, height: int, width: int, like: Tensor) -> State:
        """Zeros for frames of `height` x `width` pixels."""

        def zeros(scale: int) -> Tensor:
            stride = self.config.patch * scale
            return like.new_zeros(batch, self.config.hidden, height // stride, width // stride)

        return (*(zeros(scale) for scale in self.config.scales for _ in "hc"), zeros(1))

    def step(self, frame: Tensor, state: State, conditions: Tensor | None = None) -> tuple[Tensor, State]:
        """One time step: frame [b, in, y, x], conditions [b, n] (one plane each) -> answer [b, out, y, x], state."""
        x = functional.pixel_unshuffle(frame, self.config.patch)
        if conditions is not None:
            planes = conditions[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
            x = torch.cat([x, planes], dim=1)
        x = self.embed(x)

        m = state[-1]
        new_state: list[Tensor] = []
        descending: dict[int, Tensor] = {}
        scale_below = 1
        for layer, (cell, scale) in enumerate(zip(self.cells, self.config.scales, strict=True)):
            if scale > scale_below:
                x, m = functional.max_pool2d(x, 2), functional.max_pool2d(m, 2)
            elif scale < scale_below:
                x = _upsample(x) + descending[scale]
                m = _upsample(m)
            assert isinstance(cell, STLSTM)  # noqa: S101  (narrows nn.ModuleList's element type)
            layer_state: CellState = (state[2 * layer], state[2 * layer + 1])
            x, m, (h, c) = cell.step(x, m, layer_state)
            new_state += [h, c]
            descending.setdefault(scale, x)
            scale_below = scale
        answer = functional.pixel_shuffle(self.output(x), self.config.patch)
        return answer, (*new_state, m)


def _upsample(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
