"""mazhf/MS-RNN: seven networks, each plain and multi-scale.

Files are state dicts, with "module." in front of keys after a training on several GPUs. Every convolution has a bias,
and no gate has a forget bias. A plain network and its multi-scale variant have the same keys. TrajGRU and MotionRNN
depart from their papers by faults that trained weights depend on (`FAULTS`).
"""

from __future__ import annotations

from collections.abc import Mapping

from model.core.errors import InputError
from model.export.checkpoints.layout import (
    ConversionPlan,
    ConvWeights,
    SourceState,
    Table,
    concatenated,
    conv,
    gates,
    same_gates,
)
from model.nets.networks import IN_MS_RNN, MULTI_SCALE
from model.nets.stack import StackConfig

CONV_LSTM: Table = {
    "from_x": gates("g i f o", conv("_conv_x2h", "i f g o")),
    "from_h": gates("g i f o", conv("_conv_h2h", "i f g o")),
}


def reorder_links(project: ConvWeights) -> ConvWeights:
    """Reorder the channels of warped images from (link, channel) to (channel, link)."""
    outputs, inputs = project.weight.shape[:2]
    hidden = max(outputs // 3, 1)
    links = inputs // hidden
    return project.permute_inputs([link * hidden + channel for channel in range(hidden) for link in range(links)])


TRAJ_GRU: Table = {
    "from_x": same_gates("_conv_x2h"),  # z r candidate
    "flow_from_x": same_gates("_conv_x2f"),
    "flow_from_h": same_gates("_conv_h2f"),
    "to_flow": same_gates("_conv_flow"),
    "from_warped": same_gates("project", reorder_links),
}

MEMORY_GATES: Table = {
    "from_m": gates("g' i' f'", conv("_conv_m2h_m", "i' f' g'")),
    "from_memories": concatenated("_conv_c2o", "_conv_m2o"),
    "merge": same_gates("_conv_c_m"),
}

ST_LSTM: Table = {
    "from_x": gates("g i f g' i' f' o", conv("_conv_x2h", "i f g o"), conv("_conv_x2h_m", "i' f' g'")),
    "from_h": gates("g i f o", conv("_conv_h2h", "i f g o")),
    **MEMORY_GATES,
}

CAUSAL_LSTM: Table = {
    "from_x": gates(
        "g i f g' i' f' o",
        conv("_conv_x_h_c", "i f g", "x of x H C"),
        conv("_conv_x_c_m", "i' f' g'", "x of x C M"),
        conv("_conv_o", "o", "x of x C M"),
    ),
    "from_h": gates("g i f", conv("_conv_x_h_c", "i f g", "H of x H C")),
    "from_c": gates("g i f", conv("_conv_x_h_c", "i f g", "C of x H C")),
    "from_m": gates("g' i' f'", conv("_conv_x_c_m", "i' f' g'", "M of x C M")),
    "through": same_gates("_conv_m"),
    "from_new_c": gates(
        "g' i' f' o", conv("_conv_x_c_m", "i' f' g'", "C of x C M"), conv("_conv_o", "o", "C of x C M")
    ),
    "from_new_m": gates("o", conv("_conv_o", "o", "M of x C M")),
    "merge": same_gates("_conv_c_m"),
}

GRADIENT_HIGHWAY: Table = {"from_x": same_gates("_conv_x"), "from_z": same_gates("_conv_z")}  # p s

MIM: Table = {
    "from_x": gates("g i g' i' f' o", conv("_conv_x2h", "i f g o"), conv("_conv_x2h_m", "i' f' g'")),
    "from_h": gates("g i o", conv("_conv_h2h", "i f g o")),
    "non_stationary.from_x": gates("g i f o", conv("_conv_x2h_n", "i f g"), conv("_conv_diff2o", "o")),
    "non_stationary.from_r": gates("g i f", conv("_conv_n2h_n", "i f g")),
    "non_stationary.from_s": same_gates("_conv_n2o"),
    "stationary.from_x": gates("g i f o", conv("_conv_x2h_s", "i f g o")),
    "stationary.from_r": gates("g i f o", conv("_conv_c2h_s", "i f g o")),
    "stationary.from_s": same_gates("_conv_s2o"),
    **MEMORY_GATES,
}

MOTION: Table = {
    "encode": same_gates("_conv_enc"),
    "update": same_gates("_conv_u"),
    "reset": same_gates("_conv_r"),
    "candidate": same_gates("_conv_z"),
    "mask": same_gates("_conv_hm"),
    "merge": same_gates("_conv_dec"),
    "decode": same_gates("_deconv_dec"),
    "gate": same_gates("_conv_g"),
}

EMBEDDING: Table = {"embedding.embed": same_gates("embed.conv_embed"), "embedding.output": same_gates("fc.conv_fc")}

CELLS: Mapping[str, Table] = {
    "convlstm": CONV_LSTM,
    "trajgru": TRAJ_GRU,
    "predrnn": ST_LSTM,
    "predrnn-v2": ST_LSTM,
    "predrnn-pp": CAUSAL_LSTM,
    "mim": MIM,
    "motionrnn": MIM,
}

WARP = "positions of warps are scaled by W - 1 and sampled as if by W, so that a zero flow shifts by up to half a pixel"
RESHAPE = "the warped images of MotionRNN are merged out of order, which mixes pixels"
FAULTS: Mapping[str, tuple[str, ...]] = {"trajgru": (WARP,), "motionrnn": (WARP, RESHAPE)}
REMARKS: Mapping[str, tuple[str, ...]] = {
    "motionrnn": (
        "the published code also mixes the flows of the samples of a batch; here every forecast is independent, as in "
        "a batch of one there",
    )
}

MIM_MEMORIES = r"_conv_(x2h_n|n2h_n|diff2o|n2o|x2h_s|c2h_s|s2o)\."
MOTIONS = r"(_conv_(enc|u|r|z|hm|dec|g)|_deconv_dec)\."


def detect_network(source: SourceState) -> str:
    """Return which of the seven networks has such keys; "" for none."""
    lstm = "rnns.lstm.0."
    if source.has("rnns.adapter.weight"):
        return "predrnn-v2"
    keys = {
        "_conv_enc": "motionrnn",
        "_conv_diff2o": "mim",
        "_conv_x_h_c": "predrnn-pp",
        "_conv_flow": "trajgru",
        "_conv_c_m": "predrnn",
        "_conv_h2h": "convlstm",
    }
    return next((name for key, name in keys.items() if source.has(f"{lstm}{key}.weight")), "")


def plan(source: SourceState, network: str, channels: int | None) -> ConversionPlan:
    """Return the conversion of a state dict, as its keys, its shapes and the name of the network imply.

    Raises
    ------
    InputError
        Without a name plain and multi-scale cannot be distinguished; or the cells are unknown, or the layers not six.
    """
    found, layers = detect_network(source), source.count("rnns.lstm.{}")
    if not found:
        raise InputError("the cells belong to none of MS-RNN's seven networks", hint=f"Networks: {', '.join(CELLS)}")
    if not network:
        raise InputError(
            f"plain and multi-scale networks of MS-RNN have the same keys: this one is {found} or ms-{found}",
            hint=f"Give --network {found} or --network ms-{found}",
        )
    scales = MULTI_SCALE if network.startswith("ms-") else (1,) * layers
    if len(scales) != layers:
        raise InputError(
            f"{layers} layers, a multi-scale network has {len(scales)}", hint=f"Try --network {found}, the plain one"
        )
    named = IN_MS_RNN[found]()
    first = "rnns.lstm.0."
    hidden = source.size("embed.conv_embed.weight", 0)
    motion = found == "motionrnn"
    recurrent = {"trajgru": "_conv_h2f", "predrnn-pp": "_conv_x_h_c"}.get(found, "_conv_h2h")
    net = StackConfig(
        cell=named.cell,
        hidden=hidden,
        scales=scales,
        kernel=source.size(f"{first}{recurrent}.weight", 2),
        embed="pointwise",
        motion=motion,
        gradient_highway=named.gradient_highway,
        decoupled=named.decoupled,
        forget_bias=0.0,
        implementation="ms-rnn",
        links=source.size(f"{first}_conv_flow.weight", 0) // 2 or named.links,
    )
    tables = [("", "", EMBEDDING)]
    for layer in range(layers):
        target, prefix = f"cells.{layer}.{'cell.' if motion else ''}", f"rnns.lstm.{layer}."
        tables.append((target, prefix, ST_LSTM if named.cell == "mim" and layer == 0 else CELLS[found]))
        if motion and layer < layers - 1:
            tables.append((f"cells.{layer}.motion.", prefix, MOTION))
    if named.gradient_highway:
        tables.append(("highway_unit.", "rnns.lstm.1.", GRADIENT_HIGHWAY))
    if named.decoupled:
        tables.append(("decouple", "rnns.", {"": same_gates("adapter")}))
    return ConversionPlan(
        network=("ms-" if network.startswith("ms-") else "") + found,
        net=net,
        channels=source.size("embed.conv_embed.weight", 1),
        tables=tables,
        unused=[
            *([r"rnns\.lstm\.(0|[2-9])\._conv_[xz]\."] if named.gradient_highway else []),
            *([rf"rnns\.lstm\.0\.{MIM_MEMORIES}"] if named.cell == "mim" else []),
            *([rf"rnns\.lstm\.{layers - 1}\.{MOTIONS}"] if motion else []),
        ],
        faults=FAULTS.get(found, ()),
        remarks=REMARKS.get(found, ()),
    )
