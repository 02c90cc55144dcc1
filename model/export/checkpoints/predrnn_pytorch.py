"""thuml/predrnn-pytorch: PredRNN, PredRNN-V2, and both conditioned on actions.

Its files are {"net_param": state dict}. Convolutions have no biases, but those of conditioned cells; forget bias 1.
"""

from __future__ import annotations

from model.export.checkpoints.layout import Change, Plan, Table, Theirs, conv, from_patches, gates, one, patches
from model.nets.stack import StackConfig

ST_LSTM: Table = {
    "from_x": gates("g i f g' i' f' o", conv("conv_x", "i f g i' f' g' o")),
    "from_h": gates("g i f o", conv("conv_h", "i f g o")),
    "from_m": gates("g' i' f'", conv("conv_m", "i' f' g'")),
    "from_memories": one("conv_o"),
    "merge": one("conv_last"),
}

CONDITIONED: Table = {**ST_LSTM, "from_action": gates("g i f o", conv("conv_a", "i f g o"))}

ENDS: Table = {"embedding.output": one("conv_last")}

STRIDED_ENDS: Table = {
    "embedding.embed.0": one("conv_input1"),
    "embedding.embed.1": one("conv_input2"),
    "action.embed.0": one("action_conv_input1"),
    "action.embed.1": one("action_conv_input2"),
    "embedding.output.0": one("deconv_output1"),
    "embedding.output.1": one("deconv_output2"),
}

ADAPTER: Table = {"decouple": one("adapter")}


def plan(theirs: Theirs, network: str, channels: int | None) -> Plan:
    """The configuration and the tables that the tensors ask for."""
    layers = theirs.count("cell_list.{}")
    conditioned = theirs.has("conv_input1.weight")
    decoupled = theirs.has("adapter.weight")
    patch = 1
    if conditioned:  # their way of patching mixes frames and actions, so that only patch 1 works there
        channels = theirs.size("conv_input1.weight", 1)
    else:
        channels, patch = patches(theirs.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=theirs.size("cell_list.0.conv_last.weight", 0),
        scales=(1,) * layers,
        kernel=theirs.size("cell_list.0.conv_h.0.weight", 2),
        patch=patch,
        embed="strided" if conditioned else "none",
        embed_skips=conditioned,  # res_on_conv, which no tensor tells of: both of their scripts have it
        decoupled=decoupled,
        bias=theirs.has("cell_list.0.conv_last.bias"),
        layer_norm=theirs.has("cell_list.0.conv_h.1.weight"),
    )
    return Plan(
        network=f"{'action-' if conditioned else ''}predrnn{'-v2' if decoupled else ''}",
        net=net,
        channels=channels,
        fields=theirs.size("action_conv_input1.weight", 1),
        tables=[
            ("", "", STRIDED_ENDS if conditioned else ENDS),
            ("", "", ADAPTER if decoupled else {}),
            *(
                (f"cells.{layer}.", f"cell_list.{layer}.", CONDITIONED if conditioned else ST_LSTM)
                for layer in range(layers)
            ),
        ],
        changes={} if conditioned else of_patches(channels, patch, "cells.0.from_x"),
        remarks=["taken as trained with res_on_conv 1, of which no tensor tells"] if conditioned else [],
    )


def of_patches(channels: int, patch: int, *readers: str) -> dict[str, Change]:
    """Of modules that read patches of frames, and of the output: the order of planes, which differs for several
    channels."""
    order = from_patches(channels, patch)
    return {
        "embedding.output": lambda weights: weights.outputs(order),
        **{reader: lambda weights: weights.inputs(order) for reader in readers},
    }
