"""A graph in float16, for GPUs: states too; what the runtime reads and hears stays float32, and so do warps and norms.

A warp's positions are pixels of a large grid, of which float16 tells one from the next only up to 2048; a norm sums
squares over a whole domain.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from model.export.lean import Graph
from model.runtime.graph_session import INPUTS

NORMS: Final = frozenset(("InstanceNormalization", "GroupNormalization", "LayerNormalization"))
SINGLE_PRECISION: Final = frozenset(("GridSample", "ReduceMean", *NORMS))
FLOAT32_INPUTS: Final[Mapping[str, tuple[int, ...]]] = {"Resize": (1, 2)}
"""Inputs that are float32 in any precision."""
FLOAT32_ALONE: Final = frozenset(("ConstantOfShape", "Range"))
"""Kinds of nodes that are float32 as they are written."""


def half(fp32_graph: Path, out: Path) -> tuple[str, ...]:
    """Write a float16 graph of a float32 one, and return the kinds of nodes that stay float32.

    Inputs, outputs and metadata are those of the float32 graph, but for its states, which are float16.
    """
    model = onnx.load(fp32_graph)
    graph = Graph(model, prefix="half")
    kept = _single_precision(graph)
    for item in (*model.graph.input, *model.graph.output):
        if item.name not in (*INPUTS, "next"):
            item.type.tensor_type.elem_type = TensorProto.FLOAT16
    _Precisions(graph, _floats(onnx.load(fp32_graph))).settle({id(node) for node in kept})
    halved = graph.finished()
    onnx.checker.check_model(halved, full_check=True)
    onnx.save(halved, out)
    return tuple(sorted({node.op_type for node in kept}))


def _floats(model: onnx.ModelProto) -> set[str]:
    """Tensors of a float32 graph that are float32."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = {item.name: item.type.tensor_type.elem_type for item in (*graph.input, *graph.output, *graph.value_info)}
    typed |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name for name, kind in typed.items() if kind == TensorProto.FLOAT}


class _Precisions:
    """Puts casts where float32 and float16 meet, one for each tensor."""

    def __init__(self, graph: Graph, floats: Collection[str]) -> None:
        self.graph, self.floats = graph, floats
        self.made = dict.fromkeys(graph.constants, TensorProto.FLOAT)
        self.made |= {item.name: item.type.tensor_type.elem_type for item in graph.model.graph.input}
        self.cast: dict[tuple[str, int], str] = {}
        self.nodes: list[NodeProto] = []

    def settle(self, single: Collection[int]) -> None:
        """Give every node one precision: float32 to those whose `id` is named, float16 to all others."""
        answers = {item.name: item.type.tensor_type.elem_type for item in self.graph.model.graph.output}
        for node in self.graph.nodes:
            exact = id(node) in single or node.op_type in FLOAT32_ALONE
            kind = TensorProto.FLOAT if exact else TensorProto.FLOAT16
            fixed = FLOAT32_INPUTS.get(node.op_type, ())
            read = [name if at in fixed else self._as(name, kind) for at, name in enumerate(node.input)]
            del node.input[:]
            node.input.extend(read)
            for item in node.attribute:
                if node.op_type == "Cast" and item.name == "to" and item.i == TensorProto.FLOAT:
                    item.i = kind
            for at, name in enumerate(node.output):
                self.made[name] = kind
                if name in answers and answers[name] != kind:  # the answer itself is of the other precision
                    node.output[at] = f"{name}_{kind}"
                    self.cast[name, kind] = node.output[at]
                    self.nodes += [node, helper.make_node("Cast", [node.output[at]], [name], to=answers[name])]
                    self.made[name] = answers[name]
                    break
            else:
                self.nodes.append(node)
        self.graph.nodes = self.nodes

    def _as(self, name: str, kind: int) -> str:
        """The name of a tensor in this precision."""
        if name not in self.floats or self.made[name] == kind:
            return name
        if (name, kind) not in self.cast:
            if name in self.graph.constants:
                self.cast[name, kind] = self.graph.constant(self.graph.constants[name].astype(np.float16))
            else:
                self.cast[name, kind] = f"{name}_{kind}"
                self.nodes.append(helper.make_node("Cast", [name], [self.cast[name, kind]], to=kind))
        return self.cast[name, kind]


def _single_precision(graph: Graph) -> list[NodeProto]:
    """Nodes of warps and norms: up to what is added at their end, and of warps also whatever positions come from."""
    kept: dict[int, NodeProto] = {}
    for node in graph.nodes:
        if node.op_type in SINGLE_PRECISION:
            _downwards(graph, node, kept)
        if node.op_type == "GridSample":
            _upwards(graph, node.input[1], kept)
    name = "next"
    while (maker := graph.maker(name)) is not None and maker.op_type in ("Clip", "Add"):
        kept[id(maker)] = maker  # the frame that the network's answer is added to is not rounded
        name = maker.input[0] if maker.op_type == "Clip" else ""
    return list(kept.values())


def _downwards(graph: Graph, node: NodeProto, kept: dict[int, NodeProto]) -> None:
    """A node and what follows from it, up to the next sum of two tensors, or the next convolution."""
    if id(node) in kept or node.op_type in ("Conv", "Split"):
        return
    kept[id(node)] = node
    scalar = any(name in graph.constants and graph.constants[name].size == 1 for name in node.input)
    if node.op_type not in NORMS and (node.op_type != "Add" or scalar):
        for name in node.output:
            for reader in graph.readers(name):
                _downwards(graph, reader, kept)


def _upwards(graph: Graph, name: str, kept: dict[int, NodeProto]) -> None:
    """What a tensor is computed from, back to convolutions and inputs."""
    node = graph.maker(name)
    if node is None or node.op_type == "Conv" or id(node) in kept:
        return
    kept[id(node)] = node
    for read in node.input:
        _upwards(graph, read, kept)
