"""A graph whose 8-bit convolutions meet no change of layout: ONNX Runtime runs them with channels last.

It puts a transposition before and after each, and moves these only so far. Here all between the convolutions that can
run with channels last does so, and the transpositions cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from onnx import NodeProto, helper

from model.export.lean import Graph, attribute

TO_LAST: Final = [0, 2, 3, 1]
TO_FIRST: Final = [0, 3, 1, 2]
POINTWISE: Final = frozenset(
    ("Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Neg", "Clip", "Min", "Max")
)
ROUNDING: Final = frozenset(("QuantizeLinear", "DequantizeLinear"))
ALONG_CHANNELS: Final = frozenset(("Split", "Concat"))


class _Layouts:
    """Where each tensor [b, c, y, x] is also to be had with channels last, and the nodes written so far."""

    def __init__(self, graph: Graph, ranks: Mapping[str, int]) -> None:
        self.graph, self.ranks = graph, ranks
        self.nodes: list[NodeProto] = []
        self.last: dict[str, str] = {}
        self.first: set[str] = {item.name for item in graph.model.graph.input} | set(graph.constants)

    def channels_last(self, name: str) -> str:
        """The name of a tensor with channels last."""
        constant = self.graph.constants.get(name)
        if (self.ranks.get(name, 0) if constant is None else constant.ndim) != 4:
            return name
        if name not in self.last:
            made = f"{name}_last"
            if constant is not None:
                self.graph.constants[made] = np.transpose(constant, TO_LAST)
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
        self.last |= {name: f"{name}_last" for name in node.output}
        turned.output.extend(self.last[name] for name in node.output)
        if node.op_type in ALONG_CHANNELS:
            (axis,) = (item for item in turned.attribute if item.name == "axis")
            axis.i = 3
        self.nodes.append(turned)


def channels_last(graph: Graph, ranks: Mapping[str, int]) -> None:
    """Let what lies between 8-bit convolutions run with channels last where it can. `ranks`: of tensors."""
    layouts = _Layouts(graph, ranks)
    convs = [node for node in graph.nodes if node.op_type == "Conv"]
    read, made = {conv.input[0] for conv in convs}, {conv.output[0] for conv in convs}
    for node in graph.nodes:
        # What hands 8-bit numbers to a convolution, or rounds what it makes, becomes one with it.
        feeds = node.op_type == "DequantizeLinear" and node.output[0] in read
        turns = _can_be_last(graph, node, ranks) and any(name in layouts.last for name in node.input)
        if turns and not feeds:
            layouts.turn(node)
        else:
            layouts.keep(node)
        if node.op_type == "QuantizeLinear" and node.input[0] in made:
            layouts.channels_last(node.output[0])
    for item in graph.model.graph.output:
        layouts.channels_first(item.name)
    graph.nodes = layouts.nodes


def _can_be_last(graph: Graph, node: NodeProto, ranks: Mapping[str, int]) -> bool:
    """Whether a node does the same with channels last."""
    if any(ranks.get(name, 4) != 4 for name in node.input if name not in graph.constants):
        return False
    if node.op_type in ALONG_CHANNELS:
        return attribute(node, "axis", 0) == 1
    return node.op_type in POINTWISE | ROUNDING and all(
        graph.constants[name].ndim == 4 or graph.constants[name].size == 1
        for name in node.input
        if name in graph.constants
    )
