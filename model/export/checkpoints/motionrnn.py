"""thuml/MotionRNN: MotionRNN around PredRNN. Its files are {"net_param": state dict}.

One difference that no weight can carry: it starts every sequence from random states (ours: zero). Its warps are
ours. Flows lie rows first and columns last there, as (x, y) of each flow here. Its gate keeps the warped H where ours
keeps the unwarped one, so its weights change sign.
"""

from __future__ import annotations

from model.export.checkpoints.layout import Plan, Table, Theirs, Weights, one, patches
from model.export.checkpoints.predrnn_pytorch import ENDS, ST_LSTM, of_patches
from model.nets.motion_gru import FLOWS
from model.nets.stack import StackConfig

ROWS_COLUMNS = [place for flow in range(FLOWS) for place in (FLOWS + flow, flow)]
"""Our flow channels (x, y, x, y, ...) in theirs (rows of all flows, columns of all flows)."""


def flow_gate(weights: Weights) -> Weights:
    """A gate of the MotionGRU, which reads features and flows and answers flows."""
    features = weights.weight.shape[1] - 2 * FLOWS
    order = [*range(features), *(features + place for place in ROWS_COLUMNS)]
    return weights.inputs(order).outputs(ROWS_COLUMNS)


def negated(weights: Weights) -> Weights:
    """1 - sigmoid(x) is sigmoid(-x)."""
    return weights.map(lambda rows: -rows)


def neighbourhood(weights: Weights) -> Weights:
    """A 3 x 3 convolution of stride 3 over the 9 warped images, which they lay out as squares: 1 x 1 over channels."""
    return Weights(weight=weights.weight.flatten(1)[:, :, None, None], bias=weights.bias)


def motion(layer: int) -> Table:
    """The MotionGRU after a layer."""
    return {
        "encode": one(f"enc_list.{layer}"),
        "update": one(f"motion_list.{layer}.update", flow_gate),
        "reset": one(f"motion_list.{layer}.reset", flow_gate),
        "candidate": one(f"motion_list.{layer}.output", flow_gate),
        "mask": one(f"motion_list.{layer}.warp.warp_gate"),
        "merge": one(f"motion_list.{layer}.warp.conv", neighbourhood),
        "decode": one(f"dec_list.{layer}"),
        "gate": one(f"gate_list.{layer}", negated),
    }


def plan(theirs: Theirs, network: str, channels: int | None) -> Plan:
    """The configuration and the tables that the tensors ask for."""
    layers = theirs.count("cell_list.{}")
    channels, patch = patches(theirs.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=theirs.size("cell_list.0.conv_last.weight", 0),
        scales=(1,) * layers,
        kernel=theirs.size("cell_list.0.conv_h.0.weight", 2),
        patch=patch,
        bias=False,
        layer_norm=theirs.has("cell_list.0.conv_h.1.weight"),
        motion=True,
    )
    return Plan(
        network="motionrnn",
        net=net,
        channels=channels,
        tables=[
            ("", "", {**ENDS, "highway_start": one("conv_first_v")}),
            *((f"cells.{layer}.cell.", f"cell_list.{layer}.", ST_LSTM) for layer in range(layers)),
            *((f"cells.{layer}.motion.", "", motion(layer)) for layer in range(layers - 1)),
        ],
        changes=of_patches(channels, patch, "cells.0.cell.from_x", "highway_start"),
        remarks=[
            "the published code starts every sequence from random states, so that no two runs of it agree; here states "
            "start from zero, their mean"
        ],
    )
