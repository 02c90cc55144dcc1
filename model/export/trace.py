"""Trace a network: the graph that PyTorch's exporter writes, before any pass.

A recurrent network becomes one step with explicit states, for any number of leads; a recurrent-free network becomes
one graph over all frames. The metadata of the graph name which (`kind`), and what `model.runtime` needs to run it.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from model.nets.forecast_model import ModelConfig, RecurrentFreeModel, RecurrentModel
from model.nets.stack import StackConfig
from model.runtime.graph_session import CONDITIONS, EXCEEDANCE, FIELDS, FRACTION, NEXT, VALID

OPSET: Final = 18
"""GridSample, which warps need, came with 16."""

EXAMPLE_STRIDES: Final = 2
"""Sides of the traced frames, in strides of the network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TracedNetwork:
    """The graph of a network, and the strides of its images, which the tracer loses.

    `strides`: pixels of a frame per pixel, of each input that is an image; empty for a network bound to one grid.
    `frames`: number of frames that a recurrent-free network reads and forecasts at once; else 1.
    """

    model: ir.Model
    strides: Mapping[str, int]
    frames: int


class _OneStep(nn.Module):
    """`RecurrentModel.step` with the inputs and outputs of the graph."""

    def __init__(self, net: RecurrentModel) -> None:
        super().__init__()
        self.net = net
        self.inputs = network_inputs(net.config)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the next frame, its exceedance probabilities if the network predicts them, and the new states."""
        inputs = dict(zip(self.inputs, tensors, strict=False))
        # A network that does not read the mask uses the shape of this argument only.
        known = inputs.get(VALID, inputs[FRACTION][:, :1])
        state = tensors[len(self.inputs) :]
        output = self.net.step(inputs[FRACTION], known, inputs.get(CONDITIONS), inputs.get(FIELDS), state)
        probability = () if output.exceedance is None else (torch.sigmoid(output.exceedance),)
        return (output.frame, *probability, *output.state)


class _AllFrames(nn.Module):
    """`RecurrentFreeModel.next_frames` with the inputs of the graph."""

    def __init__(self, net: RecurrentFreeModel) -> None:
        super().__init__()
        self.net = net
        self.inputs = network_inputs(net.config)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the next frames, and the exceedance probabilities if the network predicts them."""
        inputs = dict(zip(self.inputs, tensors, strict=True))
        known = inputs.get(VALID, inputs[FRACTION][:, :, :1])
        frames, logits = self.net.next_frames(inputs[FRACTION], known, inputs.get(CONDITIONS), inputs.get(FIELDS))
        return (frames,) if logits is None else (frames, torch.sigmoid(logits))


def network_inputs(config: ModelConfig) -> list[str]:
    """Return the names of the graph's inputs, without states."""
    used = {FRACTION: True, VALID: config.reads_known, CONDITIONS: config.reads_time, FIELDS: bool(config.fields)}
    return [name for name, is_used in used.items() if is_used]


def trace(net: RecurrentModel | RecurrentFreeModel) -> TracedNetwork:
    """Trace a network.

    Parameters
    ----------
    net
        A recurrent network, with inputs `fraction` [b, c, y, x], `valid` [b, 1, y, x], `conditions` [b, 2], `fields`
        [b, n, y, x] as far as it reads them, and its states; or a recurrent-free network, whose inputs have the frames
        after the batch, [b, t, ...].

    Returns
    -------
    TracedNetwork
        A graph with these inputs and the outputs `next`, `exceedance` [b, threshold, y, x] of networks that predict
        probabilities, and `new_STATE`. Batch, height and width are free (height and width in multiples of the stride),
        except those of a network that is bound to one grid.
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
    inputs = {name: torch.zeros(shapes[name]) for name in network_inputs(config)}
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
    if config.thresholds_mm_h:
        metadata["thresholds"] = str(len(config.thresholds_mm_h))
    if grid:
        strides = {}
    exceedance = [EXCEEDANCE] if net.head is not None else []
    outputs = [NEXT, *exceedance, *(f"new_{name}" for name in states)]
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        # The tracer warns of shapes that it takes for constants; `model.export.parity` checks the numbers.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            (_OneStep(net) if isinstance(net, RecurrentModel) else _AllFrames(net)).eval(),
            (*inputs.values(), *states.values()),
            path,
            input_names=[*inputs, *states],
            output_names=outputs,
            dynamic_axes=_free_axes(inputs | states, outputs, strides),
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
        model = ir.from_proto(onnx.load(path))
    model.metadata_props.update(metadata)
    return TracedNetwork(model=model, strides=strides, frames=lead[-1])


def _free_axes(
    inputs: Mapping[str, Tensor], outputs: Sequence[str], strides: Mapping[str, int]
) -> dict[str, dict[int, str]]:
    """Return the names of the free axes of each input and output; images of one stride share names."""
    axes: dict[str, dict[int, str]] = {}
    for name, tensor in inputs.items():
        axes[name] = {0: "batch"}
        if name in strides:
            axes[name] |= {tensor.ndim - 2: f"height_{strides[name]}", tensor.ndim - 1: f"width_{strides[name]}"}
    of_frames = (NEXT, EXCEEDANCE)
    return axes | {name: axes[FRACTION if name in of_frames else name.removeprefix("new_")] for name in outputs}
