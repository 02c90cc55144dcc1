"""Loads the official code of each network from a checkout, on the CPU.

No part of these repositories is part of Echocast. Stubs replace the modules that the networks import without needing
them (timm, a plotting library), and `.cuda()` does nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

SEED: Final = 7

Patches = Sequence[tuple[str, str]]
"""Pairs of a fragment of source code and a replacement."""


def from_file(name: str, path: Path, patches: Patches = ()) -> types.ModuleType:
    """Import the module at `path` as `name`, with patches applied to its source in memory."""
    source = path.read_text(encoding="utf-8")
    for old, new in patches:
        assert old in source, (old, path)
        source = source.replace(old, new)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  (a checkout that the user names)
    return module


def stub_module(name: str, **attributes: object) -> types.ModuleType:
    """Register a module with these attributes in place of the real one."""
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    sys.modules[name] = module
    return module


def package_without_init(name: str, folder: Path) -> types.ModuleType:
    """Register the package in `folder` without running its `__init__`."""
    return stub_module(name, __path__=[str(folder)])


@contextlib.contextmanager
def on_the_cpu() -> Iterator[None]:
    """Run official code on the CPU: `.cuda()` does nothing, and output and warnings do not reach stdout."""
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def configuration(*, context: int, total: int, batch: int, side: int, **values: object) -> types.SimpleNamespace:
    """Return the configuration that networks of predrnn-pytorch, MotionRNN and OpenSTL read."""
    return types.SimpleNamespace(
        **{
            **{"patch_size": 4, "img_channel": 1, "img_width": side, "img_height": side, "filter_size": 5, "stride": 1},
            **{"layer_norm": 0, "device": "cpu", "total_length": total, "input_length": context, "batch_size": batch},
            **{"pre_seq_length": context, "aft_seq_length": total - context, "reverse_scheduled_sampling": 0},
            **{"visual_path": "", "decouple_beta": 1.0, "conv_on_input": 1, "res_on_conv": 1, "num_action_ch": 4},
            **{"in_shape": (context, 1, side, side), "visual": 0, **values},
        }
    )


def to_patches(frames: Tensor, patch: int) -> Tensor:
    """Reshape frames [b, t, c, y, x] to patches [b, t, y / patch, x / patch, patch * patch * c]."""
    b, t, c, y, x = frames.shape
    parts = frames.reshape(b, t, c, y // patch, patch, x // patch, patch)
    return parts.permute(0, 1, 3, 5, 4, 6, 2).reshape(b, t, y // patch, x // patch, -1)


def from_patches(planes: Tensor, patch: int) -> Tensor:
    """Reshape patches to frames: the inverse of `to_patches`."""
    b, t, y, x, n = planes.shape
    parts = planes.reshape(b, t, y, x, patch, patch, n // patch**2)
    return parts.permute(0, 1, 6, 2, 4, 3, 5).reshape(b, t, -1, y * patch, x * patch)


def predrnn_pytorch_model(folder: Path, kind: str) -> Any:  # noqa: ANN401  (a class of a checkout)
    """Return the class of a network of predrnn-pytorch."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    stub_module("core.utils.tsne", visualization=None)
    return importlib.import_module(f"core.models.{kind}").RNN


def motionrnn_model(folder: Path) -> Any:  # noqa: ANN401  (a class of a checkout)
    """Return the class of MotionRNN around PredRNN."""
    sys.path.insert(0, str(folder))
    return importlib.import_module("core.models.MotionRNN_PredRNN").RNN


@contextlib.contextmanager
def states_from_zero() -> Iterator[None]:
    """Make MotionRNN, which draws its first states at random, start from zeros."""
    start = nn.init.xavier_normal_
    nn.init.xavier_normal_ = nn.init.zeros_  # type: ignore[assignment]
    yield
    nn.init.xavier_normal_ = start


MS_RNN = {
    "convlstm": ("convlstm", "ConvLSTM"),
    "trajgru": ("trajgru", "TrajGRU"),
    "predrnn": ("predrnn", "PredRNN"),
    "predrnn-pp": ("predrnn_plus2", "PredRNN_Plus2"),
    "mim": ("mim", "MIM"),
    "motionrnn": ("motionrnn", "MotionRNN"),
    "predrnn-v2": ("predrnn_v2", "PredRNN_V2"),
}
"""Module and class of each network in MS-RNN."""

