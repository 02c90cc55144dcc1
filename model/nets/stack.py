"""One stack for every cell: plain where all layers have scale 1, MS-RNN where scales go down and up again.

Within a step each layer hears the one below; the memory M goes up with it, and from the last layer into the first of
the next step (PredRNN's zigzag, arXiv 2103.09504, figure 2). Across scales (MS-RNN, arXiv 2206.03010, figure 4) all
that goes up is max-pooled by 2 on the way down and upsampled bilinearly on the way up; on the way up H, and only H, is
summed with the output of the first layer of the same scale on the way down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from model.core.limits import check_limits
from model.nets.causal_lstm import CausalLSTM, GradientHighwayUnit
from model.nets.cell import MOST_CHANNELS, Above, Below, Cell, CellConfig, State, StateSpec
from model.nets.conv_lstm import ConvLSTM
from model.nets.embedding import ActionEmbedding, Embedding, PatchEmbedding, StridedEmbedding
from model.nets.mim import MIM
from model.nets.motion_gru import MotionCell
from model.nets.st_lstm import STLSTM
from model.nets.traj_gru import TrajGRU

CELLS: dict[str, Callable[..., Cell]] = {
    "conv-lstm": ConvLSTM,
    "traj-gru": TrajGRU,
    "st-lstm": STLSTM,
    "causal-lstm": CausalLSTM,
    "mim": MIM,
}


@dataclass(frozen=True, kw_only=True)
class StackConfig(CellConfig):
    """A stack of recurrent layers, all of one configuration.

    `hidden`: channels of every layer, or of each. `scales`: per layer, by how much its grid is coarser than the
    embedded frame; neighbours differ by 1 or 2 times. `motion`: a MotionGRU after each layer but the last (MotionRNN).
    `gradient_highway`: a GHU before the second layer (PredRNN++). `decoupled`: has the projection W of the decoupling
    loss (PredRNN-V2). `patch`, `embed`, `embed_skips`: see `model.nets.embedding`. `grid`: here (rows, columns) of
    frames. The rest: see `CellConfig`.
    """

    cell: Literal["conv-lstm", "traj-gru", "st-lstm", "causal-lstm", "mim"] = "st-lstm"
    hidden: int | tuple[int, ...]
    scales: tuple[int, ...]
    patch: int = 1
    embed: Literal["none", "pointwise", "strided"] = "none"
    embed_skips: bool = False
    motion: bool = False
    gradient_highway: bool = False
    decoupled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self, "hidden", ge=1, le=MOST_CHANNELS)
        check_limits(self, "scales", "patch", ge=1, le=1024)
        scales, widths = self.scales, self.widths
        if not scales:
            raise ValueError("scales must be 1 at least: there is one for each layer")
        if scales[0] != 1 or scales[-1] != 1:
            raise ValueError(f"scales {scales} must begin and end with 1")
        for below, above in pairwise(scales):
            if above not in (below, 2 * below) and below != 2 * above:
                raise ValueError(f"scales {scales}: {below} and {above} are not neighbours")
        if len(widths) != len(scales):
            raise ValueError(f"hidden {self.hidden} and scales {scales} differ in length")
        if len(set(widths)) > 1 and (self.cell != "causal-lstm" or max(scales) > 1 or self.motion):
            raise ValueError(f"hidden {self.hidden}: only a plain stack of Causal LSTMs may differ from layer to layer")
        if self.gradient_highway and len(scales) < 2:
            raise ValueError("a gradient highway lies between the first two layers: one is not enough")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel}: an even one does not keep the size of a frame")
        if self.decoupled and (self.cell in ("conv-lstm", "traj-gru") or len(set(widths)) > 1):
            raise ValueError(f"{self.cell}: decoupling needs the memories C and M, of as many channels in every layer")
        if self.motion and self.dialect == "ms-rnn" and self.embed == "none":
            raise ValueError("MS-RNN's motion highway adds a layer's input to its output: it needs an embedding")
        if self.as_published and (self.dialect != "ms-rnn" or not (self.motion or self.cell == "traj-gru")):
            raise ValueError("as published differs from as in the paper for MS-RNN's TrajGRU and MotionRNN only")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return (self.hidden,) * len(self.scales) if isinstance(self.hidden, int) else self.hidden

    @property
    def first_stride(self) -> int:
        """Pixels of a frame per pixel of the first layer."""
        return self.patch * (4 if self.embed == "strided" else 1)

    @property
    def stride(self) -> int:
        """Both sides of a frame must be multiples of this."""
        return self.first_stride * max(self.scales) * (2 if self.motion else 1)


class StackStep(NamedTuple):
    """What a step answers: the frame [b, out, y, x], the new state; per layer its H, and what it wrote to C and M."""

    answer: Tensor
    state: State
    outputs: list[Tensor]
    increments: list[tuple[Tensor, Tensor]]


class RecurrentStack(nn.Module):
    """Any cell at any scales, one step at a time; it holds no state.

    `inputs` and `outputs`: planes of a frame. `conditions`: numbers per frame that become planes of the input.
    `actions`: conditioning fields per frame, which are fused with every layer's H.
    """

    def __init__(
        self, config: StackConfig, *, inputs: int = 1, outputs: int = 1, conditions: int = 0, actions: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        shared = {"inputs": inputs * config.patch**2 + conditions, "outputs": outputs * config.patch**2}
        if config.embed == "strided":
            self.embedding: Embedding = StridedEmbedding(
                config.patch, first, config.kernel, **shared, bias=config.bias, skips=config.embed_skips
            )
        else:
            embedded = first if config.embed == "pointwise" else None
            self.embedding = PatchEmbedding(config.patch, embedded, last, **shared, bias=config.bias)
        self.cells = nn.ModuleList(self._cell(layer, bool(actions)) for layer in range(len(config.scales)))
        self.highway_unit = GradientHighwayUnit(first, self._of_layer(1)) if config.gradient_highway else None
        authors_motion = config.motion and config.dialect == "authors"
        self.highway_start = nn.Conv2d(self.embedding.features, first, 1, bias=config.bias) if authors_motion else None
        self.decouple = nn.Conv2d(first, first, 1, bias=config.bias) if config.decoupled else None
        self.action = (
            ActionEmbedding(
                actions=actions, hidden=first, embedding=self.embedding, kernel=config.kernel, bias=config.bias
            )
            if actions
            else None
        )

    def layers(self) -> list[Cell]:
        """The cells, first to last."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def states(self) -> list[StateSpec]:
        """Every state tensor, in order: of the first layer (h1, c1, ...), of the next, ..., z, m; strides in pixels."""
        first_stride = self.config.first_stride
        specs = [
            StateSpec(f"{spec.name}{layer + 1}", spec.channels, spec.stride * scale * first_stride)
            for layer, (cell, scale) in enumerate(zip(self.layers(), self.config.scales, strict=True))
            for spec in cell.states()
        ]
        if self.highway_unit is not None:
            specs.append(StateSpec("z", self.config.widths[0], self.config.scales[1] * first_stride))
        if self.layers()[0].zigzags:
            specs.append(StateSpec("m", self.config.widths[-1], first_stride))
        return specs

    def initial_state(self, batch: int, height: int, width: int, like: Tensor) -> State:
        """Zeros for frames of `height` x `width` pixels."""
        return tuple(
            like.new_zeros(batch, spec.channels, height // spec.stride, width // spec.stride) for spec in self.states()
        )

    def step(
        self, frame: Tensor, state: State, conditions: Tensor | None = None, action: Tensor | None = None
    ) -> StackStep:
        """One time step: frame [b, in, y, x], conditions [b, n], action fields [b, n, y, x]."""
        layers, scales = self.layers(), self.config.scales
        own, z, m = self._split(state)
        x, skips = self.embedding.encode(frame, conditions)
        below = Below(
            x=x,
            m=m,
            highway=None if self.highway_start is None else self.highway_start(x),
            action=None if self.action is None or action is None else self.action(action),
        )
        new_state: list[Tensor] = []
        outputs: list[Tensor] = []
        increments: list[tuple[Tensor, Tensor]] = []
        descended: dict[int, Tensor] = {}
        for layer, cell in enumerate(layers):
            if layer:
                below = _between(below, own[layer - 1][0], scales[layer - 1], scales[layer], descended)
            if layer == 1 and self.highway_unit is not None and z is not None:
                z = self.highway_unit.step(below.x, z)
                below = below._replace(x=z)
            above, new = cell.step(below, own[layer])
            new_state += new
            outputs.append(above.h)
            if above.increments is not None:
                increments.append(above.increments)
            descended.setdefault(scales[layer], above.h)
            below = _upwards(above, below.action)
        answer = self.embedding.decode(below.x, skips)
        travelling = [tensor for tensor in (z, below.m) if tensor is not None]
        return StackStep(answer, (*new_state, *travelling), outputs, increments)

    def _split(self, state: State) -> tuple[list[State], Tensor | None, Tensor | None]:
        """The state of each layer, Z, and M."""
        if len(state) != len(self.states()):
            raise ValueError(f"a state of {len(state)} tensors, this stack has {len(self.states())}")
        left = list(state)
        own = []
        for cell in self.layers():
            count = len(cell.states())
            own.append(tuple(left[:count]))
            left = left[count:]
        z = left.pop(0) if self.highway_unit is not None else None
        m = left.pop(0) if self.layers()[0].zigzags else None
        return own, z, m

    def _of_layer(self, layer: int) -> CellConfig:
        """The configuration of a layer: the stack's, but for the grid, which is the layer's own."""
        if self.config.grid is None:
            return self.config
        stride = self.config.first_stride * self.config.scales[layer]
        rows, columns = self.config.grid
        return replace(self.config, grid=(rows // stride, columns // stride))

    def _cell(self, layer: int, conditioned: bool) -> Cell:
        """The cell of a layer; MIM's first is an ST-LSTM."""
        config, widths = self._of_layer(layer), self.config.widths
        in_channels = widths[layer - 1] if layer else self.embedding.features
        actions = widths[0] if conditioned else 0
        if self.config.cell == "causal-lstm":
            memory_in = widths[layer - 1]
            cell: Cell = CausalLSTM(in_channels, widths[layer], config, actions=actions, memory_in=memory_in)
        else:
            kind = STLSTM if self.config.cell == "mim" and layer == 0 else CELLS[self.config.cell]
            cell = kind(in_channels, widths[layer], config, actions=actions)
        return MotionCell(cell, config, last=layer == len(widths) - 1) if self.config.motion else cell


def _upwards(above: Above, action: Tensor | None) -> Below:
    """What a layer handed up, as the next one's input."""
    return Below(x=above.h, m=above.m, d=above.d, highway=above.highway, action=action)


def _between(below: Below, h_before: Tensor, scale_below: int, scale: int, descended: dict[int, Tensor]) -> Below:
    """What goes up, brought to the scale of the next layer; on the way up H joins its equal of the way down."""
    below = below._replace(x_before=h_before)
    if scale == scale_below:
        return below
    resampled = {
        name: _resample(signal, down=scale > scale_below)
        for name, signal in below._asdict().items()
        if signal is not None
    }
    if scale < scale_below:
        resampled["x"] = resampled["x"] + descended[scale]
    return Below(**resampled)


def _resample(x: Tensor, *, down: bool) -> Tensor:
    if down:
        return functional.max_pool2d(x, 2)
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
