"""Give each gate of a cell a convolution of its own: float32 graphs without splits.

The papers compute all gates in one convolution per input and split the result. ONNX Runtime convolves in a layout with
blocked channels (NCHWc), and converts back to NCHW for a Split and whatever follows the Split. Where nothing is split,
sums of convolutions and the sigmoid or tanh after them are part of the convolutions, in the blocked layout.
"""

from __future__ import annotations

import onnx_ir as ir

from model.export.passes.graph import (
    add_constant,
    channel_slices,
    dense_convolution,
    graph_of,
    inputs_of,
    insert_before,
    known_array,
    nodes_of_type,
    read_once,
    replace_node,
    splits_channels,
)


class SplitGates(ir.passes.InPlacePass):
    """Replace a split sum of convolutions by one sum of smaller convolutions for each part."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        modified = False
        for split in nodes_of_type(model.graph, "Split"):
            total = inputs_of(split)[0]
            if splits_channels(split) and _is_sum_of_convolutions(total):
                replace_node(split, [_part(split, total, channels) for channels in channel_slices(split)])
                modified = True
        return ir.passes.PassResult(model, modified)


def _is_sum_of_convolutions(value: ir.Value) -> bool:
    """Return whether dense convolutions, and sums of them that nothing else reads, compute a value."""
    node = value.producer()
    if node is None or not read_once(value):
        return False
    if node.op_type == "Add":
        return all(_is_sum_of_convolutions(term) for term in inputs_of(node))
    return dense_convolution(value) is not None


def _part(split: ir.Node, value: ir.Value, channels: slice) -> ir.Value:
    """Insert nodes before the split that compute these channels of a sum of convolutions alone."""
    node = value.producer()
    if node is not None and node.op_type == "Add":
        return insert_before(split, "Add", [_part(split, term, channels) for term in inputs_of(node)])
    conv = dense_convolution(value)
    if conv is None:
        raise ValueError(f"{value} is not computed by a convolution")
    name = f"{value.name}_{channels.start}"
    weights = [add_constant(graph_of(split), known_array(each)[channels], name) for each in inputs_of(conv)[1:]]
    return insert_before(split, "Conv", [inputs_of(conv)[0], *weights], list(conv.attributes.values()))
