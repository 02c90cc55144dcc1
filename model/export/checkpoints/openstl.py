"""chengtan9907/OpenSTL: ConvLSTM, PredRNN, PredRNN++, MIM, PredRNN-V2, SimVP (IncepU and gSTA) and TAU.

Its files are Lightning checkpoints, {"state_dict": {"model.KEY": ...}}, or state dicts. Recurrent networks have no
biases; layer norms, and the peepholes of MIM, have weights per pixel.
"""

from __future__ import annotations

from dataclasses import replace

from model.core.errors import InputError
from model.export.checkpoints import predrnn_pytorch
from model.export.checkpoints.layout import (
    PerChannel,
    Plan,
    Row,
    Same,
    Stacked,
    Table,
    Theirs,
    conv,
    gates,
    one,
    patches,
)
from model.export.checkpoints.predrnn_pytorch import ENDS, ST_LSTM, of_patches
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig

CONV_LSTM: Table = {
    "from_x": gates("g i f o", conv("conv_x", "i f g o")),
    "from_h": gates("g i f o", conv("conv_h", "i f g o")),
}

CAUSAL_LSTM: Table = {
    "from_x": gates("g i f g' i' f' o", conv("conv_x", "i f g i' f' g' o")),
    "from_h": gates("g i f o", conv("conv_h", "i f g o")),
    "from_c": gates("g i f", conv("conv_c", "i f g")),
    "from_m": gates("i' f' M", conv("conv_m", "i' f' M")),
    "from_new_c": gates("g' i' f' o", conv("conv_c2m", "i' g' f' o")),
    "from_new_m": one("conv_om"),
    "merge": one("conv_last"),
}

GRADIENT_HIGHWAY: Table = {"from_x": one("x_concat"), "from_z": one("z_concat")}  # p s


def memory_unit(ours: str) -> Table:
    """MIM-N or MIM-S."""
    return {
        f"{ours}from_x": gates("g i f o", conv("conv_x_concat", "i g f o")),
        f"{ours}from_r": gates("g i f o", conv("conv_h_concat", "i g f o")),
        f"{ours}peephole": Stacked(keys=("ct_weight", "oc_weight")),  # i f, o
    }


MIM_BLOCK: Table = {
    "from_x": gates("g i f' o", conv("conv_x_cc", "i g f' o")),
    "from_h": gates("g i o", conv("conv_t_cc", "i g o")),
    "from_m": gates("g' i' f' o", conv("conv_s_cc", "i' g' f' o")),
    "merge": one("conv_last"),
    **memory_unit("stationary."),
}

MIM_N: Table = memory_unit("non_stationary.")

INCEPTION: Table = {
    "reduce": Same(key="conv1"),
    **{f"branches.{branch}.0": Same(key=f"layers.{branch}.conv") for branch in range(4)},
    **{f"branches.{branch}.1": Same(key=f"layers.{branch}.norm") for branch in range(4)},
}


def attention(kernel: str) -> Table:
    """A block of gSTA or TAU; `kernel`: where ours has the large kernel."""
    return {
        "norm": Same(key="block.norm1"),
        "mlp_norm": Same(key="block.norm2"),
        "attend.0": Same(key="block.attn.proj_1"),
        f"attend.2.{kernel}.near": Same(key="block.attn.spatial_gating_unit.conv0"),
        f"attend.2.{kernel}.far": Same(key="block.attn.spatial_gating_unit.conv_spatial"),
        f"attend.2.{kernel}.mix": Same(key="block.attn.spatial_gating_unit.conv1"),
        "attend.3": Same(key="block.attn.proj_2"),
        "scale": PerChannel(key="block.layer_scale_1"),
        "mlp_scale": PerChannel(key="block.layer_scale_2"),
        "mlp.0": Same(key="block.mlp.fc1"),
        "mlp.1": Same(key="block.mlp.dwconv.dwconv"),
        "mlp.3": Same(key="block.mlp.fc2"),
    }


GSTA: Table = attention("kernel")
TAU: Table = {
    **attention("statical"),
    "attend.2.dynamical.0": Same(key="block.attn.spatial_gating_unit.fc.0"),
    "attend.2.dynamical.2": Same(key="block.attn.spatial_gating_unit.fc.2"),
}
NARROWER: Table = {"reduce": Same(key="reduction")}


def plan(theirs: Theirs, network: str, channels: int | None) -> Plan:
    """The configuration and the tables that the tensors ask for."""
    if theirs.count("enc.enc.{}"):
        return _simvp(theirs)
    if theirs.count("stlstm_layer.{}"):
        return _mim(theirs, channels)
    if theirs.has("gradient_highway.z_concat.0.weight"):
        return _predrnn_pp(theirs, channels)
    if theirs.size("cell_list.0.conv_x.0.weight", 0) == 4 * theirs.size("cell_list.0.conv_last.weight", 0):
        return _convlstm(theirs, channels)
    return predrnn_pytorch.plan(theirs, network, channels)


def _four_layers(theirs: Theirs, cells: str, channels: int | None) -> tuple[StackConfig, int]:
    """What all its recurrent networks share, with an ST-LSTM for the cell; and image channels."""
    channels, patch = patches(theirs.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=theirs.size(f"{cells}.0.conv_last.weight", 0),
        scales=(1,) * theirs.count(f"{cells}.{{}}"),
        kernel=theirs.size(f"{cells}.0.conv_h.0.weight", 2),
        patch=patch,
        bias=False,
        layer_norm=theirs.has(f"{cells}.0.conv_h.1.weight"),
    )
    return net, channels


