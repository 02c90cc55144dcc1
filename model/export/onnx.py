"""A network as an ONNX graph, and proof that it answers like torch.

A recurrent network becomes one step with explicit states, so that any number of leads follows; a whole-sequence network
becomes one graph. The graph's metadata say which (`kind`), and what `model.runtime.onnx` must know to run it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from model.nets.forecaster import ForecasterConfig, Frames, RecurrentForecaster, WholeForecaster
from model.nets.stack import StackConfig
from model.runtime.onnx import CONDITIONS, FIELDS, FRACTION, VALID, Observed, open_session

OPSET = 18
"""16 is the first with GridSample, which flows need."""

EXAMPLE_STRIDES = 2
"""Sides of the frames that the graph is traced with, in strides of the network."""


class _OneStep(nn.Module):
    """`RecurrentForecaster.step` as a function of what it reads and its states: the signature of the graph."""

    def __init__(self, net: RecurrentForecaster) -> None:
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
    """`WholeForecaster.whole` as a function of what it reads."""

    def __init__(self, net: WholeForecaster) -> None:
        super().__init__()
        self.net = net
        self.reads = reads(net.config)

    def forward(self, *given: Tensor) -> Tensor:
        read = dict(zip(self.reads, given, strict=True))
        return self.net.whole(read[FRACTION], read.get(VALID, read[FRACTION][:, :, :1]), read.get(FIELDS))


def reads(config: ForecasterConfig) -> list[str]:
    """The inputs of the graph, but its states: what the network reads."""
    wanted = {
        FRACTION: True,
        VALID: config.reads_known,
        CONDITIONS: config.reads_time,
        FIELDS: bool(config.fields),
    }
    return [name for name, read in wanted.items() if read]


def export_graph(net: RecurrentForecaster | WholeForecaster, path: Path) -> None:
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
        CONDITIONS: (1, config.conditions),
        FIELDS: (*lead, config.fields, height, width),
    }
    inputs = {name: torch.zeros(shapes[name]) for name in reads(config)}
    states: dict[str, Tensor] = {}
    if isinstance(net, RecurrentForecaster):
        specs = net.states()
        initial = net.stack.initial_state(1, height, width, inputs[FRACTION])
        states = {spec.name: tensor for spec, tensor in zip(specs, initial, strict=True)}
        metadata = {"kind": "one-step", "state_strides": ",".join(str(spec.stride) for spec in specs)}
    else:
        metadata = {"kind": "whole", "frames": str(lead[-1]), "stride": str(config.net.stride)}
    outputs = ["next", *(f"new_{name}" for name in states)]
    axes = _free_axes(inputs | states, outputs, free_grid=grid is None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on constant shapes; parity is checked by number
        torch.onnx.export(
            (_OneStep(net) if isinstance(net, RecurrentForecaster) else _Whole(net)).eval(),
            (*inputs.values(), *states.values()),
            path,
            input_names=[*inputs, *states],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _free_axes(inputs: Mapping[str, Tensor], outputs: list[str], *, free_grid: bool) -> dict[str, dict[int, str]]:
    """Names of the free axes of each input and output; those of one stride share theirs."""
    axes: dict[str, dict[int, str]] = {}
    for name, tensor in inputs.items():
        axes[name] = {0: "batch"}
        if free_grid and tensor.ndim > 2:
            size = "" if name in (FRACTION, VALID, FIELDS) else f"_{name}"
            axes[name] |= {tensor.ndim - 2: f"height{size}", tensor.ndim - 1: f"width{size}"}
    return axes | {name: axes[name.removeprefix("new_") if name != "next" else FRACTION] for name in outputs}


@torch.no_grad()
def largest_difference(
    net: RecurrentForecaster | WholeForecaster, path: Path, *, steps: int, shape: tuple[int, int], frames: int
) -> float:
    """Largest absolute difference of any pixel between torch and the graph, over a whole forecast of random frames.

    `frames` are observed, `steps` follow; whatever the network reads beside them is random too.
    """
    rng = np.random.default_rng(0)
    config = net.config
    known = (rng.random((frames, 1, *shape)) > 0.05).astype(np.float32)
    observed = Observed(
        data=rng.random((frames, config.channels, *shape), dtype=np.float32) * known,
        known=known,
        step_minutes=5.0,
        fields=rng.normal(size=(frames + steps, config.fields, *shape)).astype(np.float32) if config.fields else None,
    )
    net.eval()
    with_torch = net(
        Frames(
            data=torch.from_numpy(observed.data)[None],
            known=torch.from_numpy(known)[None],
            step_minutes=torch.tensor([observed.step_minutes]),
            fields=None if observed.fields is None else torch.from_numpy(observed.fields)[None],
        ),
        steps,
    )
    ceiling = 1.0 if config.bounded else np.inf
    with_onnx = np.stack(list(open_session(path).run(observed, steps, ceiling=ceiling)))
    return float(np.abs(with_torch[0].numpy() - with_onnx).max())
