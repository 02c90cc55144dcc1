"""Write the ONNX graphs of a network: float32, int8 for CPUs, float16 for GPUs, each by one list of passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import (
    CheckerPass,
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from model.export.calibrate import CalibrationSample
from model.export.int8 import CHANGE_LIMIT, Calibration, calibrate
from model.export.passes.channels_last import ChannelsLast
from model.export.passes.fp16 import FLOAT32_OPERATORS, ConvertToFloat16
from model.export.passes.fuse_batch_norm import FuseBatchNorm
from model.export.passes.fuse_bias import FuseBias
from model.export.passes.fuse_embedding import FuseEmbedding
from model.export.passes.fuse_scale import FuseScale
from model.export.passes.merge_convolutions import MergeConvolutions
from model.export.passes.quantize import QuantizeConvolutions
from model.export.passes.split_gates import SplitGates
from model.export.passes.symbolic_shapes import SymbolicShapes
from model.export.trace import TracedNetwork
from model.runtime.graph_session import CHANNELS_LAST

Passes = Sequence[ir.passes.PassBase]


FUSE_PASSES: Final[Passes] = (
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    IdentityEliminationPass(),  # the exporter writes equal weights once, and copies them
    FuseEmbedding(),
    FuseBias(),
    FuseBatchNorm(),
    FuseScale(),
)
"""The first passes of every variant."""


def float32_passes(traced: TracedNetwork) -> Passes:
    """Return the passes of the float32 graph."""
    return (
        *FUSE_PASSES,
        SplitGates(),
        RemoveUnusedNodesPass(),
        SymbolicShapes(traced.strides, traced.frames),
        CheckerPass(full_check=True),
    )


def float16_passes(traced: TracedNetwork) -> Passes:
    """Return the passes of the float16 graph."""
    return (
        *float32_passes(traced),
        ShapeInferencePass(check_type=False, strict_mode=False),
        ConvertToFloat16(),
        RemoveUnusedNodesPass(),
        CheckerPass(full_check=True),
    )


def merge_passes(traced: TracedNetwork) -> Passes:
    """Return the passes before the calibration of an int8 graph, which is still float32."""
    return (
        *FUSE_PASSES,
        RemoveUnusedNodesPass(),
        SymbolicShapes(traced.strides, traced.frames),
        MergeConvolutions(),
        RemoveUnusedNodesPass(),
    )


def int8_passes(calibration: Calibration) -> Passes:
    """Return the passes after the calibration."""
    return (
        QuantizeConvolutions(calibration.ranges, calibration.quantized),
        RemoveUnusedNodesPass(),
        ShapeInferencePass(check_type=False, strict_mode=False),
        ChannelsLast(),
        RemoveUnusedNodesPass(),
        CheckerPass(full_check=True),
    )


def export_float32(traced: TracedNetwork, path: Path) -> None:
    """Write the float32 graph of a network."""
    ir.save(_apply(float32_passes(traced), traced.model.clone()), path)


def export_float16(traced: TracedNetwork, path: Path) -> tuple[str, ...]:
    """Write the float16 graph of a network, and return the operators that stay float32.

    Inputs, outputs and metadata are those of the float32 graph, but the states are float16, and the metadata name these
    operators.
    """
    model = _apply(float16_passes(traced), traced.model.clone())
    ir.save(model, path)
    return tuple(filter(None, model.metadata_props[FLOAT32_OPERATORS].split(",")))


def export_int8(
    traced: TracedNetwork, path: Path, samples: Sequence[CalibrationSample], *, change_limit: float = CHANGE_LIMIT
) -> Calibration:
    """Write the int8 graph of a network.

    Inputs, outputs and metadata are those of the float32 graph, but the states have their channels last, and the
    metadata name that layout and the convolutions that stay float32.

    Parameters
    ----------
    traced
        The network.
    path
        File to write.
    samples
        Forecasts to calibrate on.
    change_limit
        Highest change of these forecasts (see `Calibration`) with every convolution in 8 bits.
    """
    model = _apply(merge_passes(traced), traced.model.clone())
    calibration = calibrate(model, samples, change_limit)
    model = _apply(int8_passes(calibration), model)
    model.metadata_props["float32_layers"] = ",".join(calibration.sensitive)
    model.metadata_props["state_layout"] = CHANNELS_LAST
    ir.save(model, path)
    return calibration


def _apply(passes: Passes, model: ir.Model) -> ir.Model:
    return ir.passes.Sequential(*passes)(model).model
