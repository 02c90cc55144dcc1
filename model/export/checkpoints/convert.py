"""A checkpoint file of a public repository -> the configuration and the weights of our network."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from model.core.errors import InputError
from model.core.manifest import Form
from model.export.checkpoints import FAMILIES, motionrnn, ms_rnn, openstl, predrnn_pytorch
from model.export.checkpoints.layout import Plan, Theirs
from model.nets.forecast_model import ModelConfig, RecurrentFreeModel, RecurrentModel, build_model
from model.nets.stack import StackConfig

Planner = Callable[[Theirs, str, int | None], Plan]

PLANNERS: Final[Mapping[str, Planner]] = dict(
    zip(FAMILIES, (predrnn_pytorch.plan, ms_rnn.plan, openstl.plan, motionrnn.plan), strict=True)
)

SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "ms-rnn": ("rnns.lstm.",),
    "motionrnn": ("motion_list.",),
    "openstl": ("cell_list.", "stlstm_layer.", "enc.enc."),
    "predrnn-pytorch": ("cell_list.",),
}
"""What keys of a family begin with; the first that fits tells where a checkpoint may come from."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Our network: its name as in `model.nets.networks`, its configuration, its weights, and what was left out.

    `faults`: where the published code departs from the paper, whichever form was chosen. `remarks`: see `Plan`.
    """

    network: str
    config: ModelConfig
    weights: Mapping[str, Tensor]
    dropped: tuple[str, ...]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def build_model(self) -> RecurrentModel | RecurrentFreeModel:
        """The network with these weights, in evaluation mode."""
        net = build_model(self.config)
        net.load_state_dict(dict(self.weights))
        return net.eval()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of `torch.save`, without the prefixes of wrappers. Nothing in the file is executed.

    Raises
    ------
    InputError
        No such file, no checkpoint, or objects in it that only unpickling could make.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(
            f"cannot read ({error.strerror or error})", where=str(path), hint="Name a checkpoint file"
        ) from None
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise InputError(
                "it holds Python objects beside tensors, which loading would execute",
                where=str(path),
                hint="Where you trust the file, save its state dict alone: torch.save(model.state_dict(), FILE)",
            ) from None
        raise _no_checkpoint(path) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise _no_checkpoint(path) from None
    return _state_dict(kept, path)


def convert(
    tensors: Mapping[str, Tensor],
    family: str,
    *,
    network: str = "",
    channels: int | None = None,
    form: Form = "as-published",
) -> Converted:
    """Our network of a state dict of a family's.

    `network`: its name; needed where the tensors do not tell (MS-RNN, plain or multi-scale), else checked against
    them. `channels` of an image; None: as few as fit the patches. `form`: where their code departs from the paper,
    which of the two the network computes. Weights that their code trained forecast as they did there `as-published`.

    Raises
    ------
    InputError
        Keys or shapes that are not of a network of this family.
    """
    theirs = Theirs(tensors)
    _of_family(tensors, family)
    try:
        plan = PLANNERS[family](theirs, network, channels)
    except ValueError as error:
        if theirs.unsized:
            key = theirs.unsized[0]
            raise InputError(f"its keys do not fit: {key} is missing, or not the kernel of a convolution") from None
        raise InputError(f"no network has these shapes ({error})") from None
    if network and network != plan.network:
        fitting = plan.network
        if family == "ms-rnn":  # plain and multi-scale have the same keys
            plain = plan.network.removeprefix("ms-")
            fitting = f"{plain} or --network ms-{plain}"
        raise InputError(f"its keys are of {plan.network}, not of {network}", hint=f"Give --network {fitting}")
    weights, origin = _follow(plan, theirs)
    _nothing_left(theirs, plan)
    net = plan.net
    if isinstance(net, StackConfig):
        weights, net = _by_channel(weights, replace(net, as_published=bool(plan.faults) and form == "as-published"))
    try:
        config = ModelConfig(
            net=net,
            channels=plan.channels,
            fields=plan.fields,
            reads_known=False,
            reads_time=False,
            residual=False,
            bounded=False,
        )
        with torch.device("meta"):
            ours = build_model(config).state_dict()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"no network has these shapes ({error})") from None
    for name, tensor in ours.items():
        if name not in weights and name.endswith(".bias"):  # of a layer that they gave no bias, beside some that have
            weights[name] = torch.zeros(tensor.shape)
        if name not in weights or weights[name].shape != tensor.shape:
            found = f"has shape {tuple(weights[name].shape)}" if name in weights else "is missing"
            raise InputError(
                f"{origin.get(name, name)} {found}, {plan.network} needs {tuple(tensor.shape)} for its {name}"
            )
    return Converted(
        network=plan.network,
        config=config,
        weights=weights,
        dropped=tuple(sorted(set(theirs.dropped))),
        faults=tuple(plan.faults),
        remarks=tuple(plan.remarks),
    )


def _no_checkpoint(path: Path) -> InputError:
    return InputError("not a checkpoint of PyTorch", where=str(path), hint="Name a file that torch.save wrote")


def _state_dict(kept: Any, path: Path) -> dict[str, Tensor]:  # noqa: ANN401  whatever the file holds
    for inner in ("net_param", "state_dict"):
        if isinstance(kept, dict) and isinstance(kept.get(inner), dict):
            kept = kept[inner]
    if not isinstance(kept, dict) or not kept or not all(isinstance(tensor, Tensor) for tensor in kept.values()):
        raise InputError(
            "no state dict in it", where=str(path), hint="Save the state dict: torch.save(model.state_dict(), FILE)"
        )
    tensors = {str(key): tensor for key, tensor in kept.items()}
    for prefix in ("module.", "model.", "module."):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise InputError(f"{key} is no dense tensor", where=str(path), hint="Save the weights as dense tensors")
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{key} holds numbers that are not finite", where=str(path), hint="Take another checkpoint"
            )
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}


def _of_family(tensors: Mapping[str, Tensor], family: str) -> None:
    if any(key.startswith(SIGNS[family]) for key in tensors):
        return
    first = next(iter(tensors), "none")
    other = next((name for name, signs in SIGNS.items() if any(key.startswith(signs) for key in tensors)), "")
    raise InputError(
        f"its keys are not of {family}: the first is {first}",
        hint=f"Try --from {other}" if other else f"Known are checkpoints of {', '.join(FAMILIES)}",
    )


def _follow(plan: Plan, theirs: Theirs) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Our tensors by name, and by name where they come from."""
    weights: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    inside = "stack." if isinstance(plan.net, StackConfig) else "net."
    for ours, prefix, table in plan.tables:
        for module, row in table.items():
            for end, tensor in (row.read(theirs, prefix, plan.changes.get(ours + module)) or {}).items():
                weights[inside + ours + module + end] = tensor.contiguous()
                origin[inside + ours + module + end] = prefix + row.named
    return weights, origin


