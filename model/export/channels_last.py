"""A graph whose 8-bit convolutions meet no change of layout: ONNX Runtime runs them with channels last.

It puts a transposition before and after each, and moves these only so far. Here all between the convolutions that can
run with channels last does so, states are kept that way from step to step, and the transpositions cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, helper

from model.export.lean import Graph, attribute

TO_LAST: Final = [0, 2, 3, 1]
TO_FIRST: Final = [0, 3, 1, 2]
POINTWISE: Final = frozenset(
    ("Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Neg", "Clip", "Min", "Max")
)
ROUNDING: Final = frozenset(("QuantizeLinear", "DequantizeLinear"))
ALONG_CHANNELS: Final = frozenset(("Split", "Concat"))
SIZED: Final = {"Resize": 2, "Pad": 1}
"""Which input of these is a constant, with one or two numbers for each axis."""


class _Layouts:
    """Where each tensor [b, c, y, x] is also to be had with channels last, and the nodes written so far.

    `shapes`: of tensors, 0 for a free size. `states`: what the graph reads and answers with channels last.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, Sequence[int]], states: Mapping[str, str]) -> None:
        self.graph, self.shapes, self.states = graph, shapes, states
        self.nodes: list[NodeProto] = []
        read = {item.name for item in graph.model.graph.input}
        self.last: dict[str, str] = {first: last for first, last in states.items() if last in read}
        self.first: set[str] = read | set(graph.constants)

    def named(self, name: str) -> str:
        """What a tensor is called with channels last."""
        return self.states.get(name, f"{name}_last")

    def channels_last(self, name: str) -> str:
        """The name of a tensor with channels last."""
        constant = self.graph.constants.get(name)
        shape = self.shapes.get(name, ()) if constant is None else constant.shape
        if len(shape) != 4:
            return name
        if name not in self.last:
            made, number = self.named(name), self.graph.constant
            if constant is not None:
                self.graph.constants[made] = np.transpose(constant, TO_LAST)
            elif shape[1] == 1:
                # ONNX Runtime would move a transposition beyond the concatenation with many channels.
                self.nodes.append(helper.make_node("Squeeze", [name, number(np.array([1]))], [f"{name}_flat"]))
                self.nodes.append(helper.make_node("Unsqueeze", [f"{name}_flat", number(np.array([3]))], [made]))
            else:
                self.nodes.append(helper.make_node("Transpose", [name], [made], perm=TO_LAST))
            self.last[name] = made
        return self.last[name]

    def channels_first(self, name: str) -> str:
        """The name of a tensor with channels where ONNX has them."""
        if name and name not in self.first:
            self.nodes.append(helper.make_node("Transpose", [self.last[name]], [name], perm=TO_FIRST))
            self.first.add(name)
        return name

    def keep(self, node: NodeProto) -> None:
        """A node as it is."""
        for name in node.input:
            self.channels_first(name)
        self.nodes.append(node)
        self.first.update(node.output)

    def turn(self, node: NodeProto) -> None:
        """A node with channels last."""
        turned = NodeProto()
        turned.CopyFrom(node)
        del turned.input[:], turned.output[:]
        turned.input.extend(self.channels_last(name) for name in node.input)
        self.last |= {name: self.named(name) for name in node.output}
        turned.output.extend(self.last[name] for name in node.output)
        if node.op_type in ALONG_CHANNELS:
            (axis,) = (item for item in turned.attribute if item.name == "axis")
            axis.i = 3
        if node.op_type in SIZED:
            at = SIZED[node.op_type]
            sizes = self.graph.constants[node.input[at]].reshape(-1, 4)[:, TO_LAST]
            turned.input[at] = self.graph.constant(sizes.ravel())
        self.nodes.append(turned)

    def halve(self, node: NodeProto) -> None:
        """The largest of each 2 x 2 pixels, which MaxPool does not find with channels last."""
        image, made = self.channels_last(node.input[0]), self.named(node.output[0])
        axes, steps, ends = (self.graph.constant(np.array(each)) for each in ([1, 2], [2, 2], [2**62] * 2))
        corners = {f"{made}_{y}{x}": self.graph.constant(np.array([y, x])) for y in (0, 1) for x in (0, 1)}
        for name, corner in corners.items():
            self.nodes.append(helper.make_node("Slice", [image, corner, ends, axes, steps], [name]))
        self.nodes.append(helper.make_node("Max", list(corners), [made]))
        self.last[node.output[0]] = made


