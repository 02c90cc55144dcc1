"""Convert a graph to float16, for GPUs: states too; the inputs and the forecast stay float32, as do warps and norms.

The positions of a warp are pixels of a large grid: float16 resolves single pixels only up to 2048. A norm sums squares
over the whole domain. The converter of onnxconverter-common selects float32 nodes by operator or name; here they also
include whatever computes the positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx_ir as ir

from model.export.passes import nodes
from model.runtime.graph_session import EXCEEDANCE, INPUTS, NEXT

NORMS: Final = frozenset(("InstanceNormalization", "GroupNormalization", "LayerNormalization"))
SINGLE_PRECISION: Final = frozenset(("GridSample", "ReduceMean", *NORMS))
FLOAT32_INPUTS: Final[Mapping[str, tuple[int, ...]]] = {"Resize": (1, 2)}
"""Inputs that ONNX defines as float32 whatever the precision of the image."""
ALWAYS_FLOAT32: Final = frozenset(("ConstantOfShape", "Range"))
"""Operators whose attributes or integer inputs make them float32."""
FLOAT32_OPERATORS: Final = "float32_operators"
"""Key of the metadata with the operators that stay float32, separated by commas."""

FLOAT, FLOAT16 = ir.DataType.FLOAT, ir.DataType.FLOAT16


class ConvertToFloat16(ir.passes.InPlacePass):
    """Compute in float16 all but warps and norms (see `float32_nodes`), with one cast for each tensor that needs it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        graph = model.graph
        single = float32_nodes(graph)
        model.metadata_props[FLOAT32_OPERATORS] = ",".join(sorted({node.op_type for node in single}))
        for value in (*graph.inputs, *graph.outputs):
            if value.name not in (*INPUTS, NEXT, EXCEEDANCE):
                value.type = ir.TensorType(FLOAT16)
        casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        for node in list(graph):
            float32 = node in single or node.op_type in ALWAYS_FLOAT32
            _convert(graph, node, FLOAT if float32 else FLOAT16, casts)
        return ir.passes.PassResult(model, modified=True)


def _convert(
    graph: ir.Graph, node: ir.Node, precision: ir.DataType, casts: dict[tuple[ir.Value, ir.DataType], ir.Value]
) -> None:
    """Compute one node in this precision; `casts`: tensors that are already cast to the other precision."""
    fixed = FLOAT32_INPUTS.get(node.op_type, ())
    for index, value in enumerate(node.inputs):
        if value is None or index in fixed or value.dtype not in (FLOAT, FLOAT16) or value.dtype == precision:
            continue
        if (value, precision) not in casts:
            constant = nodes.constant_array(value)
            if constant is not None:
                casts[value, precision] = nodes.add_constant(graph, constant.astype(np.float16), f"{value.name}_fp16")
            else:
                cast = _cast(value, precision)
                node.prepend(cast)
                casts[value, precision] = cast.outputs[0]
        node.replace_input_with(index, casts[value, precision])
    if node.op_type == "Cast" and node.attributes.get_int("to") == FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", precision)
    for output in node.outputs:
        declared = output.dtype
        if declared not in (FLOAT, FLOAT16):
            continue
        output.type = ir.TensorType(precision)
        if output.is_graph_output() and declared != precision:
            cast = _cast(output, declared)
            node.append(cast)
            (result,) = cast.outputs
            result.name, result.shape = output.name, output.shape
            output.name = f"{output.name}_{precision.name.lower()}"
            graph.outputs[graph.outputs.index(output)] = casts[output, declared] = result


def _cast(value: ir.Value, precision: ir.DataType) -> ir.Node:
    """Return a new node that casts a value."""
    node = ir.node("Cast", [value], {"to": int(precision)})
    node.outputs[0].type = ir.TensorType(precision)
    return node


def float32_nodes(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes of warps, norms and the distribution head, and the last addition.

    From a warp or a norm on until the next sum of two tensors or the next convolution; of warps also whatever computes
    the positions, back to convolutions and inputs; of the head all, because a logit is a small difference times a large
    number. At the end, the frame that the output of the network is added to is not rounded.
    """
    found: set[ir.Node] = set()
    for node in graph:
        if node.op_type in SINGLE_PRECISION:
            _add_downstream(node, found)
        if node.op_type == "GridSample":
            _add_upstream(node.inputs[1], found)
    for output in graph.outputs:
        if output.name == EXCEEDANCE:
            _add_upstream(output, found)
    value: ir.Value | None = next(output for output in graph.outputs if output.name == NEXT)
    while value is not None and (producer := value.producer()) is not None and producer.op_type in ("Clip", "Add"):
        found.add(producer)
        value = producer.inputs[0] if producer.op_type == "Clip" else None
    return found


def _add_downstream(node: ir.Node, found: set[ir.Node]) -> None:
    """Add a node and what follows, up to the next sum of two tensors or the next convolution."""
    if node in found or node.op_type in ("Conv", "Split"):
        return
    found.add(node)
    scalar = any(array.size == 1 for value in node.inputs if (array := nodes.constant_array(value)) is not None)
    if node.op_type not in NORMS and (node.op_type != "Add" or scalar):
        for output in node.outputs:
            for reader in output.consumers():
                _add_downstream(reader, found)


def _add_upstream(value: ir.Value | None, found: set[ir.Node]) -> None:
    """Add what computes a tensor, back to convolutions and inputs."""
    node = None if value is None else value.producer()
    if node is None or node.op_type == "Conv" or node in found:
        return
    found.add(node)
    for source in nodes.inputs_of(node):
        _add_upstream(source, found)
