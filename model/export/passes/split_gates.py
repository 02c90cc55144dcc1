"""Give each gate of a cell a convolution of its own: float32 graphs without splits.

The papers compute all gates in one convolution per input and split the result. ONNX Runtime convolves in a layout with
blocked channels (NCHWc), and converts back to NCHW for a Split and whatever follows the Split. Where nothing is split,
sums of convolutions and the sigmoid or tanh after them are part of the convolutions, in the blocked layout.
"""

from __future__ import annotations

import onnx_ir as ir

from model.export.passes import nodes


class SplitGates(nodes.NodePass):
    """Replace a split sum of convolutions by one sum of smaller convolutions for each part."""

    op_type = "Split"

    def rewrite(self, node: ir.Node) -> bool:
        """See `NodePass.rewrite`."""
        total = nodes.inputs_of(node)[0]
        if not nodes.splits_channels(node) or not _is_sum_of_convolutions(total):
            return False
        nodes.replace_node(node, [_part(node, total, channels) for channels in nodes.channel_slices(node)])
        return True


def _is_sum_of_convolutions(value: ir.Value) -> bool:
    """Return whether dense convolutions, and sums of them that nothing else reads, compute a value."""
    node = value.producer()
    if node is None or not nodes.read_once(value):
        return False
    if node.op_type == "Add":
        return all(_is_sum_of_convolutions(term) for term in nodes.inputs_of(node))
    return nodes.dense_convolution(value) is not None


def _part(split: ir.Node, value: ir.Value, channels: slice) -> ir.Value:
    """Insert nodes before the split that compute these channels of a sum of convolutions alone."""
    node = value.producer()
    if node is not None and node.op_type == "Add":
        return nodes.insert_before(split, "Add", [_part(split, term, channels) for term in nodes.inputs_of(node)])
    conv = nodes.dense_convolution(value)
    if conv is None:
        raise ValueError(f"{value} is not computed by a convolution")
    name, graph = f"{value.name}_{channels.start}", nodes.graph_of(split)
    image, *constants = nodes.inputs_of(conv)
    parts = [nodes.add_constant(graph, nodes.known_array(each)[channels], name) for each in constants]
    return nodes.insert_before(split, "Conv", [image, *parts], list(conv.attributes.values()))
