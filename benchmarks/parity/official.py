"""`python -m benchmarks.parity.official`: the authors' own code beside ours, with the same weights and the same frames.

Their repositories lie where the options say; nothing of them is kept here. Each runs in a process of its own, on the
CPU, with stand-ins for what it imports and does not need (timm, a plotting library, `.cuda()`). Weights are random:
their own start, made larger and stirred, so that nothing stays near zero and every parameter takes part. 4 frames are
read, then 4 answers are fed back as they are; ours come from the model that a package runs. Where their code does
what their paper does not say, a second row has it mended, beside ours in the paper's form, and says how.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.page.markdown import replace_part
from benchmarks.paths import NETWORKS_PAGE
from model.export.checkpoints import FAMILIES
from model.export.checkpoints.convert import Converted, convert
from model.losses import decoupling_loss
from model.nets.forecast_model import FrameBatch, RecurrentModel, Rollout

CONTEXT, LEADS = 4, 4
TOTAL = CONTEXT + LEADS
BATCH = 2
SIDE = 32
SEED = 7


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    network: str
    family: str
    difference: float
    value: float
    note: str = ""


# What is ours


def answers(converted: Converted, frames: Tensor, fields: Tensor | None = None) -> Rollout:
    """What a package of this network answers to context and leads, and what it writes to C and M."""
    shown = FrameBatch(
        data=frames[:, :CONTEXT],
        known=torch.ones_like(frames[:, :CONTEXT, :1]),
        step_minutes=torch.ones(len(frames)),
        fields=fields,
    )
    return converted.build_model().rollout(shown, CONTEXT, LEADS)


def stirred(net: nn.Module, gain: float = 2.0) -> nn.Module:
    """Their start, larger, and noise of the size that keeps signals alive.

    `gain`: 2; less for networks whose answers nothing bounds, for what is fed back must not grow from step to step.
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


def row(network: str, family: str, theirs: Tensor, mine: Tensor, note: str = "") -> Row:
    """The difference of two answers of the same shape."""
    assert theirs.shape == mine.shape, (theirs.shape, mine.shape)
    difference, value = (theirs - mine).abs().max().item(), theirs.abs().max().item()
    return Row(network=network, family=family, difference=difference, value=value, note=note)


def video(channels: int = 1, height: int = SIDE, width: int = SIDE, count: int = TOTAL, batch: int = BATCH) -> Tensor:
    """Frames [b, t, c, y, x] in [0, 1], smooth enough to be a picture."""
    noise = torch.rand(batch, count, channels, height, width, generator=torch.Generator().manual_seed(SEED))
    smooth = functional.avg_pool2d(noise.flatten(0, 1), 3, 1, 1)
    return (2 * smooth - 0.5).clamp(0, 1).reshape(noise.shape)


# Their code


Mends = Sequence[tuple[str, str]]


def from_file(name: str, path: Path, mends: Mends = ()) -> types.ModuleType:
    """Their module at `path`, imported as `name`, with fragments of its source replaced in memory."""
    source = path.read_text(encoding="utf-8")
    for old, new in mends:
        assert old in source, (old, path)
        source = source.replace(old, new)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  their code is what is compared
    return module


def stand_in(name: str, **attributes: object) -> types.ModuleType:
    """A module that is not there, or a package of which only parts are wanted."""
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    sys.modules[name] = module
    return module


def package(name: str, folder: Path) -> types.ModuleType:
    """Their package without running its __init__."""
    return stand_in(name, __path__=[str(folder)])


@contextlib.contextmanager
def on_the_cpu() -> Iterator[None]:
    """`.cuda()` does nothing, and what they print and warn of stays out of the table."""
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def settings(**values: object) -> types.SimpleNamespace:
    """What their networks read of a configuration, the same for predrnn-pytorch, MotionRNN and OpenSTL."""
    return types.SimpleNamespace(
        **{
            **{"patch_size": 4, "img_channel": 1, "img_width": SIDE, "img_height": SIDE, "filter_size": 5, "stride": 1},
            **{"layer_norm": 0, "device": "cpu", "total_length": TOTAL, "input_length": CONTEXT, "batch_size": BATCH},
            **{"pre_seq_length": CONTEXT, "aft_seq_length": LEADS, "reverse_scheduled_sampling": 0, "visual": 0},
            **{"visual_path": "", "decouple_beta": 1.0, "conv_on_input": 1, "res_on_conv": 1, "num_action_ch": 4},
            **{"in_shape": (CONTEXT, 1, SIDE, SIDE), **values},
        }
    )