def _convlstm(theirs: Theirs, channels: int | None) -> Plan:
    net, channels = _four_layers(theirs, "cell_list", channels)
    return Plan(
        network="convlstm",
        net=replace(net, cell="conv-lstm", forget_bias=0.0),
        channels=channels,
        tables=[
            ("", "", ENDS),
            *((f"cells.{layer}.", f"cell_list.{layer}.", CONV_LSTM) for layer in range(len(net.scales))),
        ],
        unused=[r"cell_list\.\d+\.conv_(o|last)\."],
        changes=of_patches(channels, net.patch, "cells.0.from_x"),
    )


def _predrnn_pp(theirs: Theirs, channels: int | None) -> Plan:
    net, channels = _four_layers(theirs, "cell_list", channels)
    if net.layer_norm:
        raise InputError(
            "the layer norms of its gradient highway do not fit its gates: OpenSTL itself cannot run it",
            hint="Import a PredRNN++ that was trained with layer_norm 0",
        )
    return Plan(
        network="predrnn-pp",
        net=replace(net, cell="causal-lstm", gradient_highway=True),
        channels=channels,
        tables=[
            ("", "", ENDS),
            ("highway_unit.", "gradient_highway.", GRADIENT_HIGHWAY),
            *((f"cells.{layer}.", f"cell_list.{layer}.", CAUSAL_LSTM) for layer in range(len(net.scales))),
        ],
        unused=[r"cell_list\.\d+\.conv_o\."],
        changes=of_patches(channels, net.patch, "cells.0.from_x"),
    )


def _mim(theirs: Theirs, channels: int | None) -> Plan:
    net, channels = _four_layers(theirs, "stlstm_layer", channels)
    above = range(1, len(net.scales))
    return Plan(
        network="mim",
        net=replace(net, cell="mim"),
        channels=channels,
        tables=[
            ("", "", ENDS),
            ("cells.0.", "stlstm_layer.0.", ST_LSTM),
            *((f"cells.{layer}.", f"stlstm_layer.{layer}.", MIM_BLOCK) for layer in above),
            *((f"cells.{layer}.", f"stlstm_layer_diff.{layer - 1}.", MIM_N) for layer in above),
        ],
        unused=[r"stlstm_layer_diff\.\d+\.conv_last\."],
        changes=of_patches(channels, net.patch, "cells.0.from_x"),
        remarks=[
            "the published code keeps a memory of MIM from one sequence for the next; here every sequence starts from "
            "zero, as the first one does there"
        ],
    )


def _simvp(theirs: Theirs) -> Plan:
    attends = theirs.has("hid.enc.0.block.attn.proj_1.weight")
    squeezes = theirs.has("hid.enc.0.block.attn.spatial_gating_unit.fc.0.weight")
    name, block = ("tau", TAU) if squeezes else ("simvp-gsta", GSTA)
    layers, blocks = theirs.count("enc.enc.{}"), theirs.count("hid.enc.{}")
    hidden = theirs.size("dec.readout.weight", 1)
    if attends:
        together = theirs.size("hid.enc.0.block.norm1.weight", 0)
        wide = theirs.size("hid.enc.1.block.norm1.weight", 0)
        changes = [together != wide and index in (0, blocks - 1) for index in range(blocks)]
        tables = [
            (f"translator.{index}.", f"hid.enc.{index}.", {**block, **NARROWER} if changed else block)
            for index, changed in enumerate(changes)
        ]
    else:
        name = "simvp-incepu"
        together = theirs.size("hid.enc.0.conv1.weight", 1)
        wide = theirs.size("hid.enc.0.layers.0.conv.weight", 0)
        ways = [("translator.down", "hid.enc"), ("translator.up", "hid.dec")]
        tables = [(f"{ours}.{i}.", f"{their}.{i}.", INCEPTION) for ours, their in ways for i in range(blocks)]
    net = SimVPConfig(
        translator=name.removeprefix("simvp-"),  # type: ignore[arg-type]
        frames=together // max(hidden, 1),
        hidden=hidden,
        translator_hidden=wide,
        layers=layers,
        translator_layers=blocks,
        mlp_ratio=theirs.size("hid.enc.0.block.mlp.fc1.weight", 0) / max(together, 1) if attends else 8.0,
        kernel=theirs.size("enc.enc.0.conv.conv.weight", 2),
    )
    return Plan(
        network=name,
        net=net,
        channels=theirs.size("dec.readout.weight", 0),
        tables=[("", "", {"output": Same(key="dec.readout")}), *_frames(layers), *tables],
    )


def _frames(layers: int) -> list[tuple[str, str, Table]]:
    """Encoder and decoder; a layer that doubles the resolution has its convolution before a shuffle, in a sequence."""
    tables: list[tuple[str, str, Table]] = []
    for layer in range(layers):
        ups = (layers - 1 - layer) % 2 == 1
        encoder: dict[str, Row] = {"0": Same(key="conv.conv"), "1": Same(key="conv.norm")}
        shuffled: dict[str, Row] = {"0": Same(key="conv.conv.0"), "2": Same(key="conv.norm")}
        tables.append((f"encoder.{layer}.", f"enc.enc.{layer}.", encoder))
        tables.append((f"decoder.{layer}.", f"dec.dec.{layer}.", shuffled if ups else encoder))
    return tables
