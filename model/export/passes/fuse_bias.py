"""Fuse a number that is added to a sum of convolutions, such as the forget bias of an LSTM, with a bias."""

from __future__ import annotations

import onnx_ir as ir

from model.export.passes import nodes


class FuseBias(nodes.NodePass):
    """Add scalars to the bias of a convolution, also where the convolution computes several gates and is split."""

    op_type = "Add"

    def rewrite(self, add: ir.Node) -> bool:
        """See `NodePass.rewrite`."""
        for value, other in (tuple(add.inputs), tuple(reversed(add.inputs))):
            number = nodes.constant_array(other)
            if value is None or number is None or number.size != 1:
                continue
            found = _convolution_of(value)
            if found is None:
                continue
            conv, channels = found
            weights, bias = nodes.weights_of(conv)
            bias[channels] += float(number.reshape(()))
            nodes.set_weights(conv, weights, bias)
            nodes.bypass(add, value)
            return True
        return False


def _convolution_of(value: ir.Value) -> tuple[ir.Node, slice] | None:
    """Find a convolution whose bias reaches a value alone, through sums and splits; and the channels of that value."""
    node = value.producer()
    if node is None or not nodes.read_once(value):
        return None
    if node.op_type == "Add":
        return next((found for term in node.inputs if term is not None and (found := _convolution_of(term))), None)
    if nodes.splits_channels(node) and node.inputs[0] is not None:
        whole = _convolution_of(node.inputs[0])
        channels = nodes.channel_slices(node)[value.index() or 0]
        if whole is None or whole[1] != slice(None):
            return None
        return whole[0], channels
    conv = nodes.dense_convolution(value)
    return None if conv is None else (conv, slice(None))
