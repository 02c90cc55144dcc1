"""Fuse a batch norm with the 1 x 1 convolution that reads it.

onnxscript fuses a batch norm with the convolution before it; in gated attention (TAU, SimVP) the norm comes first. A
larger kernel has zero padding, which the shift of the norm must not reach: that norm stays.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from model.export.passes import nodes

EPSILON = 1e-5
"""Default of ONNX's BatchNormalization."""


class FuseBatchNorm(nodes.NodePass):
    """Make a batch norm part of the one 1 x 1 convolution that reads it."""

    op_type = "BatchNormalization"

    def rewrite(self, norm: ir.Node) -> bool:
        """See `NodePass.rewrite`."""
        output = norm.outputs[0]
        if not nodes.read_once(output):
            return False
        ((conv, index),) = output.uses()
        if index != 0 or not nodes.is_dense_convolution(conv) or nodes.weights_of(conv)[0].shape[2:] != (1, 1):
            return False
        scale, shift, mean, variance = (nodes.known_array(value).astype(np.float64) for value in norm.inputs[1:])
        gain = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", EPSILON))
        weights, bias = nodes.weights_of(conv)
        nodes.set_weights(conv, weights * gain[None, :, None, None], bias + weights[:, :, 0, 0] @ (shift - mean * gain))
        conv.replace_input_with(0, nodes.inputs_of(norm)[0])
        return True
