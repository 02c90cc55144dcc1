"""Annotate every image with its shape, in names for the free sizes.

ONNX Runtime adds the outputs of convolutions within a convolution, but only where both have the same shape, symbolic
names included. ONNX's own inference loses the names at the first Reshape; without this pass graphs run at half speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
import onnx_ir as ir
from onnx import TensorShapeProto, shape_inference


class ExampleSizes(NamedTuple):
    """Sizes in place of the free ones, in units of the coarsest stride: primes, which identify their multiples."""

    batch: int
    height: int
    width: int


EXAMPLES = (ExampleSizes(11, 13, 17), ExampleSizes(19, 23, 29))
"""Two, so that no size matches by chance."""


class SymbolicShapes(ir.passes.InPlacePass):
    """Set the shape of every image [b, c, y, x]: `height_S` and `width_S` where a pixel covers S pixels of a frame.

    Parameters
    ----------
    strides
        Stride of each graph input and output that is an image, [b, c, y, x] or [b, t, c, y, x]. Empty for a network
        that is bound to one grid: there plain shape inference finds the sizes.
    frames
        Number of frames t of a recurrent-free graph.
    """

    def __init__(self, strides: Mapping[str, int], frames: int = 1) -> None:
        super().__init__()
        self.strides, self.frames = strides, frames

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """See `onnx_ir.passes.PassBase.call`."""
        proto = ir.to_proto(model)
        if not self.strides:
            shapes = {name: list[int | str | None](shape) for name, shape in _inferred_shapes(proto).items()}
        else:
            coarsest = max(self.strides.values())
            examples = [_inferred_shapes(_with_sizes(proto, self.strides, sizes, coarsest)) for sizes in EXAMPLES]
            names = [_named_sizes(sizes, coarsest, self.frames) for sizes in EXAMPLES]
            shapes = {}
            for name, shape in examples[0].items():
                pairs = zip(shape, examples[1].get(name, ()), strict=False)
                shapes[name] = [_symbolic(pair, names) for pair in pairs]
        for node in model.graph:
            for value in node.outputs:
                found = shapes.get(value.name or "", [])
                if len(found) == 4 and not value.is_graph_output():
                    value.shape = ir.Shape(found)
                    value.type = ir.TensorType(ir.DataType.FLOAT)
        return ir.passes.PassResult(model, bool(shapes))


def _named_sizes(sizes: ExampleSizes, coarsest: int, frames: int) -> dict[str, int]:
    """Return the example size that stands for each name."""
    named = {"batch": sizes.batch, "batch_frames": sizes.batch * frames}
    for factor in (factor for factor in range(1, coarsest + 1) if coarsest % factor == 0):
        named[f"height_{factor}"] = sizes.height * coarsest // factor
        named[f"width_{factor}"] = sizes.width * coarsest // factor
    return named


def _symbolic(pair: tuple[int | None, int | None], names: Sequence[Mapping[str, int]]) -> int | str | None:
    """Return a size that both examples share, or the name of a free size; None where neither fits."""
    if pair[0] == pair[1]:
        return pair[0]
    return next((name for name in names[0] if pair == (names[0][name], names[1][name])), None)


def _with_sizes(
    proto: onnx.ModelProto, strides: Mapping[str, int], sizes: ExampleSizes, coarsest: int
) -> onnx.ModelProto:
    """Return a copy of a model for frames of one size."""
    example = onnx.ModelProto()
    example.CopyFrom(proto)
    del example.graph.value_info[:]
    for item in example.graph.output:
        item.type.tensor_type.ClearField("shape")
    for item in example.graph.input:
        axes = item.type.tensor_type.shape.dim
        axes[0].dim_value = sizes.batch
        if item.name in strides:
            axes[-2].dim_value = sizes.height * coarsest // strides[item.name]
            axes[-1].dim_value = sizes.width * coarsest // strides[item.name]
    return example


def _inferred_shapes(proto: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Return the inferred shapes of the float tensors between inputs and outputs."""
    inferred = shape_inference.infer_shapes(proto, data_prop=True)
    return {
        item.name: [_size(axis) for axis in item.type.tensor_type.shape.dim]
        for item in inferred.graph.value_info
        if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _size(axis: TensorShapeProto.Dimension) -> int | None:
    return int(axis.dim_value) if axis.HasField("dim_value") else None
