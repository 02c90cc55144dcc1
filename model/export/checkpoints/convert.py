"""Conversion of a checkpoint of a published repository to a configuration and weights."""

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
from model.export.checkpoints.layout import ConversionPlan, SourceState
from model.nets.forecast_model import ModelConfig, RecurrentFreeModel, RecurrentModel, build_model
from model.nets.stack import StackConfig

Planner = Callable[[SourceState, str, int | None], ConversionPlan]

PLANNERS: Final[Mapping[str, Planner]] = dict(
    zip(FAMILIES, (predrnn_pytorch.plan, ms_rnn.plan, openstl.plan, motionrnn.plan), strict=True)
)

KEY_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "ms-rnn": ("rnns.lstm.",),
    "motionrnn": ("motion_list.",),
    "openstl": ("cell_list.", "stlstm_layer.", "enc.enc."),
    "predrnn-pytorch": ("cell_list.",),
}
"""Prefixes of keys of a repository; the first that fits suggests where a checkpoint comes from."""


@dataclass(frozen=True, kw_only=True)
class ConvertedCheckpoint:
    """A converted checkpoint.

    Attributes
    ----------
    network
        Name in `model.nets.networks`.
    config, weights
        Configuration and state dict of the model.
    ignored
        Source keys and gates that the published code never uses.
    faults, remarks
        See `ConversionPlan`; the faults are listed in either form.
    """

    network: str
    config: ModelConfig
    weights: Mapping[str, Tensor]
    ignored: tuple[str, ...]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def build_model(self) -> RecurrentModel | RecurrentFreeModel:
        """Return the model with these weights, in evaluation mode."""
        model = build_model(self.config)
        model.load_state_dict(dict(self.weights))
        return model.eval()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file of `torch.save`, without the prefixes of wrappers; nothing in it is executed.

    Raises
    ------
    InputError
        The file is missing or not a checkpoint, or holds objects that only unpickling could make.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(
            f"cannot read ({error.strerror or error})", where=str(path), hint="Name a checkpoint file"
        ) from None
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise InputError(
                "the file holds Python objects besides tensors, which loading would execute",
                where=str(path),
                hint="If you trust the file, save only the state dict: torch.save(model.state_dict(), FILE)",
            ) from None
        raise _not_a_checkpoint(path) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise _not_a_checkpoint(path) from None
    return _state_dict(content, path)


def convert(
    tensors: Mapping[str, Tensor],
    family: str,
    *,
    network: str = "",
    channels: int | None = None,
    form: Form = "as-published",
) -> ConvertedCheckpoint:
    """Convert a state dict.

    Parameters
    ----------
    tensors
        The state dict.
    family
        Repository, one of `FAMILIES`.
    network
        Name of the network; required where plain and multi-scale have the same keys (MS-RNN), else checked.
    channels
        Channels of a frame; by default as few as fit the patches.
    form
        What the network computes where the published code departs from the paper. Weights that were trained by that
        code forecast as they do there `as-published`.

    Raises
    ------
    InputError
        Keys or shapes do not belong to a network of this repository.
    """
    source = SourceState(tensors)
    _check_family(tensors, family)
    try:
        plan = PLANNERS[family](source, network, channels)
    except ValueError as error:
        if source.unsized:
            key = source.unsized[0]
            raise InputError(f"the keys do not fit: {key} is missing, or not the kernel of a convolution") from None
        raise InputError(f"no network has these shapes ({error})") from None
    if network and network != plan.network:
        fitting = plan.network
        if family == "ms-rnn":  # plain and multi-scale have the same keys
            plain = plan.network.removeprefix("ms-")
            fitting = f"{plain} or --network ms-{plain}"
        raise InputError(f"the keys belong to {plan.network}, not to {network}", hint=f"Give --network {fitting}")
    weights, origin = _read_tables(plan, source)
    _check_keys(source, plan)
    net = plan.net
    if isinstance(net, StackConfig):
        weights, net = _per_channel(weights, replace(net, as_published=bool(plan.faults) and form == "as-published"))
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
            target = build_model(config).state_dict()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"no network has these shapes ({error})") from None
    for name, tensor in target.items():
        if name not in weights and name.endswith(".bias"):  # the source layer has no bias, others of the network do
            weights[name] = torch.zeros(tensor.shape)
        if name not in weights or weights[name].shape != tensor.shape:
            reason = f"has shape {tuple(weights[name].shape)}" if name in weights else "is missing"
            raise InputError(
                f"{origin.get(name, name)} {reason}, {plan.network} needs {tuple(tensor.shape)} for {name}"
            )
    return ConvertedCheckpoint(
        network=plan.network,
        config=config,
        weights=weights,
        ignored=tuple(sorted(set(source.ignored))),
        faults=tuple(plan.faults),
        remarks=tuple(plan.remarks),
    )


