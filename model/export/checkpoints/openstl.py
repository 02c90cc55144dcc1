"""chengtan9907/OpenSTL: ConvLSTM, PredRNN, PredRNN++, MIM, PredRNN-V2, SimVP (IncepU and gSTA) and TAU.

Files are Lightning checkpoints, {"state_dict": {"model.KEY": ...}}, or state dicts. Recurrent networks have no biases;
layer norms, and the peepholes of MIM, have weights per pixel.
"""

from __future__ import annotations

from dataclasses import replace

from model.core.errors import InputError
from model.export.checkpoints import predrnn_pytorch
from model.export.checkpoints.layout import (
    ConversionPlan,
    ParameterRule,
    Rule,
    SourceState,
    Table,
    conv,
    copied,
    gates,
    patch_order,
    patch_shape,
    same_gates,
)
from model.export.checkpoints.predrnn_pytorch import EMBEDDING, ST_LSTM
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
    "from_new_m": same_gates("conv_om"),
    "merge": same_gates("conv_last"),
}

GRADIENT_HIGHWAY: Table = {"from_x": same_gates("x_concat"), "from_z": same_gates("z_concat")}  # p s


def memory_unit(target: str) -> Table:
    """Return the table of MIM-N or MIM-S."""
    return {
        f"{target}from_x": gates("g i f o", conv("conv_x_concat", "i g f o")),
        f"{target}from_r": gates("g i f o", conv("conv_h_concat", "i g f o")),
        f"{target}peephole": ParameterRule(keys=("ct_weight", "oc_weight")),  # i f, o
    }


MIM_BLOCK: Table = {
    "from_x": gates("g i f' o", conv("conv_x_cc", "i g f' o")),
    "from_h": gates("g i o", conv("conv_t_cc", "i g o")),
    "from_m": gates("g' i' f' o", conv("conv_s_cc", "i' g' f' o")),
    "merge": same_gates("conv_last"),
    **memory_unit("stationary."),
}

MIM_N: Table = memory_unit("non_stationary.")

INCEPTION: Table = {
    "reduce": copied("conv1"),
    **{f"branches.{branch}.0": copied(f"layers.{branch}.conv") for branch in range(4)},
    **{f"branches.{branch}.1": copied(f"layers.{branch}.norm") for branch in range(4)},
}


def attention(kernel: str) -> Table:
    """Return the table of a block of gSTA or TAU; `kernel` is the target module of the large kernel."""
    return {
        "norm": copied("block.norm1"),
        "mlp_norm": copied("block.norm2"),
        "attend.0": copied("block.attn.proj_1"),
        f"attend.2.{kernel}.near": copied("block.attn.spatial_gating_unit.conv0"),
        f"attend.2.{kernel}.far": copied("block.attn.spatial_gating_unit.conv_spatial"),
        f"attend.2.{kernel}.mix": copied("block.attn.spatial_gating_unit.conv1"),
        "attend.3": copied("block.attn.proj_2"),
        "scale": ParameterRule(keys=("block.layer_scale_1",)),
        "mlp_scale": ParameterRule(keys=("block.layer_scale_2",)),
        "mlp.0": copied("block.mlp.fc1"),
        "mlp.1": copied("block.mlp.dwconv.dwconv"),
        "mlp.3": copied("block.mlp.fc2"),
    }


GSTA: Table = attention("kernel")
TAU: Table = {
    **attention("statical"),
    "attend.2.dynamical.0": copied("block.attn.spatial_gating_unit.fc.0"),
    "attend.2.dynamical.2": copied("block.attn.spatial_gating_unit.fc.2"),
}
NARROWER: Table = {"reduce": copied("reduction")}


def plan(source: SourceState, network: str, channels: int | None) -> ConversionPlan:
    """Return the conversion of a state dict, as its keys and shapes imply."""
    if source.count("enc.enc.{}"):
        return _simvp(source)
    if source.count("stlstm_layer.{}"):
        return _mim(source, channels)
    if source.has("gradient_highway.z_concat.0.weight"):
        return _predrnn_pp(source, channels)
    if source.size("cell_list.0.conv_x.0.weight", 0) == 4 * source.size("cell_list.0.conv_last.weight", 0):
        return _convlstm(source, channels)
    return predrnn_pytorch.plan(source, network, channels)


def _four_layers(source: SourceState, cells: str, channels: int | None) -> tuple[StackConfig, int]:
    """Return the configuration that all recurrent networks share, with an ST-LSTM as the cell, and frame channels."""
    channels, patch = patch_shape(source.size("conv_last.weight", 0), channels, "conv_last.weight")
    net = StackConfig(
        hidden=source.size(f"{cells}.0.conv_last.weight", 0),
        scales=(1,) * source.count(f"{cells}.{{}}"),
        kernel=source.size(f"{cells}.0.conv_h.0.weight", 2),
        patch=patch,
        bias=False,
        layer_norm=source.has(f"{cells}.0.conv_h.1.weight"),
    )
    return net, channels


