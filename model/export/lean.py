"""A traced graph made lean: it computes the same, with less that is not a convolution.

A cell's gates come out of one convolution per input, as the papers write them, and are cut apart after that. ONNX
Runtime keeps channels in blocks while it convolves, and puts them back in rows for whatever cuts; what follows a cut
then runs in rows, too. With a convolution of its own for each gate nothing is cut: sums of convolutions add up within
the convolution, and sigmoid and tanh follow within it. For that it must know that the terms of a sum are of one size:
so every tensor of the graph says its size, in names for what is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorShapeProto, helper, numpy_helper, shape_inference


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
        for node in self.nodes:
            if node.op_type == "Constant":
                (value,) = (item for item in node.attribute if item.name == "value")
                self.constants[node.output[0]] = numpy_helper.to_array(value.t)
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
    for node in _of_kind(graph, "Add"):
        _within_bias(graph, node)
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
    return node.op_type == "Conv" and attribute(node, "group", 1) == 1 and node.input[1] in graph.constants


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
        channels = graph.constants[conv.input[1]].shape[0]
        bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else np.zeros(channels, np.float32)
        del conv.input[2:]
        conv.input.append(graph.constant((bias + value.reshape(())).astype(np.float32)))
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
    return node if node.op_type == "Conv" and node.input[1] in graph.constants else None


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


# What size a tensor is


class Sizes(NamedTuple):
    """Numbers in the place of what is free, to see by which of them a tensor's size goes: primes times the stride."""

    batch: int
    height: int
    width: int


EXAMPLES = (Sizes(11, 13, 17), Sizes(19, 23, 29))
"""Two, so that nothing is taken for what it is by chance."""


def with_sizes(model: onnx.ModelProto, strides: Mapping[str, int], frames: int = 1) -> onnx.ModelProto:
    """Every image in the graph says its size: `height_S` and `width_S` where a pixel is S of a frame's.

    `strides`: of each input and output that is an image, [b, c, y, x] or [b, t, c, y, x], whose b, y and x are free.
    `frames`: t, where a graph has it.
    """
    coarsest = max(strides.values())
    found = [_inferred(model, strides, sizes, coarsest) for sizes in EXAMPLES]
    factors = [factor for factor in range(1, coarsest + 1) if coarsest % factor == 0]
    named = [
        {
            "batch": sizes.batch,
            "batch_frames": sizes.batch * frames,
            **{f"height_{factor}": sizes.height * coarsest // factor for factor in factors},
            **{f"width_{factor}": sizes.width * coarsest // factor for factor in factors},
        }
        for sizes in EXAMPLES
    ]
    del model.graph.value_info[:]
    for name, shape in found[0].items():
        if len(shape) != 4:
            continue
        pairs = zip(shape, found[1].get(name, ()), strict=False)
        axes = [_axis(pair, named) for pair in pairs]
        if len(axes) == len(shape):
            model.graph.value_info.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes))
    return model


def _axis(pair: tuple[int | None, int | None], named: Sequence[Mapping[str, int]]) -> int | str | None:
    """A size that both examples agree on; the name of the free one that it goes by; None where neither."""
    if pair[0] == pair[1]:
        return pair[0]
    return next((name for name in named[0] if pair == (named[0][name], named[1][name])), None)


def _inferred(
    model: onnx.ModelProto, strides: Mapping[str, int], sizes: Sizes, coarsest: int
) -> dict[str, list[int | None]]:
    """Sizes of all tensors of numbers between inputs and outputs, for frames of this size."""
    example = deepcopy(model)
    del example.graph.value_info[:]
    for item in example.graph.output:
        item.type.tensor_type.ClearField("shape")
    for item in example.graph.input:
        axes = item.type.tensor_type.shape.dim
        axes[0].dim_value = sizes.batch
        if item.name in strides:
            axes[-2].dim_value = sizes.height * coarsest // strides[item.name]
            axes[-1].dim_value = sizes.width * coarsest // strides[item.name]
    inferred = shape_inference.infer_shapes(example, data_prop=True)
    return {
        item.name: [_size(axis) for axis in item.type.tensor_type.shape.dim]
        for item in inferred.graph.value_info
        if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _size(axis: TensorShapeProto.Dimension) -> int | None:
    return int(axis.dim_value) if axis.HasField("dim_value") else None
