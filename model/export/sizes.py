"""The size of every image in a graph, in names for what is free.

ONNX Runtime adds the answers of convolutions within the convolutions, but only where it knows that they are of one
size; what it finds out by itself ends at the first reshape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import NamedTuple

import onnx
from onnx import TensorShapeProto, helper, shape_inference


class Sizes(NamedTuple):
    """Numbers in the place of what is free, to see by which of them a tensor's size goes: primes times the stride."""

    batch: int
    height: int
    width: int


EXAMPLES = (Sizes(11, 13, 17), Sizes(19, 23, 29))
"""Two, so that nothing is taken for what it is by chance."""


def with_sizes(model: onnx.ModelProto, strides: Mapping[str, int], frames: int = 1) -> onnx.ModelProto:
    """Every image in the graph says its size: `height_S` and `width_S` where a pixel is S of a frame's.

    `strides`: of each input and output that is an image, [b, c, y, x] or [b, t, c, y, x], whose b, y and x are free.
    `frames`: t, where a graph has it.
    """
    coarsest = max(strides.values())
    found = [_inferred(model, strides, sizes, coarsest) for sizes in EXAMPLES]
    factors = [factor for factor in range(1, coarsest + 1) if coarsest % factor == 0]
    named = [
        {
            "batch": sizes.batch,
            "batch_frames": sizes.batch * frames,
            **{f"height_{factor}": sizes.height * coarsest // factor for factor in factors},
            **{f"width_{factor}": sizes.width * coarsest // factor for factor in factors},
        }
        for sizes in EXAMPLES
    ]
    del model.graph.value_info[:]
    for name, shape in found[0].items():
        if len(shape) != 4:
            continue
        pairs = zip(shape, found[1].get(name, ()), strict=False)
        axes = [_axis(pair, named) for pair in pairs]
        if len(axes) == len(shape):
            model.graph.value_info.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes))
    return model


def _axis(pair: tuple[int | None, int | None], named: Sequence[Mapping[str, int]]) -> int | str | None:
    """A size that both examples agree on; the name of the free one that it goes by; None where neither."""
    if pair[0] == pair[1]:
        return pair[0]
    return next((name for name in named[0] if pair == (named[0][name], named[1][name])), None)


def _inferred(
    model: onnx.ModelProto, strides: Mapping[str, int], sizes: Sizes, coarsest: int
) -> dict[str, list[int | None]]:
    """Sizes of all tensors of numbers between inputs and outputs, for frames of this size."""
    example = deepcopy(model)
    del example.graph.value_info[:]
    for item in example.graph.output:
        item.type.tensor_type.ClearField("shape")
    for item in example.graph.input:
        axes = item.type.tensor_type.shape.dim
        axes[0].dim_value = sizes.batch
        if item.name in strides:
            axes[-2].dim_value = sizes.height * coarsest // strides[item.name]
            axes[-1].dim_value = sizes.width * coarsest // strides[item.name]
    inferred = shape_inference.infer_shapes(example, data_prop=True)
    return {
        item.name: [_size(axis) for axis in item.type.tensor_type.shape.dim]
        for item in inferred.graph.value_info
        if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _size(axis: TensorShapeProto.Dimension) -> int | None:
    return int(axis.dim_value) if axis.HasField("dim_value") else None