def _nothing_left(theirs: Theirs, plan: Plan) -> None:
    """Every tensor of theirs is in ours, or is known to do nothing in theirs.

    Raises
    ------
    InputError
        Names the first key that is missing and the first that is unexpected.
    """
    left = [key for key in theirs.tensors if key not in theirs.used]
    idle = [key for key in left if any(re.match(pattern, key) for pattern in plan.unused)]
    theirs.dropped += idle
    unexpected = [key for key in left if key not in idle]
    if not theirs.missing and not unexpected:
        return
    faults = [
        *([f"{theirs.missing[0]} is missing"] if theirs.missing else []),
        *([f"{unexpected[0]} is unexpected"] if unexpected else []),
    ]
    counts = f"{len(theirs.missing)} missing, {len(unexpected)} unexpected"
    raise InputError(
        f"its keys do not fit {plan.network}: {'; '.join(faults)} ({counts})",
        hint="Check --from and --network, and that it is a state dict of the whole network",
    )


def _by_channel(weights: dict[str, Tensor], net: StackConfig) -> tuple[dict[str, Tensor], StackConfig]:
    """Weights per pixel as weights per channel, where they are the same at all pixels; else the grid is theirs."""
    per_pixel = {name: tensor for name, tensor in weights.items() if tensor.ndim == 3}
    if all((tensor == tensor[:, :1, :1]).all() for tensor in per_pixel.values()):
        return weights | {name: tensor[:, :1, :1].contiguous() for name, tensor in per_pixel.items()}, net
    rows, columns = next(iter(per_pixel.values())).shape[1:]
    return weights, replace(net, grid=(rows * net.first_stride, columns * net.first_stride))
