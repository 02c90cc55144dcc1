"""Weights to begin with: those of a package, or of another run."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.core.errors import InputError
from model.core.manifest import MANIFEST
from model.nets.forecaster import Forecaster, load_forecaster
from model.train.files import BEST
from model.train.run import DAMAGE


def begin_with(net: Forecaster, path: Path) -> dict[str, Any]:
    """Give a network the weights of a package's folder, or the best of a run's; returns what they were, for the record.

    Raises:
        InputError: there are none, or they are of another network.
    """
    weights = _weights_in(path)
    own = net.state_dict()
    wrong = [
        f"{name} is {_shape(weights.get(name))}, here {_shape(own.get(name))}"
        for name in {**own, **weights}
        if _shape(weights.get(name)) != _shape(own.get(name))
    ]
    if wrong:
        raise InputError(
            f"its weights are of another network: {len(wrong)} of {len({**own, **weights})} tensors differ, {wrong[0]}",
            where=str(path),
            mend="Choose the recipe that they were trained with",
        )
    net.load_state_dict(weights)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].contiguous().numpy().tobytes())
    return {"from": str(path), "weights_sha256": digest.hexdigest()}


def _weights_in(path: Path) -> dict[str, Tensor]:
    if (path / MANIFEST).exists():
        return load_forecaster(path).state_dict()
    if not (path / BEST).exists():
        raise InputError(
            f"neither a package nor a run: no {MANIFEST} and no {BEST} in it",
            where=str(path),
            mend="Name the folder NAME/VERSION of a package, or the --out of an `echocast train`",
        )
    try:
        return dict(torch.load(path / BEST, map_location="cpu", weights_only=True)["ema"])
    except (*DAMAGE, RuntimeError, pickle.UnpicklingError):
        raise InputError("cannot be read", where=str(path / BEST), mend="Name another run, or a package") from None


def _shape(tensor: Tensor | None) -> str:
    return "not there" if tensor is None else " x ".join(map(str, tensor.shape)) or "a number"
