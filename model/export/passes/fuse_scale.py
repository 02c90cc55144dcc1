"""Fuse a factor for each channel of a convolution's output, such as a layer scale, with the weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from model.export.passes.graph import (
    bypass,
    constant_array,
    dense_convolution,
    nodes_of_type,
    read_once,
    set_weights,
    weights_of,
)


class FuseScale(ir.passes.InPlacePass):
    """Multiply the weights of a convolution by the scalar, or the factors [c, 1, 1], after it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        fused = [_fuse(product) for product in nodes_of_type(model.graph, "Mul")]
        return ir.passes.PassResult(model, any(fused))


def _fuse(product: ir.Node) -> bool:
    for value, other in (tuple(product.inputs), tuple(reversed(product.inputs))):
        conv, factor = dense_convolution(value), constant_array(other)
        if value is None or conv is None or factor is None or not read_once(value):
            continue
        weights, bias = weights_of(conv)
        if factor.shape not in ((len(bias), 1, 1), ()):
            continue
        by_channel = np.broadcast_to(factor.astype(np.float64).reshape(-1), bias.shape)
        set_weights(conv, weights * by_channel[:, None, None, None], bias * by_channel)
        bypass(product, value)
        return True
    return False
