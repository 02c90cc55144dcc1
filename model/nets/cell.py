"""The interface of recurrent cells, their configuration, and the layers that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from model.core.limits import check_limits

MAX_PIXELS: Final = 100_000
MAX_CHANNELS: Final = 16_384
"""A configuration with more channels or pixels is a typing error; without a limit it would exhaust the memory."""

State = tuple[Tensor, ...]
"""State tensors of a cell or a stack, in the order of `states()`; the first one of a cell is H."""


class StateSpec(NamedTuple):
    """One state tensor [b, channels, y / stride, x / stride], where the layer has a grid of y x x pixels."""

    name: str
    channels: int
    stride: int = 1


class CellInput(NamedTuple):
    """Input of a layer within one time step, on the grid of the layer.

    Attributes
    ----------
    x : [b, channels, y, x]
        Output of the layer below, plus the skip connection where there is one.
    x_previous : [b, channels, y, x]
        Output of the layer below at the previous time step, without a skip connection, as in MS-RNN.
    m : [b, channels, y, x]
        Spatiotemporal memory M.
    d : [b, channels, y, x]
        Output D of the MIM-N of the layer below.
    highway : [b, channels, y, x]
        Motion highway.
    action : [b, channels, y, x]
        Features of the conditioning fields.
    """

    x: Tensor
    x_previous: Tensor | None = None
    m: Tensor | None = None
    d: Tensor | None = None
    highway: Tensor | None = None
    action: Tensor | None = None


class CellOutput(NamedTuple):
    """Output of a layer within one time step; M, D and the highway as in `CellInput`.

    Attributes
    ----------
    h : [b, hidden, y, x]
        Hidden state H.
    o : [b, hidden, y, x]
        Output gate: the share of H that is new.
    increments : two of [b, hidden, y, x]
        Increments i * g of C and i' * g' of M, which PredRNN-V2 decouples.
    """

    h: Tensor
    o: Tensor
    m: Tensor | None = None
    d: Tensor | None = None
    highway: Tensor | None = None
    increments: tuple[Tensor, Tensor] | None = None


Implementation = Literal["official", "ms-rnn"]
"""The code of a paper's authors, or MS-RNN's, where their equations differ."""


@dataclass(frozen=True, kw_only=True)
class CellConfig:
    """Configuration of a cell, without its channels.

    Attributes
    ----------
    kernel
        Side of the convolutions over H, M and the input.
    forget_bias
        Constant that is added to forget gates before the sigmoid: 1 in the official codes, 0 in MS-RNN's.
    bias
        Whether convolutions have a bias.
    layer_norm
        Whether gates are normalised.
    grid
        (rows, columns) of the layer where weights are per pixel, as in OpenSTL's layer norms and MIM; None for weights
        per channel, which fit any grid.
    implementation
        The published form of a cell that has two.
    links
        Number of flow fields of TrajGRU.
    as_published
        Whether TrajGRU and MotionRNN reproduce the faults of MS-RNN's code, which weights trained by that code need:
        the sampling positions of warps (`model.nets.warp`), and a reshape in MotionRNN that mixes pixels.
    """

    kernel: int
    forget_bias: float = 1.0
    bias: bool = True
    layer_norm: bool = False
    grid: tuple[int, int] | None = None
    implementation: Implementation = "official"
    links: int = 10
    as_published: bool = False

    def __post_init__(self) -> None:
        check_limits(self, "kernel", ge=1, le=99)
        check_limits(self, "forget_bias", ge=-100, le=100)
        check_limits(self, "links", ge=1, le=1000)
        if self.grid is not None:
            check_limits(self, "grid", ge=1, le=MAX_PIXELS)

    def gate_conv(self, inputs: int, outputs: int) -> nn.Module:
        """Return a convolution to gates, followed by a layer norm where the configuration has one."""
        conv = nn.Conv2d(inputs, outputs, self.kernel, padding=self.kernel // 2, bias=self.bias)
        return nn.Sequential(conv, LayerNorm(outputs, self.grid)) if self.layer_norm else conv

    def pointwise_conv(self, inputs: int, outputs: int) -> nn.Conv2d:
        """Return a 1x1 convolution, which is never normalised."""
        return nn.Conv2d(inputs, outputs, 1, bias=self.bias)

    def action_conv(self, actions: int, outputs: int) -> nn.Module | None:
        """Return the convolution W_a of an action-conditioned cell; None without action features."""
        return self.gate_conv(actions, outputs) if actions else None

    def peephole(self, channels: int) -> nn.Parameter:
        """Return zero weights per channel, or per channel and pixel of a fixed grid."""
        return nn.Parameter(torch.zeros(channels, *(self.grid or (1, 1))))


class Cell(nn.Module):
    """A recurrent cell.

    It keeps no state between calls: `step` takes the state and returns the next one. The constructor takes the channels
    of the input and of H, the configuration, and the channels of action features.
    """

    has_memory_flow: bool = False
    """Whether the cell takes the memory M of the layer below and passes it to the layer above."""

    hidden: int

    @property
    def kind(self) -> str:
        """Name of the cell in profiles and manifests; the published forms of a cell share it."""
        return type(self).__name__

    def states(self) -> Sequence[StateSpec]:
        """Return the state tensors, H first; H and C by default."""
        return [StateSpec("h", self.hidden), StateSpec("c", self.hidden)]

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step and return the output and the next state."""
        raise NotImplementedError

    def split(self, gates: Tensor) -> tuple[Tensor, ...]:
        """Split [b, n * hidden, y, x] into n gates."""
        return torch.split(gates, self.hidden, dim=1)


class LayerNorm(nn.Module):
    """Normalisation of each sample over channels, rows and columns, with weights per channel or per pixel.

    `torch.nn.LayerNorm([C, H, W])`, which predrnn-pytorch and OpenSTL use, has weights per pixel and binds a network to
    one grid. Mean and variance need no fixed grid, so weights per channel fit any.
    """

    def __init__(self, channels: int, grid: tuple[int, int] | None) -> None:
        super().__init__()
        shape = (channels, *(grid or (1, 1)))
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [b, channels, y, x], in float32 or finer under any autocast."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = exact - exact.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        return (centred * torch.rsqrt(variance + 1e-5) * self.weight + self.bias).to(x.dtype)


def modulate(gates: Tensor, action_conv: nn.Module | None, action: Tensor | None) -> Tensor:
    """Return (W_h * H) . (W_a * A), how action-conditioned PredRNN joins them (arXiv 2103.09504).

    Parameters
    ----------
    gates : [b, n * hidden, y, x]
        W_h * H, returned unchanged where the cell takes no actions.
    action_conv
        W_a.
    action : [b, channels, y, x]
        A, the features of the actions.

    Raises
    ------
    ValueError
        Only one of `action_conv` and `action` is given.
    """
    if (action_conv is None) != (action is None):
        raise ValueError("a conditioned cell needs an action at every step, and no other cell takes one")
    return gates if action_conv is None else gates * action_conv(action)


def required(signal: Tensor | None, name: str) -> Tensor:
    """Return an optional signal of `CellInput` that the cell needs.

    Raises
    ------
    ValueError
        The signal is None.
    """
    if signal is None:
        raise ValueError(f"the layer below passes no {name}")
    return signal
