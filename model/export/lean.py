"""A traced graph made lean: it computes the same, with less that is not a convolution.

A cell's gates come out of one convolution per input, as the papers write them, and are cut apart after that. ONNX
Runtime keeps channels in blocks while it convolves, and puts them back in rows for whatever cuts; what follows a cut
then runs in rows, too. With a convolution of its own for each gate nothing is cut: sums of convolutions add up within
the convolution, and sigmoid and tanh follow within it. What is only added to a convolution's answer or multiplied with
it, channel by channel, becomes part of its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper


class Graph:
    """The nodes of a model by what they make, and its constants by name; what it does not change stays as it is.

    `prefix`: of the names of what is new.
    """

    def __init__(self, model: onnx.ModelProto, prefix: str = "lean") -> None:
        self.model, self.prefix = model, prefix
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.constants: dict[str, NDArray[np.generic]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        for node in list(self.nodes):
            if node.op_type == "Constant":
                (value,) = (item for item in node.attribute if item.name == "value")
                self.constants[node.output[0]] = numpy_helper.to_array(value.t)
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                # So the exporter writes the second of two weights that are equal.
                self.constants[node.output[0]] = self.constants[node.input[0]]
                self.remove(node)
        self.count = 0

    def maker(self, name: str) -> NodeProto | None:
        """The node whose output has this name; None of an input or a constant."""
        return next((node for node in self.nodes if name in node.output), None)

    def made(self, name: str) -> NodeProto:
        """The node whose output has this name, where there is one."""
        return next(node for node in self.nodes if name in node.output)

    def readers(self, name: str) -> list[NodeProto]:
        """The nodes that read it."""
        return [node for node in self.nodes if name in node.input]

    def is_answer(self, name: str) -> bool:
        """Whether it is an output of the graph."""
        return any(item.name == name for item in self.model.graph.output)

    def constant(self, value: NDArray[np.generic]) -> str:
        """The name of a new constant."""
        self.count += 1
        name = f"{self.prefix}_{self.count}"
        self.constants[name] = value
        return name

    def before(self, node: NodeProto, kind: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Put a new node before one; the name of what it makes."""
        if not output:
            self.count += 1
            output = f"{self.prefix}_{self.count}"
        made = helper.make_node(kind, list(inputs), [output], **attributes)  # type: ignore[arg-type]
        self.nodes.insert(next(at for at, other in enumerate(self.nodes) if other is node), made)
        return output

    def remove(self, node: NodeProto) -> None:
        """Take a node out."""
        self.nodes = [other for other in self.nodes if other is not node]

    def finished(self) -> onnx.ModelProto:
        """The model, without what nobody reads."""
        wanted = {item.name for item in self.model.graph.output}
        kept: list[NodeProto] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(node for node in reversed(kept) if node.op_type != "Constant")
        graph.initializer.extend(
            numpy_helper.from_array(value.copy(), name) for name, value in self.constants.items() if name in wanted
        )
        return self.model


