"""Fuse a 1 x 1 convolution that embeds few planes into many channels with the convolutions that read it.

The composed convolutions read the few planes instead of the many channels, which saves most of the multiply-adds. The
bias of the embedding acts on every pixel of the image, but not on the zero padding of the convolutions that follow: a
plane of ones beside the image carries the bias, and is zero in the padding too.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from model.export.passes import nodes


class FuseEmbedding(nodes.NodePass):
    """Compose 1 x 1 convolutions to more channels than they read with the dense convolutions after them."""

    op_type = "Conv"

    def rewrite(self, embedding: ir.Node) -> bool:
        """See `NodePass.rewrite`."""
        if not nodes.is_dense_convolution(embedding) or not _acts_on_single_pixels(embedding):
            return False
        weights, bias = nodes.weights_of(embedding)
        outputs, inputs = weights.shape[:2]
        readers = [node for node in embedding.outputs[0].consumers() if nodes.is_dense_convolution(node)]
        if not readers or inputs + 1 >= outputs:
            return False
        readers.sort(key=list(nodes.graph_of(embedding)).index)
        planes = _with_plane_of_ones(readers[0], nodes.inputs_of(embedding)[0])
        composed = np.concatenate([weights[:, :, 0, 0], bias[:, None]], axis=1)
        for conv in readers:
            kernels, own_bias = nodes.weights_of(conv)
            nodes.set_weights(conv, np.einsum("omyx,mi->oiyx", kernels, composed), own_bias)
            conv.replace_input_with(0, planes)
        return True


def _acts_on_single_pixels(conv: ir.Node) -> bool:
    """Return whether each output pixel of a convolution depends on one input pixel at the same position."""
    return (
        nodes.weights_of(conv)[0].shape[2:] == (1, 1)
        and set(conv.attributes.get_ints("strides", [1])) == {1}
        and not any(conv.attributes.get_ints("pads", []))
    )


def _with_plane_of_ones(point: ir.Node, image: ir.Value) -> ir.Value:
    """Insert nodes before `point` that append a plane of ones to an image [b, c, y, x]."""
    one = nodes.add_constant(nodes.graph_of(point), np.ones(1, np.int64), "one")
    batch = nodes.insert_before(point, "Shape", [image], start=0, end=1)
    sides = nodes.insert_before(point, "Shape", [image], start=2, end=4)
    shape = nodes.insert_before(point, "Concat", [batch, one, sides], axis=0)
    ones = nodes.insert_before(point, "ConstantOfShape", [shape], value=ir.tensor(np.ones(1, np.float32)))
    return nodes.insert_before(point, "Concat", [image, ones], axis=1)
