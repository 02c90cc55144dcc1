"""Keep channels last from one 8-bit convolution to the next, states included.

ONNX Runtime runs 8-bit convolutions with channels last (NHWC). It transposes before and after each of them, and its
optimizer removes only some of these transpositions. Here every operator between the convolutions that can run with
channels last does, and so do the states from step to step: 89 ms instead of 128 (docs/lab.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from model.export.passes import nodes

TO_LAST: Final = [0, 2, 3, 1]
TO_FIRST: Final = [0, 3, 1, 2]
POINTWISE: Final = frozenset(
    ("Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Neg", "Clip", "Min", "Max")
)
QUANTIZERS: Final = frozenset(("QuantizeLinear", "DequantizeLinear"))
ALONG_CHANNELS: Final = frozenset(("Split", "Concat"))
SIZED: Final = {"Resize": 2, "Pad": 1}
"""Operators with a constant input of one or two numbers for each axis, and the index of that input."""


class ChannelsLast(ir.passes.InPlacePass):
    """Transpose whatever lies between 8-bit convolutions, where it can run with channels last, and the states."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        layouts = _Layouts(model.graph)
        nodes = list(model.graph)
        convs = [node for node in nodes if node.op_type == "Conv"]
        read = {conv.inputs[0] for conv in convs}
        computed = {conv.outputs[0] for conv in convs}
        for node in nodes:
            # ONNX Runtime fuses a convolution with the DequantizeLinear before and the QuantizeLinear after it: these
            # keep the layout of the convolution.
            feeds = node.op_type == "DequantizeLinear" and node.outputs[0] in read
            is_last = node.op_type == "Pad" or any(value in layouts.last for value in node.inputs)
            if is_last and _halves_float32(node):
                layouts.halve(node)
            elif is_last and not feeds and _can_run_last(node):
                layouts.transpose(node)
            else:
                layouts.keep(node)
            if node.op_type == "QuantizeLinear" and node.inputs[0] in computed:
                layouts.channels_last(node.outputs[0])
        layouts.finish()
        return ir.passes.PassResult(model, modified=True)


