"""mazhf/MS-RNN: seven networks, each plain and multi-scale. Its files are state dicts, with "module." where trained on
several GPUs.

Every convolution has a bias, no gate a forget bias. A plain network and its multi-scale one have the same keys. Its
TrajGRU and MotionRNN depart from their papers by faults that weights have learned to live with (`FAULTS`).
"""

from __future__ import annotations

from collections.abc import Mapping

from model.core.errors import InputError
from model.export.checkpoints.layout import Plan, Table, Theirs, Weights, beside, conv, gates, one
from model.nets.networks import IN_MS_RNN, MULTI_SCALE
from model.nets.stack import StackConfig

CONV_LSTM: Table = {
    "from_x": gates("g i f o", conv("_conv_x2h", "i f g o")),
    "from_h": gates("g i f o", conv("_conv_h2h", "i f g o")),
}


def by_channel(project: Weights) -> Weights:
    """Their warped images are ordered (link, channel), ours (channel, link)."""
    outputs, inputs = project.weight.shape[:2]
    hidden = max(outputs // 3, 1)
    links = inputs // hidden
    return project.inputs([link * hidden + channel for channel in range(hidden) for link in range(links)])


TRAJ_GRU: Table = {
    "from_x": one("_conv_x2h"),  # z r candidate
    "flow_from_x": one("_conv_x2f"),
    "flow_from_h": one("_conv_h2f"),
    "to_flow": one("_conv_flow"),
    "from_warped": one("project", by_channel),
}

OF_M: Table = {
    "from_m": gates("g' i' f'", conv("_conv_m2h_m", "i' f' g'")),
    "from_memories": beside("_conv_c2o", "_conv_m2o"),
    "merge": one("_conv_c_m"),
}

ST_LSTM: Table = {
    "from_x": gates("g i f g' i' f' o", conv("_conv_x2h", "i f g o"), conv("_conv_x2h_m", "i' f' g'")),
    "from_h": gates("g i f o", conv("_conv_h2h", "i f g o")),
    **OF_M,
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
    "through": one("_conv_m"),
    "from_new_c": gates(
        "g' i' f' o", conv("_conv_x_c_m", "i' f' g'", "C of x C M"), conv("_conv_o", "o", "C of x C M")
    ),
    "from_new_m": gates("o", conv("_conv_o", "o", "M of x C M")),
    "merge": one("_conv_c_m"),
}

GRADIENT_HIGHWAY: Table = {"from_x": one("_conv_x"), "from_z": one("_conv_z")}  # p s

MIM: Table = {
    "from_x": gates("g i g' i' f' o", conv("_conv_x2h", "i f g o"), conv("_conv_x2h_m", "i' f' g'")),
    "from_h": gates("g i o", conv("_conv_h2h", "i f g o")),
    "non_stationary.from_x": gates("g i f o", conv("_conv_x2h_n", "i f g"), conv("_conv_diff2o", "o")),
    "non_stationary.from_r": gates("g i f", conv("_conv_n2h_n", "i f g")),
    "non_stationary.from_s": one("_conv_n2o"),
    "stationary.from_x": gates("g i f o", conv("_conv_x2h_s", "i f g o")),
    "stationary.from_r": gates("g i f o", conv("_conv_c2h_s", "i f g o")),
    "stationary.from_s": one("_conv_s2o"),
    **OF_M,
}

MOTION: Table = {
    "encode": one("_conv_enc"),
    "update": one("_conv_u"),
    "reset": one("_conv_r"),
    "candidate": one("_conv_z"),
    "mask": one("_conv_hm"),
    "merge": one("_conv_dec"),
    "decode": one("_deconv_dec"),
    "gate": one("_conv_g"),
}

ENDS: Table = {"embedding.embed": one("embed.conv_embed"), "embedding.output": one("fc.conv_fc")}

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
        "the published code also mixes the flows of the samples of a batch; here each forecast is on its own, as in a "
        "batch of one there",
    )
}

