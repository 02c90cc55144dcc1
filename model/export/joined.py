"""Convolutions that are added up become one convolution over all that they read: how a quantised cell is cheapest.

The papers write a gate as a sum, W_x * x + W_h * h. In 8 bits each term would be rounded by itself before it is added;
as one convolution over x and h together the sum is exact (in 32 bits) and rounded once, and there is nothing to add.
Gates that read the same tensors come out of one convolution, which is larger and so nearer to the machine's peak.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from model.core.units import FloatArray
from model.export.lean import Graph, attribute

Geometry = tuple[tuple[str, object], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate:
    """A tensor that is a sum of convolutions: `bias` + for each source a kernel [out, in, ky, kx] over it.

    `geometry`: the attributes of the convolutions, strides and the like.
    """

    geometry: Geometry
    kernels: Mapping[str, FloatArray]
    bias: FloatArray

    def rows(self, rows: slice) -> Gate:
        """Some of its channels."""
        kernels = {source: kernel[rows] for source, kernel in self.kernels.items()}
        return Gate(geometry=self.geometry, kernels=kernels, bias=self.bias[rows])

    def plus(self, other: Gate) -> Gate | None:
        """The sum of both; None where they cannot be one convolution: not of one geometry, or one kernel size."""
        sizes = {kernel.shape[2:] for gate in (self, other) for kernel in gate.kernels.values()}
        if self.geometry != other.geometry or self.bias.shape != other.bias.shape or len(sizes) > 1:
            return None
        kernels = dict(self.kernels)
        for source, kernel in other.kernels.items():
            kernels[source] = kernels[source] + kernel if source in kernels else kernel
        return Gate(geometry=self.geometry, kernels=kernels, bias=self.bias + other.bias)


def join_gates(graph: Graph, channels: Mapping[str, int]) -> None:
    """Join sums of dense convolutions, and sums that read the same tensors. `channels`: of each tensor [b, c, y, x]."""
    found: dict[str, Gate] = {}
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.input:
            readers[name].append(node)
    for node in graph.nodes:
        found |= _gates_of(graph, node, found, channels, readers)
    terms = {name for name in found if all(_is_inner(reader, found) for reader in readers[name])}
    groups: dict[tuple[tuple[str, ...], Geometry], dict[str, Gate]] = {}
    for name, gate in found.items():
        if name not in terms or graph.is_answer(name):
            groups.setdefault((tuple(sorted(gate.kernels)), gate.geometry), {})[name] = gate
    for gates in groups.values():
        _replace(graph, gates)


def _gates_of(
    graph: Graph,
    node: NodeProto,
    found: Mapping[str, Gate],
    channels: Mapping[str, int],
    readers: Mapping[str, Sequence[NodeProto]],
) -> dict[str, Gate]:
    """Of the tensors that a node makes those that are gates.

    `found`: gates so far. `readers`: nodes by what they read.
    """
    if node.op_type == "Conv":
        dense = attribute(node, "group", 1) == 1 and all(part in graph.constants for part in node.input[1:])
        return {node.output[0]: _of_convolution(graph, node, channels)} if dense else {}
    whole = found.get(node.input[0]) if node.input else None
    if node.op_type == "Split" and whole is not None and attribute(node, "axis", 0) == 1:
        ends = np.cumsum([0, *graph.constants[node.input[1]]]).tolist()
        return {
            name: whole.rows(slice(begin, end)) for name, begin, end in zip(node.output, ends, ends[1:], strict=False)
        }
    if node.op_type == "Add" and all(name in found and len(readers[name]) == 1 for name in node.input):
        total = found[node.input[0]].plus(found[node.input[1]])
        return {} if total is None else {node.output[0]: total}
    return {}


def _of_convolution(graph: Graph, conv: NodeProto, channels: Mapping[str, int]) -> Gate:
    """A convolution; each of the tensors that were concatenated for it is a source of its own."""
    weights = np.asarray(graph.constants[conv.input[1]], np.float32)
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else np.zeros(len(weights), np.float32)
    maker = graph.maker(conv.input[0])
    joined = maker is not None and maker.op_type == "Concat" and attribute(maker, "axis") == 1
    sources = list(maker.input) if joined and maker is not None else [conv.input[0]]
    if len(set(sources)) < len(sources) or not all(source in channels for source in sources):
        sources = [conv.input[0]]
    widths = [channels[source] for source in sources[:-1]] if len(sources) > 1 else []
    parts = np.split(weights, np.cumsum(widths, dtype=np.intp), axis=1)
    attributes = {item.name: helper.get_attribute_value(item) for item in conv.attribute}
    settled = sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in attributes.items())
    return Gate(
        geometry=tuple(settled), kernels=dict(zip(sources, parts, strict=True)), bias=np.asarray(bias, np.float32)
    )


def _is_inner(reader: NodeProto, found: Mapping[str, Gate]) -> bool:
    """Whether what a node reads is but a term, or a split, of a gate that it makes."""
    return reader.op_type in ("Add", "Split") and all(name in found for name in reader.output)


def _replace(graph: Graph, gates: Mapping[str, Gate]) -> None:
    """One convolution for all gates of the same sources."""
    makers = [graph.maker(name) for name in gates]
    first = next(node for node in graph.nodes if any(node is maker for maker in makers))
    some = next(iter(gates.values()))
    sources = list(some.kernels)
    read = graph.before(first, "Concat", sources, axis=1) if len(sources) > 1 else sources[0]
    kernels = [np.concatenate([gate.kernels[name] for name in sources], axis=1) for gate in gates.values()]
    inputs = [read, *(graph.constant(np.concatenate(part)) for part in (kernels, [g.bias for g in gates.values()]))]
    attributes: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in some.geometry
    }
    for node in {id(maker): maker for maker in makers if maker is not None}.values():
        if node is not first:
            graph.remove(node)
    if len(gates) == 1:
        graph.before(first, "Conv", inputs, next(iter(gates)), **attributes)
    else:
        sizes = graph.constant(np.array([len(gate.bias) for gate in gates.values()], np.int64))
        whole = graph.before(first, "Conv", inputs, **attributes)
        split = helper.make_node("Split", [whole, sizes], list(gates), axis=1)
        graph.nodes.insert(next(at for at, other in enumerate(graph.nodes) if other is first), split)
    graph.remove(first)