def channels_last(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> None:
    """Let what lies between 8-bit convolutions run with channels last where it can, and states have them last.

    `shapes`: of tensors, 0 for a free size.
    """
    states = _states_last(graph)
    shapes = {**shapes, **{first: shapes[last] for first, last in states.items()}}
    layouts = _Layouts(graph, shapes, states)
    convs = [node for node in graph.nodes if node.op_type == "Conv"]
    read, made = {conv.input[0] for conv in convs}, {conv.output[0] for conv in convs}
    for node in graph.nodes:
        # What hands 8-bit numbers to a convolution, or rounds what it makes, becomes one with it.
        feeds = node.op_type == "DequantizeLinear" and node.output[0] in read
        is_last = node.op_type == "Pad" or any(name in layouts.last for name in node.input)
        if is_last and _halves(graph, node):
            layouts.halve(node)
        elif is_last and not feeds and _can_be_last(graph, node, shapes):
            layouts.turn(node)
        else:
            layouts.keep(node)
        if node.op_type == "QuantizeLinear" and node.input[0] in made:
            layouts.channels_last(node.output[0])
    for item in graph.model.graph.output:
        if item.name not in states.values():
            layouts.channels_first(item.name)
    for first in states:
        layouts.channels_last(first)
    graph.nodes = layouts.nodes


def _states_last(graph: Graph) -> dict[str, str]:
    """Declare states with channels last: their names, by those that they now have inside with channels first."""
    whole = graph.model.graph
    answers = {item.name: item for item in whole.output}
    pairs = [(item, answers[f"new_{item.name}"]) for item in whole.input if f"new_{item.name}" in answers]
    inside = {}
    for state in (item for pair in pairs for item in pair):
        shape = state.type.tensor_type.shape
        shape.CopyFrom(onnx.TensorShapeProto(dim=[shape.dim[axis] for axis in TO_LAST]))
        inside[state.name] = f"{state.name}_first"
    for node in graph.nodes:
        for names in (node.input, node.output):
            names[:] = [inside.get(name, name) for name in names]
    return {first: last for last, first in inside.items()}


def _halves(graph: Graph, node: NodeProto) -> bool:
    """Whether it is the largest of each 2 x 2 pixels, and float32: in 8 bits ONNX Runtime has it with channels last."""
    return (
        node.op_type == "MaxPool"
        and all(attribute(node, name) == [2, 2] for name in ("kernel_shape", "strides"))
        and attribute(node, "pads", [0] * 4) == [0] * 4
        and any(reader.op_type != "QuantizeLinear" for reader in graph.readers(node.output[0]))
    )


def _can_be_last(graph: Graph, node: NodeProto, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether a node does the same with channels last."""
    if any(len(shapes.get(name, range(4))) != 4 for name in node.input if name not in graph.constants):
        return False
    if node.op_type in ALONG_CHANNELS:
        return attribute(node, "axis", 0) == 1
    if node.op_type in SIZED:
        usual = attribute(node, "mode", b"constant") in (b"constant", b"linear")
        return usual and len(node.input) == 3 and node.input[SIZED[node.op_type]] in graph.constants
    return node.op_type in POINTWISE | ROUNDING and all(
        graph.constants[name].ndim == 4 or graph.constants[name].size == 1
        for name in node.input
        if name in graph.constants
    )
