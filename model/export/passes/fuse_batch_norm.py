"""Fuse a batch norm with the 1 x 1 convolution that reads it.

onnxscript fuses a batch norm with the convolution before it; in gated attention (TAU, SimVP) the norm comes first. A
larger kernel has zero padding, which the shift of the norm must not reach: that norm stays.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from model.export.passes.graph import (
    inputs_of,
    is_dense_convolution,
    known_array,
    nodes_of_type,
    read_once,
    set_weights,
    weights_of,
)

EPSILON = 1e-5
"""Default of ONNX's BatchNormalization."""


class FuseBatchNorm(ir.passes.InPlacePass):
    """Make a batch norm part of the one 1 x 1 convolution that reads it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        fused = [_fuse(norm) for norm in nodes_of_type(model.graph, "BatchNormalization")]
        return ir.passes.PassResult(model, any(fused))


def _fuse(norm: ir.Node) -> bool:
    output = norm.outputs[0]
    if not read_once(output):
        return False
    ((conv, index),) = output.uses()
    if index != 0 or not is_dense_convolution(conv) or weights_of(conv)[0].shape[2:] != (1, 1):
        return False
    scale, shift, mean, variance = (known_array(value).astype(np.float64) for value in norm.inputs[1:])
    gain = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", EPSILON))
    weights, bias = weights_of(conv)
    set_weights(conv, weights * gain[None, :, None, None], bias + weights[:, :, 0, 0] @ (shift - mean * gain))
    conv.replace_input_with(0, inputs_of(norm)[0])
    return True
