"""Operations on nodes that several passes share: constants, convolutions with constant weights, new nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

AttributeValue = int | float | str | Sequence[int] | ir.TensorProtocol


class NodePass(ir.passes.InPlacePass):
    """A pass that visits every node of one operator once, in order."""

    op_type: ClassVar[str]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        rewritten = [self.rewrite(node) for node in list(model.graph) if node.op_type == self.op_type]
        return ir.passes.PassResult(model, any(rewritten))

    @abstractmethod
    def rewrite(self, node: ir.Node) -> bool:
        """Rewrite a node where the pass applies, and return whether it does."""


def inputs_of(node: ir.Node) -> list[ir.Value]:
    """Return the inputs of a node, without omitted optional inputs."""
    return [value for value in node.inputs if value is not None]


def constant_array(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the array of a constant; None of any other value."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def known_array(value: ir.Value | None) -> NDArray[Any]:
    """Return the array of a value that is known to be constant.

    Raises
    ------
    ValueError
        The value is not constant.
    """
    array = constant_array(value)
    if array is None:
        raise ValueError(f"{value} is not a constant")
    return array


def add_constant(graph: ir.Graph, array: NDArray[Any], name: str) -> ir.Value:
    """Add a constant to the graph; a number makes the name unique."""
    unique, number = name, 0
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=unique)
    shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
    value = ir.Value(name=unique, shape=shape, type=kind, const_value=tensor)
    graph.register_initializer(value)
    return value


def insert_before(
    point: ir.Node, op_type: str, inputs: Sequence[ir.Value], attributes: Iterable[ir.Attr] = (), **more: AttributeValue
) -> ir.Value:
    """Insert a node with one output before `point`, and return that output; `more`: attributes as Python values."""
    return insert_node(point, op_type, inputs, [*attributes, *ir.convenience.convert_attributes(more)]).outputs[0]


def insert_split(point: ir.Node, value: ir.Value, sizes: ir.Value, parts: int) -> Sequence[ir.Value]:
    """Insert a split along the channels before `point`, and return its outputs."""
    return insert_node(point, "Split", [value, sizes], [ir.AttrInt64("axis", 1)], outputs=parts).outputs


def insert_node(
    point: ir.Node, op_type: str, inputs: Sequence[ir.Value], attributes: Iterable[ir.Attr] = (), *, outputs: int = 1
) -> ir.Node:
    """Insert a node before `point`, and return it."""
    node = ir.Node("", op_type, inputs, attributes, num_outputs=outputs)
    graph_of(point).insert_before(point, node)
    return node


def graph_of(node: ir.Node) -> ir.Graph:
    """Return the graph that a node belongs to."""
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(f"{node} is not in a graph")
    return node.graph


def replace_node(node: ir.Node, values: Sequence[ir.Value]) -> None:
    """Remove a node; `values` take the uses and the names of its outputs."""
    names = [output.name for output in node.outputs]
    shapes = [output.shape for output in node.outputs]
    for output, value in zip(node.outputs, values, strict=True):
        output.replace_all_uses_with(value, replace_graph_outputs=True)
        value.type = output.type
    graph_of(node).remove(node, safe=True)
    for value, name, shape in zip(values, names, shapes, strict=True):
        value.name, value.shape = name, shape


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Remove a node; whatever read its output reads `value`, which takes the name of a graph output."""
    (output,) = node.outputs
    name, is_output = output.name, output.is_graph_output()
    output.replace_all_uses_with(value, replace_graph_outputs=True)
    graph_of(node).remove(node, safe=True)
    if is_output:
        value.name = name


def read_once(value: ir.Value) -> bool:
    """Return whether exactly one input of one node reads the value, and the graph does not output it."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def is_dense_convolution(node: ir.Node | None) -> bool:
    """Return whether a node is a convolution over all channels with constant weights."""
    return (
        node is not None
        and node.op_type == "Conv"
        and node.attributes.get_int("group", 1) == 1
        and all(constant_array(value) is not None for value in node.inputs[1:])
    )


def dense_convolution(value: ir.Value | None) -> ir.Node | None:
    """Return the node that computes a value, where that is a dense convolution (see `is_dense_convolution`)."""
    node = None if value is None else value.producer()
    return node if is_dense_convolution(node) else None


def splits_channels(node: ir.Node | None) -> bool:
    """Return whether a node splits its input [b, c, y, x] along the channels."""
    return node is not None and node.op_type == "Split" and node.attributes.get_int("axis", 0) == 1


def channel_slices(split: ir.Node) -> list[slice]:
    """Return the channels of each output of a node that splits channels."""
    ends = np.cumsum([0, *known_array(split.inputs[1])]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def weights_of(conv: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights [out, in, ky, kx] and bias [out] of a convolution in float64."""
    weights = known_array(conv.inputs[1]).astype(np.float64)
    return weights, known_array(conv.inputs[2]).astype(np.float64) if len(conv.inputs) > 2 else np.zeros(len(weights))


def set_weights(conv: ir.Node, weights: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """Give a convolution other weights and another bias, as float32."""
    name = f"{conv.outputs[0].name}_weights"
    conv.resize_inputs(3)
    for index, array in ((1, weights), (2, bias)):
        conv.replace_input_with(index, add_constant(graph_of(conv), array.astype(np.float32), name))
