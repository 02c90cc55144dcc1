"""Fuse a factor for each channel of a convolution's output, such as a layer scale, with the weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from model.export.passes import nodes


class FuseScale(nodes.NodePass):
    """Multiply the weights of a convolution by the scalar, or the factors [c, 1, 1], after it."""

    op_type = "Mul"

    def rewrite(self, product: ir.Node) -> bool:
        """See `NodePass.rewrite`."""
        for value, other in (tuple(product.inputs), tuple(reversed(product.inputs))):
            conv, factor = nodes.dense_convolution(value), nodes.constant_array(other)
            if value is None or conv is None or factor is None or not nodes.read_once(value):
                continue
            weights, bias = nodes.weights_of(conv)
            if factor.shape not in ((len(bias), 1, 1), ()):
                continue
            by_channel = np.broadcast_to(factor.astype(np.float64).reshape(-1), bias.shape)
            nodes.set_weights(conv, weights * by_channel[:, None, None, None], bias * by_channel)
            nodes.bypass(product, value)
            return True
        return False