def _convlstm(source: SourceState, channels: int | None) -> ConversionPlan:
    net, channels = _four_layers(source, "cell_list", channels)
    return ConversionPlan(
        network="convlstm",
        net=replace(net, cell="conv-lstm", forget_bias=0.0),
        channels=channels,
        tables=[
            ("", "", EMBEDDING),
            *((f"cells.{layer}.", f"cell_list.{layer}.", CONV_LSTM) for layer in range(len(net.scales))),
        ],
        unused=[r"cell_list\.\d+\.conv_(o|last)\."],
        transforms=patch_order(channels, net.patch, "cells.0.from_x"),
    )


def _predrnn_pp(source: SourceState, channels: int | None) -> ConversionPlan:
    net, channels = _four_layers(source, "cell_list", channels)
    if net.layer_norm:
        raise InputError(
            "the layer norms of the gradient highway do not fit the gates: OpenSTL itself cannot run this network",
            hint="Import a PredRNN++ that was trained with layer_norm 0",
        )
    return ConversionPlan(
        network="predrnn-pp",
        net=replace(net, cell="causal-lstm", gradient_highway=True),
        channels=channels,
        tables=[
            ("", "", EMBEDDING),
            ("highway_unit.", "gradient_highway.", GRADIENT_HIGHWAY),
            *((f"cells.{layer}.", f"cell_list.{layer}.", CAUSAL_LSTM) for layer in range(len(net.scales))),
        ],
        unused=[r"cell_list\.\d+\.conv_o\."],
        transforms=patch_order(channels, net.patch, "cells.0.from_x"),
    )


def _mim(source: SourceState, channels: int | None) -> ConversionPlan:
    net, channels = _four_layers(source, "stlstm_layer", channels)
    above = range(1, len(net.scales))
    return ConversionPlan(
        network="mim",
        net=replace(net, cell="mim"),
        channels=channels,
        tables=[
            ("", "", EMBEDDING),
            ("cells.0.", "stlstm_layer.0.", ST_LSTM),
            *((f"cells.{layer}.", f"stlstm_layer.{layer}.", MIM_BLOCK) for layer in above),
            *((f"cells.{layer}.", f"stlstm_layer_diff.{layer - 1}.", MIM_N) for layer in above),
        ],
        unused=[r"stlstm_layer_diff\.\d+\.conv_last\."],
        transforms=patch_order(channels, net.patch, "cells.0.from_x"),
        remarks=[
            "the published code keeps a memory of MIM from one sequence to the next; here every sequence starts from "
            "zero, as the first one does there"
        ],
    )


def _simvp(source: SourceState) -> ConversionPlan:
    attends = source.has("hid.enc.0.block.attn.proj_1.weight")
    squeezes = source.has("hid.enc.0.block.attn.spatial_gating_unit.fc.0.weight")
    name, block = ("tau", TAU) if squeezes else ("simvp-gsta", GSTA)
    layers, blocks = source.count("enc.enc.{}"), source.count("hid.enc.{}")
    hidden = source.size("dec.readout.weight", 1)
    if attends:
        stacked = source.size("hid.enc.0.block.norm1.weight", 0)
        wide = source.size("hid.enc.1.block.norm1.weight", 0)
        changes = [stacked != wide and index in (0, blocks - 1) for index in range(blocks)]
        tables = [
            (f"translator.{index}.", f"hid.enc.{index}.", {**block, **NARROWER} if changed else block)
            for index, changed in enumerate(changes)
        ]
    else:
        name = "simvp-incepu"
        stacked = source.size("hid.enc.0.conv1.weight", 1)
        wide = source.size("hid.enc.0.layers.0.conv.weight", 0)
        ways = [("translator.down", "hid.enc"), ("translator.up", "hid.dec")]
        tables = [(f"{target}.{i}.", f"{prefix}.{i}.", INCEPTION) for target, prefix in ways for i in range(blocks)]
    net = SimVPConfig(
        translator=name.removeprefix("simvp-"),  # type: ignore[arg-type]
        frames=stacked // max(hidden, 1),
        hidden=hidden,
        translator_hidden=wide,
        layers=layers,
        translator_layers=blocks,
        mlp_ratio=source.size("hid.enc.0.block.mlp.fc1.weight", 0) / max(stacked, 1) if attends else 8.0,
        kernel=source.size("enc.enc.0.conv.conv.weight", 2),
    )
    return ConversionPlan(
        network=name,
        net=net,
        channels=source.size("dec.readout.weight", 0),
        tables=[("", "", {"output": copied("dec.readout")}), *_frames(layers), *tables],
    )


def _frames(layers: int) -> list[tuple[str, str, Table]]:
    """Return the tables of encoder and decoder; layers that double the resolution shuffle after the convolution."""
    tables: list[tuple[str, str, Table]] = []
    for layer in range(layers):
        ups = (layers - 1 - layer) % 2 == 1
        encoder: dict[str, Rule] = {"0": copied("conv.conv"), "1": copied("conv.norm")}
        shuffled: dict[str, Rule] = {"0": copied("conv.conv.0"), "2": copied("conv.norm")}
        tables.append((f"encoder.{layer}.", f"enc.enc.{layer}.", encoder))
        tables.append((f"decoder.{layer}.", f"dec.dec.{layer}.", shuffled if ups else encoder))
    return tables
