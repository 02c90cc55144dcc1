"""Quantize convolutions to 8 bits (static QDQ, per channel); everything between them stays float32.

Weights are int8 with a scale for each output channel. Activations are uint8 with zero point 128, so that zero is exact,
and one scale for each tensor. Tensors that are concatenated for a convolution keep their own scales, and so do the
gates that one convolution computes: the weights of the channels make up for the difference, because the convolution
itself has one scale for its input and one for its output.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.export.calibrate import LARGEST, Magnitudes
from model.export.passes import nodes
from model.export.passes.merge_convolutions import concatenated

ZERO_POINT: Final = 128
SATURATION: Final[Mapping[str, float]] = {"Sigmoid": 8.0, "Tanh": 4.0}
"""Inputs beyond which the output of a gate is constant to within 8 bits: larger numbers need no range."""

CHANNELS_AT_ONCE: Final = 4
"""ONNX Runtime's 8-bit kernels avoid a copy of the image per kernel pixel (im2col) for multiples of 4 channels."""
FEWEST_CHANNELS: Final = 8
"""A convolution from or to fewer channels is not faster in 8 bits."""


def quantizable(graph: ir.Graph) -> list[ir.Node]:
    """Return the convolutions with constant weights and enough channels to gain from 8 bits."""
    return [
        node
        for node in graph
        if node.op_type == "Conv"
        and all(nodes.constant_array(value) is not None for value in node.inputs[1:])
        and min(nodes.known_array(node.inputs[1]).shape[:2]) >= FEWEST_CHANNELS
        and not node.outputs[0].is_graph_output()
    ]


def layer_name(conv: ir.Node) -> str:
    """Return the name of a convolution in reports: the tensor that it computes, or the first gate."""
    return gates_of(conv)[0].name or ""


def sources_of(conv: ir.Node) -> list[ir.Value]:
    """Return the tensors that a convolution reads, each with its own scale.

    The input of a grouped convolution has one scale: the channels of its weights are not those of its input.
    """
    image = nodes.inputs_of(conv)[0]
    return concatenated(image) if conv.attributes.get_int("group", 1) == 1 else [image]


def gates_of(conv: ir.Node) -> list[ir.Value]:
    """Return the tensors that a convolution computes, after the split where there is one."""
    split = _split_of(conv)
    return list(split.outputs) if split else [conv.outputs[0]]


def _split_of(conv: ir.Node) -> ir.Node | None:
    """Return the node that splits the output of a convolution, where nothing else reads it."""
    readers = conv.outputs[0].consumers()
    return readers[0] if len(readers) == 1 and nodes.splits_channels(readers[0]) else None


class QuantizeConvolutions(ir.passes.InPlacePass):
    """Replace convolutions by 8-bit ones between QuantizeLinear and DequantizeLinear.

    Parameters
    ----------
    ranges
        Magnitudes of every source and gate of `layers`, by name.
    layers
        Names of the convolutions (see `layer_name`).
    """

    def __init__(self, ranges: Mapping[str, Magnitudes], layers: Collection[str]) -> None:
        super().__init__()
        self.ranges, self.layers = ranges, layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        chosen = [conv for conv in quantizable(model.graph) if layer_name(conv) in self.layers]
        writer = _QdqWriter(model.graph, self.ranges)
        for conv in chosen:
            writer.quantize(conv)
        return ir.passes.PassResult(model, bool(chosen))