def made_lean(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same answers (but for rounding) from a graph with fewer copies."""
    graph = Graph(model)
    for node in _of_kind(graph, "Split"):
        _without_split(graph, node)
    for node in _of_kind(graph, "Conv"):
        _within_readers(graph, node)
    for node in _of_kind(graph, "Add"):
        _within_bias(graph, node)
    for node in _of_kind(graph, "BatchNormalization"):
        _within_next(graph, node)
    for node in _of_kind(graph, "Mul"):
        _within_weights(graph, node)
    return graph.finished()


def _of_kind(graph: Graph, kind: str) -> Iterator[NodeProto]:
    yield from [node for node in graph.nodes if node.op_type == kind]


def attribute(node: NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def _without_split(graph: Graph, split: NodeProto) -> None:
    """A convolution, or a sum of some, that is split by channels: each part by itself."""
    if attribute(split, "axis", 0) != 1 or not _is_convolved(graph, split.input[0]):
        return
    sizes = [int(size) for size in graph.constants[split.input[1]]]
    ends = np.cumsum(sizes)
    for name, end, size in zip(split.output, ends, sizes, strict=True):
        _part(graph, split, split.input[0], slice(end - size, end), name)
    graph.remove(split)


def _is_convolved(graph: Graph, name: str) -> bool:
    """Whether a tensor is made by one dense convolution or by a sum of such, and read once."""
    node = graph.maker(name)
    if node is None or len(graph.readers(name)) != 1 or graph.is_answer(name):
        return False
    if node.op_type == "Add":
        return all(_is_convolved(graph, part) for part in node.input)
    return _dense(graph, node) is not None


def _part(graph: Graph, split: NodeProto, name: str, channels: slice, output: str = "") -> str:
    """These channels of a tensor that `_is_convolved`, computed alone."""
    node = graph.made(name)
    if node.op_type == "Add":
        parts = [_part(graph, split, part, channels) for part in node.input]
        return graph.before(split, "Add", parts, output)
    weights = [graph.constant(graph.constants[part][channels]) for part in node.input[1:]]
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return graph.before(split, "Conv", [node.input[0], *weights], output, **attributes)


def _within_bias(graph: Graph, add: NodeProto) -> None:
    """A number that is added to a convolution, or to a sum with one, becomes part of its bias."""
    for name, other in (tuple(add.input), tuple(reversed(add.input))):
        value = graph.constants.get(other)
        if value is None or value.size != 1:
            continue
        conv = _only_for(graph, name)
        if conv is None:
            continue
        weights, bias = _weights(graph, conv)
        _reweighted(graph, conv, weights, bias + float(value.reshape(())))
        _renamed(graph, add, name)
        return


def _only_for(graph: Graph, name: str) -> NodeProto | None:
    """A convolution that is read here alone: what makes the tensor, or one of the terms of the sum that does."""
    node = graph.maker(name)
    if node is None or len(graph.readers(name)) != 1 or graph.is_answer(name):
        return None
    if node.op_type == "Add":
        found = (_only_for(graph, part) for part in node.input)
        return next((conv for conv in found if conv is not None), None)
    return _dense(graph, node)


def _within_readers(graph: Graph, embedding: NodeProto) -> None:
    """A 1 x 1 convolution that makes many channels of few becomes part of the convolutions that read it.

    Its bias is on every pixel, and not on the border of zeros that they add: that is what a plane of ones is for.
    """
    embed = _dense(graph, embedding)
    if embed is None or graph.constants[embed.input[1]].shape[2:] != (1, 1) or not _keeps_size(embed):
        return
    weights, bias = _weights(graph, embed)
    outputs, inputs = weights.shape[:2]
    readers = [conv for node in graph.readers(embed.output[0]) if (conv := _dense(graph, node)) is not None]
    if not readers or inputs + 1 >= outputs:
        return
    read = embed.input[0]
    ones = graph.before(
        readers[0],
        "ConstantOfShape",
        [_shape_of_plane(graph, readers[0], read)],
        value=numpy_helper.from_array(np.ones(1, np.float32)),
    )
    planes = graph.before(readers[0], "Concat", [read, ones], axis=1)
    joined = np.concatenate([weights[:, :, 0, 0], bias[:, None]], axis=1)
    for conv in readers:
        kernels, own = _weights(graph, conv)
        _reweighted(graph, conv, np.einsum("omyx,mi->oiyx", kernels, joined), own)
        conv.input[0] = planes


def _keeps_size(conv: NodeProto) -> bool:
    """Whether a convolution of one pixel answers as many pixels as it reads."""
    numbers = {item.name: list(item.ints) for item in conv.attribute}
    return set(numbers.get("strides", [1])) == {1} and not any(numbers.get("pads", []))


def _shape_of_plane(graph: Graph, before: NodeProto, name: str) -> str:
    """[b, 1, y, x] of an image [b, c, y, x]."""
    batch = graph.before(before, "Shape", [name], start=0, end=1)
    sides = graph.before(before, "Shape", [name], start=2, end=4)
    return graph.before(before, "Concat", [batch, graph.constant(np.ones(1, np.int64)), sides], axis=0)


def _within_next(graph: Graph, norm: NodeProto) -> None:
    """A batch norm that one 1 x 1 convolution alone reads becomes part of it."""
    name = norm.output[0]
    readers = graph.readers(name)
    if len(readers) != 1 or graph.is_answer(name):
        return
    conv = _dense(graph, readers[0])
    if conv is None or conv.input[0] != name or graph.constants[conv.input[1]].shape[2:] != (1, 1):
        return
    scale, shift, mean, variance = (graph.constants[part].astype(np.float64) for part in norm.input[1:])
    epsilon = next((item.f for item in norm.attribute if item.name == "epsilon"), 1e-5)
    gain = scale / np.sqrt(variance + epsilon)
    weights, bias = _weights(graph, conv)
    _reweighted(graph, conv, weights * gain[None, :, None, None], bias + weights[:, :, 0, 0] @ (shift - mean * gain))
    conv.input[0] = norm.input[0]
    graph.remove(norm)


def _within_weights(graph: Graph, product: NodeProto) -> None:
    """A factor for each channel of what a convolution makes becomes part of its weights."""
    for name, other in (tuple(product.input), tuple(reversed(product.input))):
        maker, factor = graph.maker(name), graph.constants.get(other)
        if maker is None or factor is None or len(graph.readers(name)) != 1 or graph.is_answer(name):
            continue
        conv = _dense(graph, maker)
        if conv is None or factor.shape not in ((len(graph.constants[conv.input[1]]), 1, 1), ()):
            continue
        weights, bias = _weights(graph, conv)
        by_channel = np.broadcast_to(factor.astype(np.float64).reshape(-1), bias.shape)
        _reweighted(graph, conv, weights * by_channel[:, None, None, None], bias * by_channel)
        _renamed(graph, product, name)
        return


def _dense(graph: Graph, node: NodeProto) -> NodeProto | None:
    """The node, where it is a convolution of all channels with known weights."""
    known = all(name in graph.constants for name in node.input[1:])
    return node if node.op_type == "Conv" and attribute(node, "group", 1) == 1 and known else None


def _weights(graph: Graph, conv: NodeProto) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights and bias of a convolution."""
    weights = graph.constants[conv.input[1]].astype(np.float64)
    return weights, graph.constants[conv.input[2]].astype(np.float64) if len(conv.input) > 2 else np.zeros(len(weights))


def _reweighted(graph: Graph, conv: NodeProto, weights: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """Give a convolution other weights and another bias."""
    del conv.input[1:]
    conv.input.extend(graph.constant(value.astype(np.float32)) for value in (weights, bias))


def _renamed(graph: Graph, node: NodeProto, name: str) -> None:
    """Take a node out; whoever read what it made reads `name`."""
    made = node.output[0]
    graph.remove(node)
    if graph.is_answer(made):
        maker = graph.made(name)
        maker.output[list(maker.output).index(name)] = made
        made, name = name, made
    for reader in graph.readers(made):
        for index, read in enumerate(reader.input):
            if read == made:
                reader.input[index] = name
