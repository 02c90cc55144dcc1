"""thuml/predrnn-pytorch: PredRNN, PredRNN-V2, and both conditioned on actions.

Files are {"net_param": state dict}. Only convolutions of conditioned cells have biases; the forget bias is 1.
"""

from __future__ import annotations

from model.export.checkpoints.layout import (
    ConversionPlan,
    SourceState,
    Table,
    conv,
    gates,
    patch_order,
    patch_shape,
    same_gates,
)
from model.nets.stack import StackConfig

ST_LSTM: Table = {
    "from_x": gates("g i f g' i' f' o", conv("conv_x", "i f g i' f' g' o")),
    "from_h": gates("g i f o", conv("conv_h", "i f g o")),
    "from_m": gates("g' i' f'", conv("conv_m", "i' f' g'")),
    "from_memories": same_gates("conv_o"),
    "merge": same_gates("conv_last"),
}

CONDITIONED: Table = {**ST_LSTM, "from_action": gates("g i f o", conv("conv_a", "i f g o"))}

EMBEDDING: Table = {"embedding.output": same_gates("conv_last")}

STRIDED_EMBEDDING: Table = {
    "embedding.embed.0": same_gates("conv_input1"),
    "embedding.embed.1": same_gates("conv_input2"),
    "action.embed.0": same_gates("action_conv_input1"),
    "action.embed.1": same_gates("action_conv_input2"),
    "embedding.output.0": same_gates("deconv_output1"),
    "embedding.output.1": same_gates("deconv_output2"),
}

ADAPTER: Table = {"decouple": same_gates("adapter")}


def plan(source: SourceState, network: str, channels: int | None) -> ConversionPlan:
    """Return the conversion of a state dict, as its keys and shapes imply."""
    layers = source.count("cell_list.{}")
    conditioned = source.has("conv_input1.weight")
    decoupled = source.has("adapter.weight")
    patch = 1
    if conditioned:  # its patching mixes frames and actions, so that only patch 1 works there
        channels = source.size("conv_input1.weight", 1)
    else:
        channels, patch = patch_shape(source.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=source.size("cell_list.0.conv_last.weight", 0),
        scales=(1,) * layers,
        kernel=source.size("cell_list.0.conv_h.0.weight", 2),
        patch=patch,
        embed="strided" if conditioned else "none",
        embed_skips=conditioned,  # res_on_conv, which no tensor shows: both scripts of the repository set it
        decoupled=decoupled,
        bias=source.has("cell_list.0.conv_last.bias"),
        layer_norm=source.has("cell_list.0.conv_h.1.weight"),
    )
    cell = CONDITIONED if conditioned else ST_LSTM
    return ConversionPlan(
        network=f"{'action-' if conditioned else ''}predrnn{'-v2' if decoupled else ''}",
        net=net,
        channels=channels,
        fields=source.size("action_conv_input1.weight", 1),
        tables=[
            ("", "", STRIDED_EMBEDDING if conditioned else EMBEDDING),
            ("", "", ADAPTER if decoupled else {}),
            *((f"cells.{layer}.", f"cell_list.{layer}.", cell) for layer in range(layers)),
        ],
        transforms={} if conditioned else patch_order(channels, patch, "cells.0.from_x"),
        remarks=["assumed to be trained with res_on_conv 1, which no tensor confirms"] if conditioned else [],
    )