def _not_a_checkpoint(path: Path) -> InputError:
    return InputError("not a PyTorch checkpoint", where=str(path), hint="Name a file that torch.save wrote")


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:  # noqa: ANN401  any type that the file holds
    for inner in ("net_param", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    if not isinstance(content, dict) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        what = "the file has no state dict"
        raise InputError(what, where=str(path), hint="Save the state dict: torch.save(model.state_dict(), FILE)")
    tensors = {str(key): tensor for key, tensor in content.items()}
    for prefix in ("module.", "model.", "module."):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise InputError(f"{key} is not a dense tensor", where=str(path), hint="Save the weights as dense tensors")
        if not torch.isfinite(tensor).all():
            raise InputError(f"{key} holds NaN or infinite values", where=str(path), hint="Choose another checkpoint")
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}


def _check_family(tensors: Mapping[str, Tensor], family: str) -> None:
    if any(key.startswith(KEY_PREFIXES[family]) for key in tensors):
        return
    first = next(iter(tensors), "none")
    other = next((name for name, signs in KEY_PREFIXES.items() if any(key.startswith(signs) for key in tensors)), "")
    raise InputError(
        f"the keys do not belong to {family}: the first is {first}",
        hint=f"Try --from {other}" if other else f"Supported are checkpoints of {', '.join(FAMILIES)}",
    )


def _read_tables(plan: ConversionPlan, source: SourceState) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the target tensors by name, and their source keys by name."""
    weights: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    network = "stack." if isinstance(plan.net, StackConfig) else "net."
    for target, prefix, table in plan.tables:
        for module, rule in table.items():
            for end, tensor in (rule.read(source, prefix, plan.transforms.get(target + module)) or {}).items():
                weights[network + target + module + end] = tensor.contiguous()
                origin[network + target + module + end] = prefix + " and ".join(rule.keys)
    return weights, origin


def _check_keys(source: SourceState, plan: ConversionPlan) -> None:
    """Check that no source tensor is missing, and that each is used or known to be unused in the published code.

    Raises
    ------
    InputError
        Tensors are missing or unexpected; the message names the first of each.
    """
    others = [key for key in source.tensors if key not in source.used]
    unused = [key for key in others if any(re.match(pattern, key) for pattern in plan.unused)]
    source.ignored += unused
    unexpected = [key for key in others if key not in unused]
    if not source.missing and not unexpected:
        return
    reasons = [f"{key} is missing" for key in source.missing[:1]]
    reasons += [f"{key} is unexpected" for key in unexpected[:1]]
    counts = f"{len(source.missing)} missing, {len(unexpected)} unexpected"
    raise InputError(
        f"the keys do not fit {plan.network}: {'; '.join(reasons)} ({counts})",
        hint="Check --from and --network, and that the file has the state dict of the complete network",
    )


def _per_channel(weights: dict[str, Tensor], net: StackConfig) -> tuple[dict[str, Tensor], StackConfig]:
    """Reduce weights per pixel to weights per channel where all pixels are equal; else bind the network to the grid."""
    per_pixel = {name: tensor for name, tensor in weights.items() if tensor.ndim == 3}
    if all((tensor == tensor[:, :1, :1]).all() for tensor in per_pixel.values()):
        return weights | {name: tensor[:, :1, :1].contiguous() for name, tensor in per_pixel.items()}, net
    rows, columns = next(iter(per_pixel.values())).shape[1:]
    return weights, replace(net, grid=(rows * net.first_stride, columns * net.first_stride))