class _Layouts:
    """Both layouts of each tensor [b, c, y, x], as far as they are computed, and the new order of nodes.

    Nodes of the graph keep reading the tensors of the original graph until they are visited, in order: these tensors
    are the keys here. The inputs and outputs `NAME` and `new_NAME` of the graph, its states, become channels last.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.nodes: list[ir.Node] = []
        outputs = {value.name: value for value in graph.outputs}
        self.states = {value: outputs[f"new_{value.name}"] for value in graph.inputs if f"new_{value.name}" in outputs}
        for value in self.states:
            _permute(value)
        self.last: dict[ir.Value, ir.Value] = {value: value for value in self.states}
        real = [value for value in (*graph.inputs, *graph.initializers.values()) if value not in self.states]
        self.first: dict[ir.Value, ir.Value] = {value: value for value in real}

    def channels_last(self, value: ir.Value) -> ir.Value:
        """Return a tensor with channels last; other than four-dimensional tensors have one layout."""
        if value.shape is None or len(value.shape) != 4:
            return value
        if value not in self.last:
            constant = nodes.constant_array(value)
            if constant is not None:
                self.last[value] = nodes.add_constant(self.graph, np.transpose(constant, TO_LAST), f"{value.name}_last")
            elif value.shape[1] == 1:
                # Not a Transpose: the optimizer would push it through the Concat with many channels that follows.
                flat = self._add("Squeeze", [value, self._constant([1])])
                self.last[value] = self._add("Unsqueeze", [flat, self._constant([3])])
            else:
                self.last[value] = self._add("Transpose", [value], perm=TO_LAST)
        return self.last[value]

    def channels_first(self, value: ir.Value) -> ir.Value:
        """Return a tensor with the channels where ONNX has them."""
        if value not in self.first:
            self.first[value] = self._add("Transpose", [self.last[value]], perm=TO_FIRST)
        return self.first[value]

    def keep(self, node: ir.Node) -> None:
        """Add a node as it is."""
        for index, value in enumerate(node.inputs):
            if value is not None:
                node.replace_input_with(index, self.channels_first(value))
        self.nodes.append(node)
        self.first |= {value: value for value in node.outputs}

    def transpose(self, node: ir.Node) -> None:
        """Add a node that does the same with channels last."""
        inputs = [None if value is None else self.channels_last(value) for value in node.inputs]
        if node.op_type in SIZED:
            index = SIZED[node.op_type]
            sizes = nodes.known_array(node.inputs[index]).reshape(-1, 4)[:, TO_LAST]
            inputs[index] = nodes.add_constant(self.graph, sizes.ravel(), f"{node.outputs[0].name}_sizes")
        transposed = ir.Node("", node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs))
        if node.op_type in ALONG_CHANNELS:
            transposed.attributes["axis"] = ir.AttrInt64("axis", 3)
        self.nodes.append(transposed)
        self.last |= dict(zip(node.outputs, transposed.outputs, strict=True))

    def halve(self, node: ir.Node) -> None:
        """Add the maximum over each 2 x 2 pixels: ONNX Runtime's float32 MaxPool knows no channels last."""
        image = self.channels_last(nodes.inputs_of(node)[0])
        axes, steps, ends = (self._constant(numbers) for numbers in ([1, 2], [2, 2], [2**62] * 2))
        corners = [
            self._add("Slice", [image, self._constant([y, x]), ends, axes, steps]) for y in (0, 1) for x in (0, 1)
        ]
        self.last[node.outputs[0]] = self._add("Max", corners)

    def finish(self) -> None:
        """Give the graph the new nodes and outputs."""
        states = set(self.states.values())
        outputs = [
            self.channels_last(value) if value in states else self.channels_first(value) for value in self.graph.outputs
        ]
        dropped = [node for node in self.graph if node not in set(self.nodes)]
        self.graph.remove(list(self.graph))
        for node in dropped:
            node.resize_inputs(0)
        self.graph.extend(self.nodes)
        for index, (old, new) in enumerate(zip(list(self.graph.outputs), outputs, strict=True)):
            if old is not new:
                name, new.type, new.shape = old.name, old.type, old.shape
                old.name, new.name = f"{name}_first", name
                self.graph.outputs[index] = new
            if old in states:
                _permute(new)

    def _add(self, op_type: str, inputs: Sequence[ir.Value], **attributes: list[int]) -> ir.Value:
        self.nodes.append(ir.node(op_type, inputs, attributes))
        return self.nodes[-1].outputs[0]

    def _constant(self, numbers: Sequence[int]) -> ir.Value:
        return nodes.add_constant(self.graph, np.array(numbers), "indices")


def _permute(value: ir.Value) -> None:
    """Declare a state as channels last."""
    if value.shape is not None:
        value.shape = ir.Shape([value.shape[axis] for axis in TO_LAST])


def _halves_float32(node: ir.Node) -> bool:
    """Return whether a node takes the maximum of each 2 x 2 float32 pixels; the 8-bit MaxPool knows channels last."""
    return (
        node.op_type == "MaxPool"
        and all(list(node.attributes.get_ints(name, [])) == [2, 2] for name in ("kernel_shape", "strides"))
        and not any(node.attributes.get_ints("pads", []))
        and any(reader.op_type != "QuantizeLinear" for reader in node.outputs[0].consumers())
    )


def _can_run_last(node: ir.Node) -> bool:
    """Return whether a node can do the same with channels last."""
    inputs = nodes.inputs_of(node)
    variables = [value for value in inputs if nodes.constant_array(value) is None]
    if any(value.shape is not None and len(value.shape) != 4 for value in variables):
        return False
    if node.op_type in ALONG_CHANNELS:
        return node.attributes.get_int("axis", 0) == 1
    if node.op_type in SIZED:
        usual = node.attributes.get_string("mode", "constant") in ("constant", "linear")
        return usual and len(node.inputs) == 3 and nodes.constant_array(node.inputs[SIZED[node.op_type]]) is not None
    constants = [array for value in inputs if (array := nodes.constant_array(value)) is not None]
    return node.op_type in POINTWISE | QUANTIZERS and all(array.ndim == 4 or array.size == 1 for array in constants)
