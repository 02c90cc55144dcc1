"""Fuse a number that is added to a sum of convolutions, such as the forget bias of an LSTM, with a bias."""

from __future__ import annotations

import onnx_ir as ir

from model.export.passes.graph import (
    bypass,
    channel_slices,
    constant_array,
    dense_convolution,
    nodes_of_type,
    read_once,
    set_weights,
    splits_channels,
    weights_of,
)


class FuseBias(ir.passes.InPlacePass):
    """Add scalars to the bias of a convolution, also where the convolution computes several gates and is split."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        fused = [_fuse(add) for add in nodes_of_type(model.graph, "Add")]
        return ir.passes.PassResult(model, any(fused))


def _fuse(add: ir.Node) -> bool:
    for value, other in (tuple(add.inputs), tuple(reversed(add.inputs))):
        number = constant_array(other)
        if value is None or number is None or number.size != 1:
            continue
        found = _convolution_of(value)
        if found is None:
            continue
        conv, channels = found
        weights, bias = weights_of(conv)
        bias[channels] += float(number.reshape(()))
        set_weights(conv, weights, bias)
        bypass(add, value)
        return True
    return False


def _convolution_of(value: ir.Value) -> tuple[ir.Node, slice] | None:
    """Find a convolution whose bias reaches a value alone, through sums and splits; and its channels in question."""
    node = value.producer()
    if node is None or not read_once(value):
        return None
    if node.op_type == "Add":
        return next((found for term in node.inputs if term is not None and (found := _convolution_of(term))), None)
    if splits_channels(node) and node.inputs[0] is not None:
        whole = _convolution_of(node.inputs[0])
        channels = channel_slices(node)[value.index() or 0]
        if whole is None or whole[1] != slice(None):
            return None
        return whole[0], channels
    conv = dense_convolution(value)
    return None if conv is None else (conv, slice(None))
