"""One stack for every cell: plain where all layers have scale 1, MS-RNN where scales go down and up again.

Three paths run through a stack besides each cell's own recurrence.

- Upwards within a time step: each layer reads H of the layer below, and M rises with H. From the last layer M enters
  the first layer of the next time step (PredRNN's zigzag memory flow, arXiv 2103.09504, figure 2), so that details of
  the frame reach the next step through the depth of the stack.
- Across scales (MS-RNN, arXiv 2206.03010, figure 4): on the way down, max pooling by 2 before a coarser layer; on the
  way up, bilinear upsampling by 2 before a finer one. Coarser layers see farther with the same kernel and cost less.
  Every tensor that rises is resampled: H, M, MIM's D, the highway.
- Skip connections (the same figure): on the way up H, and only H, is added to the H of the first layer of the same
  scale on the way down, which restores what pooling lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from model.core.limits import check_limits
from model.nets.causal_lstm import GradientHighwayUnit, OfficialCausalLSTM, PaperCausalLSTM
from model.nets.cell import MAX_CHANNELS, Cell, CellConfig, CellInput, Implementation, State, StateSpec
from model.nets.conv_lstm import ConvLSTM
from model.nets.embedding import ActionEmbedding, Embedding, PatchEmbedding, StridedEmbedding
from model.nets.mim import OfficialMIM, PaperMIM
from model.nets.motion_gru import MSRNNMotionCell, OfficialMotionCell
from model.nets.st_lstm import STLSTM
from model.nets.traj_gru import TrajGRU

CELLS: Final[Mapping[str, Mapping[Implementation, Callable[..., Cell]]]] = {
    "conv-lstm": {"official": ConvLSTM, "ms-rnn": ConvLSTM},
    "traj-gru": {"official": TrajGRU, "ms-rnn": TrajGRU},
    "st-lstm": {"official": STLSTM, "ms-rnn": STLSTM},
    "causal-lstm": {"official": OfficialCausalLSTM, "ms-rnn": PaperCausalLSTM},
    "mim": {"official": OfficialMIM, "ms-rnn": PaperMIM},
}
MOTION_CELLS: Final[Mapping[Implementation, Callable[..., Cell]]] = {
    "official": OfficialMotionCell,
    "ms-rnn": MSRNNMotionCell,
}


@dataclass(frozen=True, kw_only=True)
class StackConfig(CellConfig):
    """Configuration of a stack of recurrent layers; for the other attributes see `CellConfig`.

    Attributes
    ----------
    cell
        Cell of every layer; the first one of MIM is an ST-LSTM.
    hidden
        Channels of every layer, or of each.
    scales
        How much coarser the grid of each layer is than the embedded frame; neighbours differ by a factor of 1 or 2.
    patch, embed, embed_skips
        See `model.nets.embedding`.
    motion
        Whether a MotionGRU follows each layer but the last (MotionRNN).
    gradient_highway
        Whether a Gradient Highway Unit precedes the second layer (PredRNN++).
    decoupled
        Whether the stack has the projection W of the decoupling loss (PredRNN-V2).
    grid
        (rows, columns) of a frame, where weights are per pixel.
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
        check_limits(self, "hidden", ge=1, le=MAX_CHANNELS)
        check_limits(self, "scales", "patch", ge=1, le=1024)
        scales, widths = self.scales, self.widths
        if not scales:
            raise ValueError("scales must hold one number per layer, at least one")
        if scales[0] != 1 or scales[-1] != 1:
            raise ValueError(f"scales {scales} must start and end with 1")
        for below, above in pairwise(scales):
            if above not in (below, 2 * below) and below != 2 * above:
                raise ValueError(f"scales {scales}: {below} and {above} differ by another factor than 1 or 2")
        if len(widths) != len(scales):
            raise ValueError(f"hidden {self.hidden} and scales {scales} differ in length")
        if len(set(widths)) > 1 and (self.cell != "causal-lstm" or max(scales) > 1 or self.motion):
            raise ValueError(f"hidden {self.hidden}: only a plain stack of Causal LSTMs may differ from layer to layer")
        if self.gradient_highway and len(scales) < 2:
            raise ValueError("a gradient highway lies between the first two layers, so a stack needs two at least")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel}: an even kernel changes the size of a frame")
        if self.decoupled and (self.cell in ("conv-lstm", "traj-gru") or len(set(widths)) > 1):
            raise ValueError(f"{self.cell}: decoupling needs the memories C and M, of as many channels in every layer")
        if self.motion and self.implementation == "ms-rnn" and self.embed == "none":
            raise ValueError("MS-RNN's motion highway adds a layer's input to its output: it needs an embedding")
        if self.as_published and (self.implementation != "ms-rnn" or not (self.motion or self.cell == "traj-gru")):
            raise ValueError("as_published applies to TrajGRU and MotionRNN of MS-RNN only")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return (self.hidden,) * len(self.scales) if isinstance(self.hidden, int) else self.hidden

    @property
    def first_stride(self) -> int:
        """Pixels of a frame per pixel of the first layer, along a side."""
        return self.patch * (4 if self.embed == "strided" else 1)

    @property
    def stride(self) -> int:
        """Number that divides both sides of every frame."""
        return self.first_stride * max(self.scales) * (2 if self.motion else 1)


