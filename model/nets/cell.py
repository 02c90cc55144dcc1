"""What every recurrent cell is: a step from (what comes from below, its state) to (what goes above, its new state)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from model.core.limits import check_limits

MOST_PIXELS: Final = 100_000
MOST_CHANNELS: Final = 16_384
"""More is a slip: it would be found out by the memory that it wants."""

State = tuple[Tensor, ...]
"""The state tensors of a cell or a stack, in the order of its `states()`; the first of a cell is H."""


class StateSpec(NamedTuple):
    """One state tensor: [b, channels, y / stride, x / stride] where its layer has y x x."""

    name: str
    channels: int
    stride: int = 1


class Below(NamedTuple):
    """What a layer hears within a step, at its own scale; each [b, channels, y, x].

    `x`: the input of the layer, the output of the one below, with what a skip adds to it. `x_before`: the output of the
    one below a step earlier, without a skip, as MS-RNN has it. `m`: the spatiotemporal memory M. `d`: the difference
    that the MIM-N below answered. `highway`: the motion highway. `action`: conditioning features.
    """

    x: Tensor
    x_before: Tensor | None = None
    m: Tensor | None = None
    d: Tensor | None = None
    highway: Tensor | None = None
    action: Tensor | None = None


class Above(NamedTuple):
    """What a layer hands up: its output H, and M, D and the highway where it has them.

    `o`: how much of H is new, its output gate. `increments`: what was just written to C and to M (PredRNN-V2).
    """

    h: Tensor
    o: Tensor
    m: Tensor | None = None
    d: Tensor | None = None
    highway: Tensor | None = None
    increments: tuple[Tensor, Tensor] | None = None


Dialect = Literal["authors", "ms-rnn"]
"""Where a paper's authors and MS-RNN wrote a network differently: whose form it has."""


@dataclass(frozen=True, kw_only=True)
class CellConfig:
    """What a cell is built from, but its channels.

    `forget_bias` is added to forget gates before the sigmoid: 1 in the authors' codes, 0 in MS-RNN's. `bias`: whether
    convolutions have one. `layer_norm`: whether gates are normalised. `grid`: (rows, columns) of the layer where
    weights are per pixel, as in OpenSTL's layer norms and MIM; None: per channel, for any grid. `links`: flow fields
    of TrajGRU. `as_published`: TrajGRU and MotionRNN with the faults of MS-RNN's code, for weights that were trained by
    it: the positions of its warps (`model.nets.warp`), and a reshape of MotionRNN's that mixes pixels.
    """

    kernel: int
    forget_bias: float = 1.0
    bias: bool = True
    layer_norm: bool = False
    grid: tuple[int, int] | None = None
    dialect: Dialect = "authors"
    links: int = 10
    as_published: bool = False

    def __post_init__(self) -> None:
        check_limits(self, "kernel", ge=1, le=99)
        check_limits(self, "forget_bias", ge=-100, le=100)
        check_limits(self, "links", ge=1, le=1000)
        if self.grid is not None:
            check_limits(self, "grid", ge=1, le=MOST_PIXELS)

    def gates(self, inputs: int, outputs: int, kernel: int | None = None) -> nn.Module:
        """A convolution to gates, normalised where the configuration says so."""
        size = self.kernel if kernel is None else kernel
        conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=self.bias)
        return nn.Sequential(conv, LayerNorm(outputs, self.grid)) if self.layer_norm else conv

    def pointwise(self, inputs: int, outputs: int) -> nn.Conv2d:
        """A 1x1 convolution, never normalised."""
        return nn.Conv2d(inputs, outputs, 1, bias=self.bias)

    def gates_of_action(self, actions: int, outputs: int) -> nn.Module | None:
        """The convolution W_a of action-conditioned cells; None where there are no features of actions."""
        return self.gates(actions, outputs) if actions else None

    def weight(self, channels: int, value: float) -> nn.Parameter:
        """One weight per channel, or per channel and pixel of a fixed grid."""
        return nn.Parameter(torch.full((channels, *(self.grid or (1, 1))), value))


class Cell(nn.Module):
    """A recurrent cell. It holds no state between calls: what it remembers goes out and comes in again as `state`.

    It is built from the channels of its input and of H, its configuration, and the channels of conditioning features.
    """

    zigzags: bool = False
    """Whether it takes the memory M from the layer below and hands it on."""

    hidden: int

    def states(self) -> Sequence[StateSpec]:
        """Its state tensors; the first is H. H and C, unless a cell says otherwise."""
        return [StateSpec("h", self.hidden), StateSpec("c", self.hidden)]

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step."""
        raise NotImplementedError

    def parts(self) -> Sequence[nn.Module]:
        """What it is made of: itself, or the cell and what is around it."""
        return [self]


class LayerNorm(nn.Module):
    """Normalises each sample over all channels, rows and columns; scales by channel, or by pixel on a fixed grid.

    Mean and variance need no fixed grid: only weights of `torch.nn.LayerNorm([C, H, W])` do.
    """

    def __init__(self, channels: int, grid: tuple[int, int] | None) -> None:
        super().__init__()
        shape = (channels, *(grid or (1, 1)))
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, y, x] -> the same shape; computed in float32 or finer, whatever the autocast."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = exact - exact.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        return (centred * torch.rsqrt(variance + 1e-5) * self.weight + self.bias).to(x.dtype)


def fused(gates: Tensor, from_action: nn.Module | None, action: Tensor | None) -> Tensor:
    """(W_h * H) . (W_a * A): how action-conditioned PredRNN fuses them (2103.09504); without actions W_h * H.

    Raises
    ------
    ValueError
        The cell is conditioned and hears no action, or the other way round.
    """
    if (from_action is None) != (action is None):
        raise ValueError("a conditioned cell needs an action at every step, and no other cell takes one")
    return gates if from_action is None else gates * from_action(action)


def heard(signal: Tensor | None, name: str) -> Tensor:
    """The signal, which a layer of this kind always hears."""
    if signal is None:
        raise ValueError(f"the cell hears no {name} from below")
    return signal