class _QdqWriter:
    """Writes quantized convolutions into a graph; shares the quantized inputs between them."""

    def __init__(self, graph: ir.Graph, ranges: Mapping[str, Magnitudes]) -> None:
        self.graph, self.ranges = graph, ranges
        self.zero_point = nodes.add_constant(graph, np.array(ZERO_POINT, np.uint8), "zero_point")
        self.quantized: dict[tuple[tuple[str, ...], int], ir.Value] = {}
        """Inputs of convolutions in 8 bits, by the names of their sources and the number of padding channels."""

    def quantize(self, conv: ir.Node) -> None:
        """Replace one convolution; its sources and its gates stay float32."""
        sources, gates, split = sources_of(conv), gates_of(conv), _split_of(conv)
        weights, bias = (np.asarray(each, np.float32) for each in nodes.weights_of(conv))
        sizes = [part.stop - part.start for part in nodes.channel_slices(split)] if split else [len(weights)]

        # The 8-bit convolution has one scale for its input and one for its output: the coarsest of the sources and of
        # the gates. The weights make up for the finer ones.
        scales = [self._range(source).limit() / LARGEST for source in sources]
        if len(sources) > 1:
            relative = np.repeat([scale / max(scales) for scale in scales], [self._channels(each) for each in sources])
            weights = weights * relative[None, :, None, None]
        narrowest, missing = self._padding(conv, sources)
        end = sum(self._channels(source) for source in sources[: narrowest + 1])
        weights = np.insert(weights, [end] * missing, 0, axis=1)
        outputs = [self._range(gate).limit(_saturation(gate)) / LARGEST for gate in gates]
        finer = np.repeat([scale / max(outputs) for scale in outputs], sizes)
        weights, bias = weights / finer[:, None, None, None], bias / finer

        integers = self._quantized_input(conv, sources, scales)
        inputs = [nodes.insert_before(conv, "DequantizeLinear", [integers, self._scale(max(scales)), self.zero_point])]
        for constant, scale in _quantized_weights(weights, bias, max(scales)):
            inputs.append(self._dequantized(conv, constant, scale))
        output = nodes.insert_before(conv, "Conv", inputs, list(conv.attributes.values()))
        output = nodes.insert_before(conv, "QuantizeLinear", [output, self._scale(max(outputs)), self.zero_point])
        parts = [output]
        if split:
            parts = list(nodes.insert_split(conv, output, nodes.inputs_of(split)[1], len(gates)))
        floats = [
            nodes.insert_before(conv, "DequantizeLinear", [part, self._scale(scale), self.zero_point])
            for part, scale in zip(parts, outputs, strict=True)
        ]
        nodes.replace_node(split or conv, floats)
        if split:
            self.graph.remove(conv, safe=True)

    def _range(self, value: ir.Value) -> Magnitudes:
        return self.ranges[value.name or ""]

    def _channels(self, value: ir.Value) -> int:
        return self._range(value).channels

    def _quantized_input(self, conv: ir.Node, sources: Sequence[ir.Value], scales: Sequence[float]) -> ir.Value:
        """Return the 8-bit input of a convolution, inserted before it unless another convolution has the same."""
        names = [source.name or "" for source in sources]
        for source, name, scale in zip(sources, names, scales, strict=True):
            if ((name,), 0) not in self.quantized:
                inputs = [source, self._scale(scale), self.zero_point]
                self.quantized[(name,), 0] = nodes.insert_before(conv, "QuantizeLinear", inputs)
        narrowest, missing = self._padding(conv, sources)
        key = (tuple(names), missing)
        if key not in self.quantized:
            parts = [self.quantized[(name,), 0] for name in names]
            if missing:
                pads = nodes.add_constant(self.graph, np.array([0, 0, 0, 0, 0, missing, 0, 0]), "pads")
                parts[narrowest] = nodes.insert_before(conv, "Pad", [parts[narrowest], pads, self.zero_point])
            self.quantized[key] = nodes.insert_before(conv, "Concat", parts, axis=1) if len(parts) > 1 else parts[0]
        return self.quantized[key]

    def _padding(self, conv: ir.Node, sources: Sequence[ir.Value]) -> tuple[int, int]:
        """Return which source is padded with zero channels (the narrowest), and with how many."""
        widths = [self._channels(source) for source in sources]
        dense = conv.attributes.get_int("group", 1) == 1
        return widths.index(min(widths)), -sum(widths) % CHANNELS_AT_ONCE if dense else 0

    def _dequantized(self, conv: ir.Node, integers: NDArray[Any], scales: FloatArray) -> ir.Value:
        zeros = np.zeros(len(scales), integers.dtype)
        inputs = [
            nodes.add_constant(self.graph, each, f"{layer_name(conv)}_int8") for each in (integers, scales, zeros)
        ]
        return nodes.insert_before(conv, "DequantizeLinear", inputs, axis=0)

    def _scale(self, value: float) -> ir.Value:
        return nodes.add_constant(self.graph, np.array(value, np.float32), "scale")


def _quantized_weights(
    weights: FloatArray, bias: FloatArray, input_scale: float
) -> list[tuple[NDArray[Any], FloatArray]]:
    """Return weights and bias as integers, each with its scale for each output channel."""
    scales = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / LARGEST, 1e-12).astype(np.float32)
    rounded = np.round(weights / scales[:, None, None, None]).clip(-LARGEST, LARGEST).astype(np.int8)
    bias_scales = scales * np.float32(input_scale)
    largest = np.iinfo(np.int32).max
    return [(rounded, scales), (np.round(bias / bias_scales).clip(-largest, largest).astype(np.int32), bias_scales)]


def _saturation(gate: ir.Value) -> float:
    """Return the magnitude beyond which the readers of a gate no longer distinguish numbers."""
    return max((SATURATION.get(reader.op_type, np.inf) for reader in gate.consumers()), default=np.inf)
