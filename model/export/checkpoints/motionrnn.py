"""thuml/MotionRNN: MotionRNN around PredRNN. Files are {"net_param": state dict}.

The warps are those of `model.nets.warp`. Three things differ: the official code starts every sequence from random
states, here they are zero, which no weight can express; flow channels there are the rows of all flows, then the
columns, here (x, y) of each flow; the output gate there weighs the warped H, here the unwarped one, so that the weights
change sign.
"""

from __future__ import annotations

from model.export.checkpoints.layout import (
    ConversionPlan,
    ConvWeights,
    SourceState,
    Table,
    patch_order,
    patch_shape,
    same_gates,
)
from model.export.checkpoints.predrnn_pytorch import EMBEDDING, ST_LSTM
from model.nets.motion_gru import FLOWS
from model.nets.stack import StackConfig

ROWS_COLUMNS = [place for flow in range(FLOWS) for place in (FLOWS + flow, flow)]
"""Source channels (rows of all flows, columns of all flows) in target order (x, y, x, y, ...)."""


def reorder_flows(weights: ConvWeights) -> ConvWeights:
    """Reorder the flow channels of a gate of the MotionGRU, which reads features and flows and returns flows."""
    features = weights.weight.shape[1] - 2 * FLOWS
    order = [*range(features), *(features + place for place in ROWS_COLUMNS)]
    return weights.permute_inputs(order).permute_outputs(ROWS_COLUMNS)


def negate(weights: ConvWeights) -> ConvWeights:
    """Negate the weights: 1 - sigmoid(x) is sigmoid(-x)."""
    return weights.map(lambda rows: -rows)


def flatten_neighbourhood(weights: ConvWeights) -> ConvWeights:
    """Make a 3 x 3 convolution of stride 3 over squares of the 9 warped images a 1 x 1 convolution over channels."""
    return ConvWeights(weight=weights.weight.flatten(1)[:, :, None, None], bias=weights.bias)


def motion(layer: int) -> Table:
    """Return the table of the MotionGRU after a layer."""
    return {
        "encode": same_gates(f"enc_list.{layer}"),
        "update": same_gates(f"motion_list.{layer}.update", reorder_flows),
        "reset": same_gates(f"motion_list.{layer}.reset", reorder_flows),
        "candidate": same_gates(f"motion_list.{layer}.output", reorder_flows),
        "mask": same_gates(f"motion_list.{layer}.warp.warp_gate"),
        "merge": same_gates(f"motion_list.{layer}.warp.conv", flatten_neighbourhood),
        "decode": same_gates(f"dec_list.{layer}"),
        "gate": same_gates(f"gate_list.{layer}", negate),
    }


def plan(source: SourceState, network: str, channels: int | None) -> ConversionPlan:
    """Return the conversion of a state dict, as its keys and shapes imply."""
    layers = source.count("cell_list.{}")
    channels, patch = patch_shape(source.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=source.size("cell_list.0.conv_last.weight", 0),
        scales=(1,) * layers,
        kernel=source.size("cell_list.0.conv_h.0.weight", 2),
        patch=patch,
        bias=False,
        layer_norm=source.has("cell_list.0.conv_h.1.weight"),
        motion=True,
    )
    return ConversionPlan(
        network="motionrnn",
        net=net,
        channels=channels,
        tables=[
            ("", "", {**EMBEDDING, "highway_start": same_gates("conv_first_v")}),
            *((f"cells.{layer}.cell.", f"cell_list.{layer}.", ST_LSTM) for layer in range(layers)),
            *((f"cells.{layer}.motion.", "", motion(layer)) for layer in range(layers - 1)),
        ],
        transforms=patch_order(channels, patch, "cells.0.cell.from_x", "highway_start"),
        remarks=[
            "the published code starts every sequence from random states, so that no two runs agree; here states start "
            "from zero, the mean of those states"
        ],
    )