ALIGNED_WARP: Patches = [("align_corners=False", "align_corners=True")]
ORDERED_RESHAPES: Patches = [
    ("flow.reshape(C // 2, B,", "flow.reshape(B, C // 2,"),
    ("flow[i, ...]", "flow[:, i]"),
    ("H_warp.reshape(", "H_warp.permute(0, 1, 4, 2, 3).reshape("),
]
CORRECTIONS = {"trajgru": ALIGNED_WARP, "motionrnn": ORDERED_RESHAPES}
"""Patches that make networks of MS-RNN agree with their papers; MotionRNN imports the warp of TrajGRU."""


def ms_rnn_network(
    folder: Path,
    name: str,
    *,
    hidden: int,
    shape: tuple[int, int, int],
    context: int,
    leads: int,
    corrected: bool = False,
    seed: int = SEED,
) -> nn.Module:
    """Return a network of MS-RNN with its initial weights.

    Parameters
    ----------
    folder : Path
        A checkout of mazhf/MS-RNN.
    name : str
        Name of the network, with the prefix `ms-` for its multi-scale form.
    hidden : int
        Hidden channels of each of the six layers.
    shape : tuple of int
        Batch size, rows and columns.
    context, leads : int
        Input frames and forecast frames.
    corrected : bool
        Apply `CORRECTIONS`.
    seed : int
        Seed of the initial weights.
    """
    cfg = types.SimpleNamespace(
        **{"LSTM_conv": nn.Conv2d, "LSTM_deconv": nn.ConvTranspose2d, "CONV_conv": nn.Conv2d, "LSTM_layers": 6},
        **{"lstm_hidden_state": hidden, "batch": shape[0], "TrajGRU_link_num": 10, "dataset": "HKO", "in_len": context},
        **{"out_len": leads, "scheduled_sampling": False, "reverse_scheduled_sampling": False, "epoch": 1},
    )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    stub_module("config", cfg=cfg)
    models = folder / "models"
    package_without_init("models", models)
    base = name.removeprefix("ms-")
    module, kind = MS_RNN[base]
    patches = CORRECTIONS if corrected else {}
    from_file("models.trajgru", models / "trajgru.py", patches.get("trajgru", ()))
    prefix = "" if name == base else "ms_"
    cells = from_file(f"models.{prefix}{module}", models / f"{prefix}{module}.py", patches.get(base, ()))
    model = from_file("model_of_ms_rnn", folder / "model.py")
    torch.manual_seed(seed)
    rnn = getattr(cells, prefix.upper() + kind)(hidden, hidden, shape, 3, 1, 1)
    embed, fc = ([hidden if i else 1, 1 if i else hidden, 1, 1, 0, 1] for i in (0, 1))
    net: nn.Module = model.Model(OrderedDict(conv_embed=embed), rnn, OrderedDict(conv_fc=fc))
    return net


TIMM_MODULES = ("convnext", "mlp_mixer", "swin_transformer", "vision_transformer")


def openstl_modules(folder: Path) -> Callable[[str, str], Any]:
    """Return a function that maps a module and a class name of OpenSTL to the class."""
    code = folder / "openstl"

    class Unused(nn.Identity):
        """Takes the place of blocks that none of the networks uses."""

    unused = ["ConvNeXtBlock", "MixerBlock", "SwinTransformerBlock", "window_partition", "window_reverse", "Block"]
    for module in ("timm", "timm.layers", "timm.models", *(f"timm.models.{name}" for name in TIMM_MODULES)):
        stub_module(
            module, __path__=[], DropPath=Unused, trunc_normal_=nn.init.trunc_normal_, **dict.fromkeys(unused, Unused)
        )
    package_without_init("openstl", code)
    package_without_init("openstl.models", code / "models")
    shared = package_without_init("openstl.modules", code / "modules")
    for name in ("convlstm", "predrnn", "predrnnv2", "predrnnpp", "mim", "simvp"):
        shared.__dict__.update(importlib.import_module(f"openstl.modules.{name}_modules").__dict__)

    def network(name: str, kind: str) -> Any:  # noqa: ANN401  (a class of a checkout)
        return getattr(importlib.import_module(f"openstl.models.{name}_model"), kind)

    return network