def patched(frames: Tensor, patch: int) -> Tensor:
    """[b, t, c, y, x] as they lay it out: [b, t, y / patch, x / patch, patch * patch * c]."""
    b, t, c, y, x = frames.shape
    parts = frames.reshape(b, t, c, y // patch, patch, x // patch, patch)
    return parts.permute(0, 1, 3, 5, 4, 6, 2).reshape(b, t, y // patch, x // patch, -1)


def unpatched(planes: Tensor, patch: int) -> Tensor:
    """The way back."""
    b, t, y, x, n = planes.shape
    parts = planes.reshape(b, t, y, x, patch, patch, n // patch**2)
    return parts.permute(0, 1, 6, 2, 4, 3, 5).reshape(b, t, -1, y * patch, x * patch)


def recurrent_rows(
    family: str,
    name: str,
    net: nn.Module,
    config: types.SimpleNamespace,
    note: str = "",
    around: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> list[Row]:
    """Rows of a network of predrnn-pytorch, MotionRNN or OpenSTL, none of them conditioned."""
    frames = video(config.img_channel)
    converted = convert(stirred(net).state_dict(), family, channels=config.img_channel)
    laid_out = patched(frames, config.patch_size)
    with around():
        planes, loss = net(laid_out, torch.zeros(BATCH, LEADS - 1, 1, 1, 1))
    mine, written = answers(converted, frames)
    rows = [row(name, family, unpatched(planes, config.patch_size), mine, note)]
    if converted.config.net.decoupled:  # type: ignore[union-attr]
        theirs = loss - functional.mse_loss(planes, laid_out[:, 1:])
        rows.append(row(f"{name}: decoupling loss", family, theirs, decoupling_loss(written, projection(converted))))
    return rows


def projection(converted: Converted) -> nn.Module:
    """W of the decoupling loss."""
    net = converted.build_model()
    assert isinstance(net, RecurrentModel)
    assert net.stack.decouple is not None
    return net.stack.decouple


def predrnn_pytorch_model(folder: Path, kind: str) -> Any:  # noqa: ANN401  their class
    """Their class of a network."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    stand_in("core.utils.tsne", visualization=None)
    return importlib.import_module(f"core.models.{kind}").RNN


def predrnn_pytorch(folder: Path) -> list[Row]:
    """PredRNN and PredRNN-V2, plain and with layer norms and colours, and conditioned."""
    rows = []
    variants: Mapping[str, Mapping[str, Any]] = {
        "": {},
        ", layer norms": {"layer_norm": 1},
        ", 3 channels": {"img_channel": 3, "patch_size": 2},
    }
    for kind, name in (("predrnn", "PredRNN"), ("predrnn_v2", "PredRNN-V2")):
        model = predrnn_pytorch_model(folder, kind)
        for what, values in variants.items():
            config = settings(**values)
            net = model(3, [16] * 3, config)
            rows += recurrent_rows("predrnn-pytorch", name + what, net, config)
    for kind, name in (("action_cond_predrnn", "PredRNN"), ("action_cond_predrnn_v2", "PredRNN-V2")):
        model = predrnn_pytorch_model(folder, kind)
        config = settings(patch_size=1, img_channel=3)
        rows += action_rows(f"action-conditioned {name}", model(3, [16] * 3, config))
    return rows


def repeated_rows(family: str, name: str, net: nn.Module, config: types.SimpleNamespace) -> list[Row]:
    """Rows of a network that is shown the same frames twice: between its two answers nothing may differ."""
    frames = video()
    converted = convert(stirred(net).state_dict(), family)
    ours = converted.build_model()
    shown = FrameBatch(frames[:, :CONTEXT], torch.ones_like(frames[:, :CONTEXT]), torch.ones(BATCH))
    theirs = [net(patched(frames, config.patch_size), torch.zeros(BATCH, LEADS - 1, 1, 1, 1))[0] for _ in "12"]
    mine = [ours.rollout(shown, CONTEXT, LEADS).frames for _ in "12"]
    name = f"{name}, the same frames twice"
    return [
        row(name, family, theirs[0], theirs[1], "as published: between their two answers, for S is kept"),
        row(name, family, mine[0], mine[1], "between our two answers"),
    ]


def action_rows(name: str, net: nn.Module) -> list[Row]:
    """Rows of a conditioned network: 3 colours, 4 actions."""
    planes = video(7)
    frames, actions = planes[:, :, :3], planes[:, :, 3:]
    converted = convert(stirred(net, 1.0).state_dict(), "predrnn-pytorch")
    true = torch.tensor([float(step + 1 < CONTEXT) for step in range(TOTAL - 2)])[None, :, None, None, None]
    laid_out = patched(planes, 1)
    theirs, loss = net(laid_out, true.expand(BATCH, -1, 1, 1, 1))
    mine, written = answers(converted, frames, actions)
    rows = [row(name, "predrnn-pytorch", unpatched(theirs, 1), mine, "conv_on_input, res_on_conv")]
    if converted.config.net.decoupled:  # type: ignore[union-attr]
        decoupling = loss - functional.mse_loss(theirs, laid_out[:, 1:, :, :, :3])
        ours = decoupling_loss(written, projection(converted))
        rows.append(row(f"{name}: decoupling loss", "predrnn-pytorch", decoupling, ours))
    return rows


def motionrnn_model(folder: Path) -> Any:  # noqa: ANN401  their class
    """Their class of MotionRNN around PredRNN."""
    sys.path.insert(0, str(folder))
    return importlib.import_module("core.models.MotionRNN_PredRNN").RNN


@contextlib.contextmanager
def states_from_zero() -> Iterator[None]:
    """Their MotionRNN, which draws its first states at random, starts from zeros."""
    start = nn.init.xavier_normal_
    nn.init.xavier_normal_ = nn.init.zeros_  # type: ignore[assignment]
    yield
    nn.init.xavier_normal_ = start


def motionrnn(folder: Path) -> list[Row]:
    """MotionRNN around PredRNN, from its random states and from zero."""
    model = motionrnn_model(folder)
    config = settings()

    def network() -> nn.Module:
        torch.manual_seed(SEED)
        net: nn.Module = model(3, [16] * 3, config)
        return net

    published = "as published: every sequence starts from random states, so no two runs agree"
    return [
        *recurrent_rows("motionrnn", "MotionRNN", network(), config, published),
        *recurrent_rows("motionrnn", "MotionRNN", network(), config, "started from zero states", states_from_zero),
    ]


MS_RNN = {
    "convlstm": ("convlstm", "ConvLSTM"),
    "trajgru": ("trajgru", "TrajGRU"),
    "predrnn": ("predrnn", "PredRNN"),
    "predrnn-pp": ("predrnn_plus2", "PredRNN_Plus2"),
    "mim": ("mim", "MIM"),
    "motionrnn": ("motionrnn", "MotionRNN"),
    "predrnn-v2": ("predrnn_v2", "PredRNN_V2"),
}
"""Our name -> their module and class."""

ALIGNED: Mends = [("align_corners=False", "align_corners=True")]
IN_ORDER: Mends = [
    ("flow.reshape(C // 2, B,", "flow.reshape(B, C // 2,"),
    ("flow[i, ...]", "flow[:, i]"),
    ("H_warp.reshape(", "H_warp.permute(0, 1, 4, 2, 3).reshape("),
]


def ms_rnn_network(
    folder: Path,
    name: str,
    *,
    hidden: int,
    shape: tuple[int, int, int],
    context: int,
    leads: int,
    warps: Mends = (),
    order: Mends = (),
) -> nn.Module:
    """Their network of our `name`, for [b, y, x] of `shape`; `warps`, `order`: mends of its warp and its reshapes."""
    cfg = types.SimpleNamespace(
        **{"LSTM_conv": nn.Conv2d, "LSTM_deconv": nn.ConvTranspose2d, "CONV_conv": nn.Conv2d, "LSTM_layers": 6},
        **{"lstm_hidden_state": hidden, "batch": shape[0], "TrajGRU_link_num": 10, "dataset": "HKO", "in_len": context},
        **{"out_len": leads, "scheduled_sampling": False, "reverse_scheduled_sampling": False, "epoch": 1},
    )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    stand_in("config", cfg=cfg)
    models = folder / "models"
    package("models", models)
    base = name.removeprefix("ms-")
    module, kind = MS_RNN[base]
    from_file("models.trajgru", models / "trajgru.py", warps)
    of_name = "" if name == base else "ms_"
    mends = order if base == "motionrnn" else warps if base == "trajgru" else ()
    found = from_file(f"models.{of_name}{module}", models / f"{of_name}{module}.py", mends)
    model = from_file("model_of_ms_rnn", folder / "model.py")
    torch.manual_seed(SEED)
    rnn = getattr(found, of_name.upper() + kind)(hidden, hidden, shape, 3, 1, 1)
    embed, fc = ([hidden if i else 1, 1 if i else hidden, 1, 1, 0, 1] for i in (0, 1))
    net: nn.Module = model.Model(OrderedDict(conv_embed=embed), rnn, OrderedDict(conv_fc=fc))
    return net


def ms_rnn(folder: Path) -> list[Row]:
    """Seven networks, plain and multi-scale, at 48 x 32."""
    height, width = 48, 32

    def rows_of(name: str, note: str = "", warps: Mends = (), order: Mends = (), batch: int = BATCH) -> list[Row]:
        base = name.removeprefix("ms-")
        shape = (batch, height, width)
        net = stirred(
            ms_rnn_network(
                folder, name, hidden=16, shape=shape, context=CONTEXT, leads=LEADS, warps=warps, order=order
            ),
            gain=1.5 if base == "trajgru" else 2.0,
        )
        converted = convert(net.state_dict(), "ms-rnn", network=name, form="paper" if warps else "as-published")
        frames = video(height=height, width=width, batch=batch)
        theirs, decoupling = net((frames.transpose(0, 1), 0, 0))
        mine, written = answers(converted, frames)
        rows = [row(name, "ms-rnn", theirs.transpose(0, 1), mine, note)]
        if base == "predrnn-v2":
            of_theirs = decoupling.sum(dim=(1, 3)).mean()  # step, layer, sample, channel
            of_mine = decoupling_loss(written, projection(converted), reduce="sum")
            rows.append(row(f"{name}: decoupling loss", "ms-rnn", of_theirs, of_mine))
        return rows

    rows = []
    for name in (prefix + base for base in MS_RNN for prefix in ("", "ms-")):
        if name.endswith("trajgru"):
            rows += rows_of(name, "as published: a zero flow moves H (positions over W - 1, corners not aligned)")
            rows += rows_of(name, "--form paper; their warp mended: corners aligned", ALIGNED)
        elif name.endswith("motionrnn"):
            published = (
                "as published, one sequence at a time: the warp of their TrajGRU; a reshape (H_warp) mixes pixels; "
                "another mixes the flows of a batch, which ours never does"
            )
            rows += rows_of(name, published, batch=1)
            rows += rows_of(name, "--form paper; their warp and their two reshapes mended", ALIGNED, IN_ORDER)
        else:
            rows += rows_of(name)
    return rows


def openstl_modules(folder: Path) -> Callable[[str, str], Any]:
    """Their models, without what these do not need: (module, class name) -> class."""
    code = folder / "openstl"

    class Nothing(nn.Identity):
        """In the place of blocks that none of the networks uses."""

    unused = ["ConvNeXtBlock", "MixerBlock", "SwinTransformerBlock", "window_partition", "window_reverse", "Block"]
    for module in ("timm", "timm.layers", "timm.models", *(f"timm.models.{name}" for name in TIMM_MODULES)):
        stand_in(
            module, __path__=[], DropPath=Nothing, trunc_normal_=nn.init.trunc_normal_, **dict.fromkeys(unused, Nothing)
        )
    package("openstl", code)
    package("openstl.models", code / "models")
    shared = package("openstl.modules", code / "modules")
    for name in ("convlstm", "predrnn", "predrnnv2", "predrnnpp", "mim", "simvp"):
        shared.__dict__.update(importlib.import_module(f"openstl.modules.{name}_modules").__dict__)

    def network(name: str, kind: str) -> Any:  # noqa: ANN401  their class
        return getattr(importlib.import_module(f"openstl.models.{name}_model"), kind)

    return network


def openstl(folder: Path) -> list[Row]:
    """Four recurrent networks with their variants, SimVP and TAU."""
    network = openstl_modules(folder)
    rows = []
    recurrent = {
        "ConvLSTM": network("convlstm", "ConvLSTM_Model"),
        "PredRNN": network("predrnn", "PredRNN_Model"),
        "PredRNN++": network("predrnnpp", "PredRNNpp_Model"),
        "MIM": network("mim", "MIM_Model"),
        "PredRNN-V2": network("predrnnv2", "PredRNNv2_Model"),
    }
    for name, kind in recurrent.items():
        # PredRNN++ with layer norms does not run there: those of its highway are half as wide as its gates.
        for norms in (0,) if name == "PredRNN++" else (0, 1):
            config = settings(layer_norm=norms)
            torch.manual_seed(SEED)
            note = "the first sequence that it is shown: it keeps S for the next" if name == "MIM" else ""
            what = ", layer norms" if norms else ""
            rows += recurrent_rows("openstl", name + what, kind(3, [16] * 3, config), config, note)
            if name == "MIM" and not norms:
                torch.manual_seed(SEED)
                rows += repeated_rows("openstl", name, kind(3, [16] * 3, config), config)
    simvp = network("simvp", "SimVP_Model")
    for name, kind in (("SimVP (IncepU)", "IncepU"), ("SimVP (gSTA)", "gSTA"), ("TAU", "tau")):
        torch.manual_seed(SEED)
        net = stirred(simvp((CONTEXT, 1, 48, 32), hid_S=16, hid_T=64, N_S=4, N_T=4, model_type=kind))
        frames = video(height=48, width=32, count=CONTEXT)
        mine, _ = answers(convert(net.state_dict(), "openstl"), frames)
        rows.append(row(name, "openstl", net(frames), mine[:, CONTEXT - 1 :]))
    return rows


TIMM_MODULES = ("convnext", "mlp_mixer", "swin_transformer", "vision_transformer")

RUNS: Mapping[str, Callable[[Path], list[Row]]] = {
    "predrnn-pytorch": predrnn_pytorch,
    "ms-rnn": ms_rnn,
    "openstl": openstl,
    "motionrnn": motionrnn,
}


def main() -> None:
    """Print the table, or write it into the page; with --child, the rows of one family as JSON."""
    parser = argparse.ArgumentParser(description="The authors' own code beside ours, with the same weights.")
    for family in FAMILIES:
        parser.add_argument(f"--{family}", type=Path, metavar="DIR", help=f"A checkout of {family}.")
    parser.add_argument("--write", action="store_true", help="Write the table into docs/networks.md.")
    parser.add_argument("--child", choices=FAMILIES, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    asked = {family: options[family.replace("-", "_")] for family in FAMILIES}
    if options["child"]:
        torch.set_num_threads(1)
        torch.manual_seed(SEED)
        with on_the_cpu():
            rows = RUNS[options["child"]](asked[options["child"]].resolve())
        print(json.dumps([asdict(found) for found in rows]))
        return
    if options["write"] and None in asked.values():
        parser.error(f"--write wants all of {', '.join(f'--{family}' for family in FAMILIES)}")
    lines = ["| network | repository | largest difference | largest value | note |", "|---|---|---:|---:|---|"]
    for family, folder in asked.items():
        if folder is None:
            continue
        child = [sys.executable, "-m", "benchmarks.parity.official", f"--{family}", str(folder), "--child", family]
        answer = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ)).stdout
        for found in (Row(**kept) for kept in json.loads(answer)):
            cells = (found.network, found.family, f"{found.difference:.1e}", f"{found.value:.3g}", found.note)
            lines.append(f"| {' | '.join(cells)} |")
    if options["write"]:
        replace_part("official", "\n".join(lines), NETWORKS_PAGE)
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
