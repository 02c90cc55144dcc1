"""`python -m benchmarks.parity.official`: the official code of networks and Echocast, with equal weights and frames.

The options name checkouts of the official repositories; each runs in a process of its own, on the CPU. The weights are
the initial ones, enlarged and with noise, so that no signal vanishes and every parameter matters. A network reads 4
frames, then feeds back 4 outputs; on the side of Echocast, it is the network that a package runs. Where the official
code departs from the paper, a second row compares a corrected copy of the code with the network in the form of the
paper; the note names the correction.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import official_code
from benchmarks.command_line import add_checkouts, argument_parser, checkouts, run_in_child
from benchmarks.official_code import MS_RNN, SEED, from_patches, to_patches
from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import NETWORKS_PAGE
from model.export.checkpoints import FAMILIES
from model.export.checkpoints.convert import ConvertedCheckpoint, convert
from model.losses import decoupling_loss
from model.nets.forecast_model import FrameBatch, RecurrentModel, Rollout

CONTEXT, LEADS = 4, 4
TOTAL = CONTEXT + LEADS
BATCH = 2
SIDE = 32

configuration = partial(official_code.configuration, context=CONTEXT, total=TOTAL, batch=BATCH, side=SIDE)


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """The largest difference between the outputs of both codes, and the largest official value."""

    network: str
    family: str
    difference: float
    value: float
    note: str = ""


def compare(network: str, family: str, official: Tensor, echocast: Tensor, note: str = "") -> ParityRow:
    """Return the row of two outputs of the same shape."""
    assert official.shape == echocast.shape, (official.shape, echocast.shape)
    difference, value = (official - echocast).abs().max().item(), official.abs().max().item()
    return ParityRow(network=network, family=family, difference=difference, value=value, note=note)


def rollout(converted: ConvertedCheckpoint, frames: Tensor, fields: Tensor | None = None) -> Rollout:
    """Return the outputs of Echocast over context and leads, and the increments of the cell states."""
    context = frames[:, :CONTEXT]
    batch = FrameBatch(context, torch.ones_like(context[:, :, :1]), torch.ones(len(frames)), fields)
    return converted.build_model().rollout(batch, CONTEXT, LEADS)


def perturb(net: nn.Module, gain: float = 2.0) -> nn.Module:
    """Enlarge the initial weights and add noise, so that every parameter affects the output.

    `gain` is smaller for networks with unbounded outputs, which must not grow from step to step when fed back.
    """
    generator = torch.Generator().manual_seed(SEED)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + noise.abs())
            elif tensor.ndim in (2, 4):
                tensor.copy_(gain * (tensor + 0.4 * noise / tensor[0].numel() ** 0.5))
            else:
                tensor.copy_(tensor + 0.2 * noise)
    return net.eval()


def video(channels: int = 1, height: int = SIDE, width: int = SIDE, count: int = TOTAL, batch: int = BATCH) -> Tensor:
    """Return smooth random frames [b, t, c, y, x] in [0, 1]."""
    noise = torch.rand(batch, count, channels, height, width, generator=torch.Generator().manual_seed(SEED))
    smooth = functional.avg_pool2d(noise.flatten(0, 1), 3, 1, 1)
    return (2 * smooth - 0.5).clamp(0, 1).reshape(noise.shape)


def compare_decoupling(
    name: str, family: str, official: Tensor, converted: ConvertedCheckpoint, rollout: Rollout
) -> ParityRow:
    """Compare the decoupling loss of PredRNN-V2, which MS-RNN sums over pixels and the others average."""
    net = converted.build_model()
    assert isinstance(net, RecurrentModel)
    assert net.stack.decouple is not None
    reduce: Literal["mean", "sum"] = "sum" if family == "ms-rnn" else "mean"
    echocast = decoupling_loss(rollout.increments, net.stack.decouple, reduce=reduce)
    return compare(f"{name}: decoupling loss", family, official, echocast)


def recurrent_rows(
    family: str,
    name: str,
    net: nn.Module,
    config: types.SimpleNamespace,
    note: str = "",
    around: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> list[ParityRow]:
    """Compare a network of predrnn-pytorch, MotionRNN or OpenSTL that reads frames only."""
    frames = video(config.img_channel)
    converted = convert(perturb(net).state_dict(), family, channels=config.img_channel)
    patches = to_patches(frames, config.patch_size)
    with around():
        planes, loss = net(patches, torch.zeros(BATCH, LEADS - 1, 1, 1, 1))
    outputs = rollout(converted, frames)
    rows = [compare(name, family, from_patches(planes, config.patch_size), outputs.frames, note)]
    if converted.config.net.decoupled:  # type: ignore[union-attr]  # recurrent networks only
        official = loss - functional.mse_loss(planes, patches[:, 1:])
        rows.append(compare_decoupling(name, family, official, converted, outputs))
    return rows


def repeated_rows(family: str, name: str, net: nn.Module, config: types.SimpleNamespace) -> list[ParityRow]:
    """Compare two rollouts from the same frames, which must not differ, for either code."""
    frames = video()
    converted = convert(perturb(net).state_dict(), family)
    model = converted.build_model()
    batch = FrameBatch(frames[:, :CONTEXT], torch.ones_like(frames[:, :CONTEXT]), torch.ones(BATCH))
    patches = to_patches(frames, config.patch_size)
    official = [net(patches, torch.zeros(BATCH, LEADS - 1, 1, 1, 1))[0] for _ in range(2)]
    echocast = [model.rollout(batch, CONTEXT, LEADS).frames for _ in range(2)]
    name = f"{name}, the same frames twice"
    return [
        compare(name, family, *official, "as published: between two runs of the official code, which keeps S"),
        compare(name, family, *echocast, "between two runs of Echocast"),
    ]


def action_rows(name: str, net: nn.Module) -> list[ParityRow]:
    """Compare an action-conditioned network: 3 colours, 4 actions."""
    planes = video(7)
    frames, actions = planes[:, :, :3], planes[:, :, 3:]
    converted = convert(perturb(net, 1.0).state_dict(), "predrnn-pytorch")
    mask_true = torch.tensor([float(step + 1 < CONTEXT) for step in range(TOTAL - 2)])[None, :, None, None, None]
    patches = to_patches(planes, 1)
    official, loss = net(patches, mask_true.expand(BATCH, -1, 1, 1, 1))
    outputs = rollout(converted, frames, actions)
    rows = [compare(name, "predrnn-pytorch", from_patches(official, 1), outputs.frames, "conv_on_input, res_on_conv")]
    if converted.config.net.decoupled:  # type: ignore[union-attr]  # recurrent networks only
        official_loss = loss - functional.mse_loss(official, patches[:, 1:, :, :, :3])
        rows.append(compare_decoupling(name, "predrnn-pytorch", official_loss, converted, outputs))
    return rows


def predrnn_pytorch(folder: Path) -> list[ParityRow]:
    """Compare PredRNN and PredRNN-V2: plain, with layer norms, with 3 channels, and action-conditioned."""
    rows = []
    variants: Mapping[str, Mapping[str, Any]] = {
        "": {},
        ", layer norms": {"layer_norm": 1},
        ", 3 channels": {"img_channel": 3, "patch_size": 2},
    }
    for kind, name in (("predrnn", "PredRNN"), ("predrnn_v2", "PredRNN-V2")):
        model = official_code.predrnn_pytorch_model(folder, kind)
        for suffix, values in variants.items():
            config = configuration(**values)
            rows += recurrent_rows("predrnn-pytorch", name + suffix, model(3, [16] * 3, config), config)
    for kind, name in (("action_cond_predrnn", "PredRNN"), ("action_cond_predrnn_v2", "PredRNN-V2")):
        model = official_code.predrnn_pytorch_model(folder, kind)
        config = configuration(patch_size=1, img_channel=3)
        rows += action_rows(f"action-conditioned {name}", model(3, [16] * 3, config))
    return rows


def motionrnn(folder: Path) -> list[ParityRow]:
    """Compare MotionRNN around PredRNN, from its random states and from zero states."""
    model = official_code.motionrnn_model(folder)
    config = configuration()

    def network() -> nn.Module:
        torch.manual_seed(SEED)
        net: nn.Module = model(3, [16] * 3, config)
        return net

    published = "as published: every sequence starts from random states, so no two runs agree"
    corrected = "started from zero states"
    return [
        *recurrent_rows("motionrnn", "MotionRNN", network(), config, published),
        *recurrent_rows("motionrnn", "MotionRNN", network(), config, corrected, official_code.states_from_zero),
    ]


def ms_rnn(folder: Path) -> list[ParityRow]:
    """Compare seven networks of MS-RNN, plain and multi-scale, at 48 x 32."""
    rows = []
    for name in (prefix + base for base in MS_RNN for prefix in ("", "ms-")):
        if name.endswith("trajgru"):
            published = "as published: a zero flow moves H (positions over W - 1, corners not aligned)"
            corrected = "--form paper; official warp corrected: corners aligned"
            rows += _ms_rnn_rows(folder, name, published)
            rows += _ms_rnn_rows(folder, name, corrected, correct=True)
        elif name.endswith("motionrnn"):
            published = (
                "as published, one sequence at a time: the warp of the official TrajGRU; a reshape (H_warp) mixes "
                "pixels; another mixes the flows of a batch, which Echocast never does"
            )
            corrected = "--form paper; official warp and two reshapes corrected"
            rows += _ms_rnn_rows(folder, name, published, batch=1)
            rows += _ms_rnn_rows(folder, name, corrected, correct=True)
        else:
            rows += _ms_rnn_rows(folder, name)
    return rows


def _ms_rnn_rows(
    folder: Path, name: str, note: str = "", *, batch: int = BATCH, correct: bool = False
) -> list[ParityRow]:
    height, width = 48, 32
    base = name.removeprefix("ms-")
    net = official_code.ms_rnn_network(
        folder, name, hidden=16, shape=(batch, height, width), context=CONTEXT, leads=LEADS, corrected=correct
    )
    net = perturb(net, gain=1.5 if base == "trajgru" else 2.0)
    form = "paper" if correct else "as-published"
    converted = convert(net.state_dict(), "ms-rnn", network=name, form=form)
    frames = video(height=height, width=width, batch=batch)
    official, official_terms = net((frames.transpose(0, 1), 0, 0))
    outputs = rollout(converted, frames)
    rows = [compare(name, "ms-rnn", official.transpose(0, 1), outputs.frames, note)]
    if base == "predrnn-v2":
        official_loss = official_terms.sum(dim=(1, 3)).mean()  # [step, layer, sample, channel]
        rows.append(compare_decoupling(name, "ms-rnn", official_loss, converted, outputs))
    return rows


def openstl(folder: Path) -> list[ParityRow]:
    """Compare five recurrent networks of OpenSTL with their variants, SimVP and TAU."""
    network = official_code.openstl_modules(folder)
    rows = []
    for code in ("ConvLSTM", "PredRNN", "PredRNNpp", "MIM", "PredRNNv2"):
        model, name = network(code.lower(), f"{code}_Model"), code.replace("pp", "++").replace("v2", "-V2")
        # The official PredRNN++ does not run with layer norms: the norms of the highway are half as wide as its gates.
        for norms in (0,) if name == "PredRNN++" else (0, 1):
            config = configuration(layer_norm=norms)
            torch.manual_seed(SEED)
            note = "the first sequence: the official code keeps S for the next" if name == "MIM" else ""
            suffix = ", layer norms" if norms else ""
            rows += recurrent_rows("openstl", name + suffix, model(3, [16] * 3, config), config, note)
            if name == "MIM" and not norms:
                torch.manual_seed(SEED)
                rows += repeated_rows("openstl", name, model(3, [16] * 3, config), config)
    simvp = network("simvp", "SimVP_Model")
    for name, kind in (("SimVP (IncepU)", "IncepU"), ("SimVP (gSTA)", "gSTA"), ("TAU", "tau")):
        torch.manual_seed(SEED)
        net = perturb(simvp((CONTEXT, 1, 48, 32), hid_S=16, hid_T=64, N_S=4, N_T=4, model_type=kind))
        frames = video(height=48, width=32, count=CONTEXT)
        echocast = rollout(convert(net.state_dict(), "openstl"), frames).frames
        rows.append(compare(name, "openstl", net(frames), echocast[:, CONTEXT - 1 :]))
    return rows


COMPARISONS = {"predrnn-pytorch": predrnn_pytorch, "ms-rnn": ms_rnn, "openstl": openstl, "motionrnn": motionrnn}


def main() -> None:
    """Print the table, or write it into docs/networks.md; with --child, print the rows of one family as JSON."""
    parser = argument_parser(__doc__)
    add_checkouts(parser, FAMILIES)
    parser.add_argument("--write", action="store_true", help="Write the table into docs/networks.md.")
    parser.add_argument("--child", choices=FAMILIES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folders = checkouts(args, FAMILIES)
    if args.child:
        torch.set_num_threads(1)
        torch.manual_seed(SEED)
        with official_code.on_the_cpu():
            rows = COMPARISONS[args.child](folders[args.child].resolve())
        print(json.dumps([asdict(row) for row in rows]))
        return
    if args.write and set(folders) != set(FAMILIES):
        parser.error(f"--write needs all of {', '.join(f'--{family}' for family in FAMILIES)}")
    cells = []
    for family, folder in folders.items():
        rows = run_in_child("benchmarks.parity.official", [f"--{family}", folder, "--child", family])
        for row in (ParityRow(**fields) for fields in rows):
            cells.append([row.network, row.family, f"{row.difference:.1e}", f"{row.value:.3g}", row.note])
    text = table(["network", "repository", "largest difference", "largest value", "note"], cells, align="llrrl")
    if args.write:
        replace_part("official", text, NETWORKS_PAGE)
    else:
        print(text)


if __name__ == "__main__":
    main()