MIM_MEMORIES = r"_conv_(x2h_n|n2h_n|diff2o|n2o|x2h_s|c2h_s|s2o)\."
MOTIONS = r"(_conv_(enc|u|r|z|hm|dec|g)|_deconv_dec)\."


def found_network(theirs: Theirs) -> str:
    """Which of the seven has such keys."""
    lstm = "rnns.lstm.0."
    if theirs.has("rnns.adapter.weight"):
        return "predrnn-v2"
    told_by = {
        "_conv_enc": "motionrnn",
        "_conv_diff2o": "mim",
        "_conv_x_h_c": "predrnn-pp",
        "_conv_flow": "trajgru",
        "_conv_c_m": "predrnn",
        "_conv_h2h": "convlstm",
    }
    return next((name for key, name in told_by.items() if theirs.has(f"{lstm}{key}.weight")), "")


def plan(theirs: Theirs, network: str, channels: int | None) -> Plan:
    """The configuration and the tables that the tensors and the name of the network ask for.

    Raises
    ------
    InputError
        No name, so that plain and multi-scale cannot be told apart; or layers that are not six.
    """
    found, layers = found_network(theirs), theirs.count("rnns.lstm.{}")
    if not found:
        raise InputError("its cells are of none of MS-RNN's seven networks", hint=f"They are: {', '.join(CELLS)}")
    if not network:
        raise InputError(
            f"plain and multi-scale networks of MS-RNN have the same keys: it may be {found} or ms-{found}",
            hint=f"Give --network {found} or --network ms-{found}",
        )
    scales = MULTI_SCALE if network.startswith("ms-") else (1,) * layers
    if len(scales) != layers:
        raise InputError(
            f"{layers} layers, a multi-scale network has {len(scales)}", hint=f"Try --network {found}: it may be plain"
        )
    of_name = IN_MS_RNN[found]()
    first = "rnns.lstm.0."
    hidden = theirs.size("embed.conv_embed.weight", 0)
    motion = found == "motionrnn"
    recurrent = {"trajgru": "_conv_h2f", "predrnn-pp": "_conv_x_h_c"}.get(found, "_conv_h2h")
    net = StackConfig(
        cell=of_name.cell,
        hidden=hidden,
        scales=scales,
        kernel=theirs.size(f"{first}{recurrent}.weight", 2),
        embed="pointwise",
        motion=motion,
        gradient_highway=of_name.gradient_highway,
        decoupled=of_name.decoupled,
        forget_bias=0.0,
        implementation="ms-rnn",
        links=theirs.size(f"{first}_conv_flow.weight", 0) // 2 or of_name.links,
    )
    tables = [("", "", ENDS)]
    for layer in range(layers):
        ours, their = f"cells.{layer}.{'cell.' if motion else ''}", f"rnns.lstm.{layer}."
        tables.append((ours, their, ST_LSTM if of_name.cell == "mim" and layer == 0 else CELLS[found]))
        if motion and layer < layers - 1:
            tables.append((f"cells.{layer}.motion.", their, MOTION))
    if of_name.gradient_highway:
        tables.append(("highway_unit.", "rnns.lstm.1.", GRADIENT_HIGHWAY))
    if of_name.decoupled:
        tables.append(("decouple", "rnns.", {"": one("adapter")}))
    return Plan(
        network=("ms-" if network.startswith("ms-") else "") + found,
        net=net,
        channels=theirs.size("embed.conv_embed.weight", 1),
        tables=tables,
        unused=[
            *([r"rnns\.lstm\.(0|[2-9])\._conv_[xz]\."] if of_name.gradient_highway else []),
            *([rf"rnns\.lstm\.0\.{MIM_MEMORIES}"] if of_name.cell == "mim" else []),
            *([rf"rnns\.lstm\.{layers - 1}\.{MOTIONS}"] if motion else []),
        ],
        faults=FAULTS.get(found, ()),
        remarks=REMARKS.get(found, ()),
    )
