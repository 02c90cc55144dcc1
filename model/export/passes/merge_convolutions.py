"""Merge convolutions whose outputs are added, and gates that read the same tensors: int8 graphs.

The papers write a gate as a sum, W_x * x + W_h * h. In 8 bits each term would be rounded before the addition; one
convolution over x and h together sums in 32 bits and rounds once, and no addition is left. One convolution for all
gates that read the same tensors is larger, and runs nearer to the peak of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from model.core.units import FloatArray
from model.export.passes import nodes

Geometry = tuple[tuple[str, tuple[int, ...] | int | str], ...]
"""Strides, padding and the like of a convolution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvolutionSum:
    """A tensor that is `bias` [out] + the sum of one kernel [out, in, ky, kx] over each source tensor."""

    geometry: Geometry
    kernels: Mapping[ir.Value, FloatArray]
    bias: FloatArray

    def part(self, channels: slice) -> ConvolutionSum:
        """Return some of the output channels."""
        kernels = {source: kernel[channels] for source, kernel in self.kernels.items()}
        return ConvolutionSum(geometry=self.geometry, kernels=kernels, bias=self.bias[channels])

    def plus(self, other: ConvolutionSum) -> ConvolutionSum | None:
        """Return the sum of both; None where geometry, kernel size or channels differ."""
        sizes = {kernel.shape[2:] for each in (self, other) for kernel in each.kernels.values()}
        if self.geometry != other.geometry or self.bias.shape != other.bias.shape or len(sizes) > 1:
            return None
        kernels = dict(self.kernels)
        for source, kernel in other.kernels.items():
            kernels[source] = kernels[source] + kernel if source in kernels else kernel
        return ConvolutionSum(geometry=self.geometry, kernels=kernels, bias=self.bias + other.bias)


class MergeConvolutions(ir.passes.InPlacePass):
    """Replace sums of dense convolutions, and sums of the same sources, by one convolution each.

    The shapes of the tensors must be known as far as their channels (see `SymbolicShapes`).
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        sums: dict[ir.Value, ConvolutionSum] = {}
        for node in model.graph:
            sums |= _sums_of(node, sums)
        groups: dict[tuple[frozenset[ir.Value], Geometry], dict[ir.Value, ConvolutionSum]] = {}
        for value, each in sums.items():
            if value.is_graph_output() or not all(_is_within(reader, sums) for reader, _ in value.uses()):
                groups.setdefault((frozenset(each.kernels), each.geometry), {})[value] = each
        merged: dict[ir.Value, ir.Value] = {}
        for group in groups.values():
            merged |= _merge(model.graph, group, merged)
        return ir.passes.PassResult(model, bool(groups))


def _sums_of(node: ir.Node, sums: Mapping[ir.Value, ConvolutionSum]) -> dict[ir.Value, ConvolutionSum]:
    """Return the outputs of a node that are sums of convolutions, given the sums before the node."""
    if nodes.is_dense_convolution(node):
        return {node.outputs[0]: _of_convolution(node)}
    inputs = nodes.inputs_of(node)
    if nodes.splits_channels(node) and inputs[0] in sums:
        parts = [sums[inputs[0]].part(channels) for channels in nodes.channel_slices(node)]
        return dict(zip(node.outputs, parts, strict=True))
    if node.op_type == "Add" and all(term in sums and nodes.read_once(term) for term in inputs):
        total = sums[inputs[0]].plus(sums[inputs[1]])
        return {} if total is None else {node.outputs[0]: total}
    return {}


def _of_convolution(conv: ir.Node) -> ConvolutionSum:
    """Return a convolution as a sum over the tensors that were concatenated as its input."""
    weights, bias = (np.asarray(each, np.float32) for each in nodes.weights_of(conv))
    image = nodes.inputs_of(conv)[0]
    sources = concatenated(image)
    channels = [count for source in sources if (count := _channels(source)) is not None]
    if len(set(sources)) < len(sources) or len(channels) < len(sources):
        sources, channels = [image], [weights.shape[1]]
    parts = np.split(weights, np.cumsum(channels[:-1], dtype=np.intp), axis=1)
    geometry = tuple(
        (name, tuple(each.value) if isinstance(each.value, list | tuple) else each.value)
        for name, each in sorted(conv.attributes.items())
    )
    return ConvolutionSum(geometry=geometry, kernels=dict(zip(sources, parts, strict=True)), bias=bias)


def concatenated(image: ir.Value) -> list[ir.Value]:
    """Return the tensors that were concatenated along the channels to form an image; else the image itself."""
    node = image.producer()
    joined = node is not None and node.op_type == "Concat" and node.attributes.get_int("axis") == 1
    return nodes.inputs_of(node) if node is not None and joined else [image]


def _channels(value: ir.Value) -> int | None:
    """Return the number of channels of an image [b, c, y, x], where it is known."""
    shape = value.shape
    return shape[1] if shape is not None and len(shape) == 4 and isinstance(shape[1], int) else None


def _is_within(reader: ir.Node, sums: Mapping[ir.Value, ConvolutionSum]) -> bool:
    """Return whether a node only adds up or splits a sum of convolutions."""
    return reader.op_type in ("Add", "Split") and all(output in sums for output in reader.outputs)


def _merge(
    graph: ir.Graph, group: Mapping[ir.Value, ConvolutionSum], merged: Mapping[ir.Value, ir.Value]
) -> dict[ir.Value, ir.Value]:
    """Compute all sums of a group, which have the same sources, by one convolution; return the new tensors by the old.

    `merged`: the new tensors of the groups before, which may be sources of this one.
    """
    producers = {producer for value in group if (producer := value.producer()) is not None}
    point = next(node for node in graph if node in producers)
    sums = list(group.values())
    sources = list(sums[0].kernels)
    images = [merged.get(source, source) for source in sources]
    image = nodes.insert_before(point, "Concat", images, axis=1) if len(images) > 1 else images[0]
    weights = np.concatenate([np.concatenate([each.kernels[source] for source in sources], axis=1) for each in sums])
    name = f"{next(iter(group)).name}_merged"
    inputs = [image, nodes.add_constant(graph, weights, name)]
    inputs.append(nodes.add_constant(graph, np.concatenate([each.bias for each in sums]), name))
    outputs = [nodes.insert_before(point, "Conv", inputs, ir.convenience.convert_attributes(dict(sums[0].geometry)))]
    if len(group) > 1:
        sizes = nodes.add_constant(graph, np.array([len(each.bias) for each in sums]), f"{name}_sizes")
        outputs = list(nodes.insert_split(point, outputs[0], sizes, len(group)))
    for old, new in zip(group, outputs, strict=True):
        new_name, new.type, new.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = f"{new_name}_unmerged", new_name
    return dict(zip(group, outputs, strict=True))