class StackOutput(NamedTuple):
    """Output of one time step: the frame [b, out, y, x], the new state, and each layer's increments of C and M.

    `coarse`: further planes [b, n, y / patch, x / patch] at the resolution of patches, or None.
    """

    frame: Tensor
    state: State
    increments: list[tuple[Tensor, Tensor]]
    coarse: Tensor | None = None


class RecurrentStack(nn.Module):
    """A stack of any cell at any scales, run one time step at a time; it keeps no state.

    Parameters
    ----------
    config
        The stack.
    inputs, outputs
        Planes of a frame: what the stack reads and what it predicts.
    conditions
        Numbers per frame, which become planes of the input.
    actions
        Conditioning fields per frame, which modulate the H of every layer.
    coarse
        Further planes that the stack predicts, at the resolution of patches.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        inputs: int = 1,
        outputs: int = 1,
        conditions: int = 0,
        actions: int = 0,
        coarse: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        shared = {
            "inputs": inputs * config.patch**2 + conditions,
            "outputs": outputs * config.patch**2,
            "coarse": coarse,
        }
        if config.embed == "strided":
            self.embedding: Embedding = StridedEmbedding(
                config.patch, first, config.kernel, **shared, bias=config.bias, skips=config.embed_skips
            )
        else:
            embedded = first if config.embed == "pointwise" else None
            self.embedding = PatchEmbedding(config.patch, embedded, last, **shared, bias=config.bias)
        self.cells = nn.ModuleList(self._cell(layer, bool(actions)) for layer in range(len(config.scales)))
        self.highway_unit = GradientHighwayUnit(first, self._of_layer(1)) if config.gradient_highway else None
        starts_highway = config.motion and config.implementation == "official"
        self.highway_start = nn.Conv2d(self.embedding.features, first, 1, bias=config.bias) if starts_highway else None
        self.decouple = nn.Conv2d(first, first, 1, bias=config.bias) if config.decoupled else None
        self.action = (
            ActionEmbedding(
                actions=actions, hidden=first, embedding=self.embedding, kernel=config.kernel, bias=config.bias
            )
            if actions
            else None
        )

    def layers(self) -> list[Cell]:
        """Return the cells, first to last."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def states(self) -> list[StateSpec]:
        """Return all state tensors: h1, c1, ... layer by layer, then Z and M; strides are in pixels of a frame."""
        first_stride = self.config.first_stride
        specs = [
            StateSpec(f"{spec.name}{layer + 1}", spec.channels, spec.stride * scale * first_stride)
            for layer, (cell, scale) in enumerate(zip(self.layers(), self.config.scales, strict=True))
            for spec in cell.states()
        ]
        if self.highway_unit is not None:
            specs.append(StateSpec("z", self.config.widths[0], self.config.scales[1] * first_stride))
        if self.layers()[0].has_memory_flow:
            specs.append(StateSpec("m", self.config.widths[-1], first_stride))
        return specs

    def initial_state(self, batch: int, height: int, width: int, like: Tensor) -> State:
        """Return zeros for frames of `height` x `width` pixels, in the dtype and on the device of `like`."""
        return tuple(
            like.new_zeros(batch, spec.channels, height // spec.stride, width // spec.stride) for spec in self.states()
        )

    def step(
        self, frame: Tensor, state: State, conditions: Tensor | None = None, action: Tensor | None = None
    ) -> StackOutput:
        """Run one time step: frame [b, in, y, x], conditions [b, n], conditioning fields [b, n, y, x]."""
        layers, scales = self.layers(), self.config.scales
        layer_states, z, m = self._split(state)
        x, skips = self.embedding.encode(frame, conditions)
        inputs = CellInput(
            x=x,
            m=m,  # from the last layer of the previous step: the turn of the zigzag
            highway=None if self.highway_start is None else self.highway_start(x),
            action=None if self.action is None or action is None else self.action(action),
        )
        new_state: list[Tensor] = []
        increments: list[tuple[Tensor, Tensor]] = []
        first_at_scale: dict[int, Tensor] = {}
        for layer, cell in enumerate(layers):
            if layer:
                inputs = inputs._replace(x_previous=layer_states[layer - 1][0])
                inputs = _rescale(inputs, scales[layer - 1], scales[layer], first_at_scale)
            if layer == 1 and self.highway_unit is not None and z is not None:
                z = self.highway_unit.step(inputs.x, z)
                inputs = inputs._replace(x=z)
            output, new = cell.step(inputs, layer_states[layer])
            new_state += new
            if output.increments is not None:
                increments.append(output.increments)
            first_at_scale.setdefault(scales[layer], output.h)
            inputs = CellInput(x=output.h, m=output.m, d=output.d, highway=output.highway, action=inputs.action)
        shared_state = [tensor for tensor in (z, inputs.m) if tensor is not None]
        frame, coarse = self.embedding.decode(inputs.x, skips)
        return StackOutput(frame, (*new_state, *shared_state), increments, coarse)

    def _split(self, state: State) -> tuple[list[State], Tensor | None, Tensor | None]:
        """Return the state of each layer, Z, and M."""
        if len(state) != len(self.states()):
            raise ValueError(f"a state of {len(state)} tensors, this stack has {len(self.states())}")
        tensors = list(state)
        m = tensors.pop() if self.layers()[0].has_memory_flow else None
        z = tensors.pop() if self.highway_unit is not None else None
        layer_states = []
        for cell in self.layers():
            count = len(cell.states())
            layer_states.append(tuple(tensors[:count]))
            tensors = tensors[count:]
        return layer_states, z, m

    def _of_layer(self, layer: int) -> CellConfig:
        """Return the configuration of a layer: that of the stack with the grid of the layer."""
        if self.config.grid is None:
            return self.config
        stride = self.config.first_stride * self.config.scales[layer]
        rows, columns = self.config.grid
        return replace(self.config, grid=(rows // stride, columns // stride))

    def _cell(self, layer: int, conditioned: bool) -> Cell:
        """Return the cell of a layer."""
        config, widths = self._of_layer(layer), self.config.widths
        in_channels = widths[layer - 1] if layer else self.embedding.features
        options = {"actions": widths[0] if conditioned else 0}
        name = self.config.cell
        if name == "mim" and layer == 0:
            name = "st-lstm"  # a frame has no previous H of a layer below, whose difference MIM-N reads
        elif name == "causal-lstm":
            options["memory_channels"] = widths[layer - 1]  # of the last layer for the first one: the zigzag
        cell = CELLS[name][config.implementation](in_channels, widths[layer], config, **options)
        if not self.config.motion:
            return cell
        return MOTION_CELLS[config.implementation](cell, config, last=layer == len(widths) - 1)


def _rescale(inputs: CellInput, scale_below: int, scale: int, first_at_scale: dict[int, Tensor]) -> CellInput:
    """Resample all that rises to the scale of the next layer; on the way up, add the skip connection to H."""
    if scale == scale_below:
        return inputs

    def resample(signal: Tensor) -> Tensor:
        if scale > scale_below:
            return functional.max_pool2d(signal, 2)
        return functional.interpolate(signal, scale_factor=2, mode="bilinear", align_corners=False)

    resampled = {name: resample(signal) for name, signal in inputs._asdict().items() if signal is not None}
    if scale < scale_below:
        resampled["x"] = resampled["x"] + first_at_scale[scale]
    return CellInput(**resampled)
