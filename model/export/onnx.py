"""A network as an ONNX graph, and proof that it answers like torch.

A recurrent network becomes one step with explicit states, so that any number of leads follows; a whole-sequence network
becomes one graph. The graph's metadata say which (`kind`), and what `model.runtime.onnx_predictor` must know to run it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.core.units import FloatArray
from model.export.lean import made_lean
from model.export.sizes import with_sizes
from model.nets.forecast_model import ForecastModel, FrameBatch, ModelConfig, RecurrentFreeModel, RecurrentModel
from model.nets.stack import StackConfig
from model.runtime.device import open_session
from model.runtime.graph_session import CONDITIONS, FIELDS, FRACTION, VALID, ForecastInput

OPSET = 18
"""16 is the first with GridSample, which flows need."""

ROUNDING_SHARE = 4.0
"""How much further from float64 than torch's a graph's rounding may lead: it adds up in another order."""

EXAMPLE_STRIDES = 2
"""Sides of the frames that the graph is traced with, in strides of the network."""


class _OneStep(nn.Module):
    """`RecurrentModel.step` as a function of what it reads and its states: the signature of the graph."""

    def __init__(self, net: RecurrentModel) -> None:
        super().__init__()
        self.net = net
        self.reads = reads(net.config)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        read = dict(zip(self.reads, given, strict=False))
        # Where the network does not read what is known, nothing but the shape of this argument would be used.
        known = read.get(VALID, read[FRACTION][:, :1])
        state = given[len(self.reads) :]
        answer, new_state, _ = self.net.step(read[FRACTION], known, read.get(CONDITIONS), read.get(FIELDS), state)
        return (answer, *new_state)


class _Whole(nn.Module):
    """`RecurrentFreeModel.next_frames` as a function of what it reads."""

    def __init__(self, net: RecurrentFreeModel) -> None:
        super().__init__()
        self.net = net
        self.reads = reads(net.config)

    def forward(self, *given: Tensor) -> Tensor:
        read = dict(zip(self.reads, given, strict=True))
        known = read.get(VALID, read[FRACTION][:, :, :1])
        return self.net.next_frames(read[FRACTION], known, read.get(CONDITIONS), read.get(FIELDS))


def reads(config: ModelConfig) -> list[str]:
    """The inputs of the graph, but its states: what the network reads."""
    wanted = {
        FRACTION: True,
        VALID: config.reads_known,
        CONDITIONS: config.reads_time,
        FIELDS: bool(config.fields),
    }
    return [name for name, read in wanted.items() if read]


def export_graph(net: RecurrentModel | RecurrentFreeModel, path: Path) -> None:
    """Write the graph of a network: what it reads and its states in; `next` and the new states (`new_*`) out.

    Of a recurrent network `fraction` is [b, c, y, x], `valid` [b, 1, y, x], `conditions` [b, 2], `fields` [b, n, y, x];
    of a whole-sequence network they have the frames after the batch, [b, t, ...], and so has `next`. Batch, height and
    width are free (height and width in multiples of the network's stride), but for a network that is bound to a grid.
    """
    config = net.config
    grid = config.net.grid if isinstance(config.net, StackConfig) else None
    height, width = grid or (EXAMPLE_STRIDES * config.net.stride,) * 2
    lead = (1,) if isinstance(config.net, StackConfig) else (1, config.net.frames)
    shapes = {
        FRACTION: (*lead, config.channels, height, width),
        VALID: (*lead, 1, height, width),
        CONDITIONS: (*lead, config.conditions),
        FIELDS: (*lead, config.fields, height, width),
    }
    inputs = {name: torch.zeros(shapes[name]) for name in reads(config)}
    strides = {name: 1 for name in inputs if name != CONDITIONS}
    states: dict[str, Tensor] = {}
    if isinstance(net, RecurrentModel):
        specs = net.states()
        initial = net.stack.initial_state(1, height, width, inputs[FRACTION])
        states = {spec.name: tensor for spec, tensor in zip(specs, initial, strict=True)}
        strides |= {spec.name: spec.stride for spec in specs}
        metadata = {"kind": "one-step", "state_strides": ",".join(str(spec.stride) for spec in specs)}
    else:
        metadata = {"kind": "whole", "frames": str(lead[-1]), "stride": str(config.net.stride)}
    metadata["bounded"] = "yes" if config.bounded else "no"
    outputs = ["next", *(f"new_{name}" for name in states)]
    axes = _free_axes(inputs | states, outputs, {} if grid else strides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on constant shapes; parity is checked by number
        torch.onnx.export(
            (_OneStep(net) if isinstance(net, RecurrentModel) else _Whole(net)).eval(),
            (*inputs.values(), *states.values()),
            path,
            input_names=[*inputs, *states],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    model = made_lean(onnx.load(path))
    if grid is None:
        model = with_sizes(model, strides, frames=lead[-1])
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _free_axes(
    inputs: Mapping[str, Tensor], outputs: list[str], strides: Mapping[str, int]
) -> dict[str, dict[int, str]]:
    """Names of the free axes of each input and output; images of one stride share theirs."""
    axes: dict[str, dict[int, str]] = {}
    for name, tensor in inputs.items():
        axes[name] = {0: "batch"}
        if name in strides:
            axes[name] |= {tensor.ndim - 2: f"height_{strides[name]}", tensor.ndim - 1: f"width_{strides[name]}"}
    return axes | {name: axes[name.removeprefix("new_") if name != "next" else FRACTION] for name in outputs}


class Parity(NamedTuple):
    """Largest absolute `difference` of any pixel between torch and a graph; whether it is no more than rounding.

    `rounding`: of torch in float32 from torch in float64; None where it was not asked for.
    """

    difference: float
    within: bool
    rounding: float | None = None


def parity(
    net: RecurrentModel | RecurrentFreeModel,
    path: Path,
    *,
    steps: int,
    shape: tuple[int, int],
    frames: int,
    limit: float,
) -> Parity:
    """Whether the graph answers like torch, over a whole forecast of random frames (see `largest_difference`).

    It does where no pixel differs by more than `limit`. Some networks amplify rounding from step to step (layer norms
    undo the scale of what they read; answers that nothing bounds grow): then torch in float32 is itself about as far
    from torch in float64, and the graph need not be nearer to one rounding of the truth than that is. There the graph
    is held against float64, lead by lead: up to each it may be off by `limit`, or by `ROUNDING_SHARE` times what
    float32 torch was off by so far. A graph that is wrong shows at its first leads, where rounding has not yet grown.
    """
    observed = _random_frames(net.config, steps=steps, shape=shape, frames=frames)
    with_onnx = _by_graph(net, path, observed, steps)
    in_float32 = _by_torch(net.eval(), observed, steps, torch.float32)
    difference = float(np.abs(in_float32 - with_onnx).max())
    if difference <= limit:
        return Parity(difference, within=True)
    exact = _by_torch(deepcopy(net).double(), observed, steps, torch.float64)
    of_torch, of_graph = (np.abs(answer - exact).max(axis=(1, 2, 3)) for answer in (in_float32, with_onnx))
    allowed = np.maximum(limit, ROUNDING_SHARE * np.maximum.accumulate(of_torch))
    rounding = float(of_torch.max())
    return Parity(difference, within=bool((of_graph <= allowed).all()), rounding=rounding)


def largest_difference(
    net: RecurrentModel | RecurrentFreeModel, path: Path, *, steps: int, shape: tuple[int, int], frames: int
) -> float:
    """Largest absolute difference of any pixel between torch and the graph, over a whole forecast of random frames.

    `frames` are observed, `steps` follow; whatever the network reads beside them is random too.
    """
    observed = _random_frames(net.config, steps=steps, shape=shape, frames=frames)
    with_torch = _by_torch(net.eval(), observed, steps, torch.float32)
    return float(np.abs(with_torch - _by_graph(net, path, observed, steps)).max())


def _random_frames(config: ModelConfig, *, steps: int, shape: tuple[int, int], frames: int) -> ForecastInput:
    rng = np.random.default_rng(0)
    known = (rng.random((frames, 1, *shape)) > 0.05).astype(np.float32)
    return ForecastInput(
        data=rng.random((frames, config.channels, *shape), dtype=np.float32) * known,
        known=known,
        step_minutes=5.0,
        fields=rng.normal(size=(frames + steps, config.fields, *shape)).astype(np.float32) if config.fields else None,
    )


@torch.no_grad()
def _by_torch(net: ForecastModel, observed: ForecastInput, steps: int, precision: torch.dtype) -> NDArray[np.floating]:
    """The forecast [t, c, y, x] of a network whose weights have this precision."""
    batch = FrameBatch(
        data=torch.from_numpy(observed.data)[None].to(precision),
        known=torch.from_numpy(observed.known)[None].to(precision),
        step_minutes=torch.tensor([observed.step_minutes], dtype=precision),
        fields=None if observed.fields is None else torch.from_numpy(observed.fields)[None].to(precision),
    )
    answer: NDArray[np.floating] = net(batch, steps)[0].numpy()
    return answer


def _by_graph(net: ForecastModel, path: Path, observed: ForecastInput, steps: int) -> FloatArray:
    """The forecast [t, c, y, x] of its graph."""
    ceiling = 1.0 if net.config.bounded else np.inf
    return np.stack(list(open_session(path).run(replace(observed, ceiling=ceiling), steps)))
