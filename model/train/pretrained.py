"""Weights to begin with: those of a package, or of another run."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from model.core.errors import InputError
from model.core.manifest import MANIFEST, Manifest, read_manifest
from model.data.seen import SeenBefore, archives_of, seen_before, untold_of
from model.nets.forecast_model import ForecastModel, config_from, load_model
from model.train.checkpoint import DAMAGE
from model.train.recipe_json import read_recipe_json
from model.train.run_folder import BEST, PROVENANCE

NOT_LEARNED: Final = ("net", "bounded")
"""Settings of a network that its weights do not depend on; and those of `net`, which are looked at one by one."""


def init_from(net: ForecastModel, path: Path) -> dict[str, Any]:
    """Give a network the weights of a package's folder, or the best of a run's; returns what they were, for the record:
    also the `archives` that they have seen, or what of that is `untold`.

    Raises
    ------
    InputError
        There are none, or they are of another network.
    """
    weights, config, seen = _weights_in(path)
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
            hint="Choose the recipe that they were trained with",
        )
    _check_same(config, asdict(net.config), path)
    net.load_state_dict(weights)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].contiguous().numpy().tobytes())
    return {"from": str(path), "weights_sha256": digest.hexdigest(), **seen}


def _check_same(config: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> None:
    """Whether networks whose tensors agree also compute the same: forget biases and dialects have no tensors.

    Raises
    ------
    InputError
        A setting differs.
    """
    theirs = asdict(config_from(config))
    flat = [{**each, **each["net"]} for each in (theirs, own)]
    differ = [name for name in flat[1] if name not in NOT_LEARNED and flat[0].get(name) != flat[1][name]]
    if differ:
        name = differ[0]
        setting = f"model.{'net.' if name in own['net'] else ''}{name}"
        raise InputError(
            f"its weights are of another network: its {name} is {flat[0].get(name, 'not there')}, here {flat[1][name]}",
            where=str(path),
            hint=f"Choose the recipe that they were trained with, or --set {setting}={flat[0].get(name)}",
        )


def _seen_by_package(manifest: Manifest) -> SeenBefore:
    """What the weights of a package have seen, as the run of those that begin with them keeps it."""
    if (training := manifest.training) is None:
        return {"archives": [], "untold": f"what the weights of {manifest.reference} have seen is not told"}
    return {"archives": [asdict(each) for each in archives_of(training)], "untold": untold_of(training)}


def _seen_by_run(path: Path, recipe: Mapping[str, Any]) -> SeenBefore:
    """The same of a run."""
    made_of = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
    before = seen_before(recipe)
    return {"archives": [*made_of.get("archives", ()), *before["archives"]], "untold": before["untold"]}


def _weights_in(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any], SeenBefore]:
    """The weights, the configuration of their network, and what they have seen."""
    if (path / MANIFEST).exists():
        manifest = read_manifest(path)
        return load_model(path).state_dict(), manifest.config, _seen_by_package(manifest)
    if not (path / BEST).exists():
        raise InputError(
            f"neither a package nor a run: no {MANIFEST} and no {BEST} in it",
            where=str(path),
            hint="Name the folder NAME/VERSION of a package, or the --out of an `echocast train`",
        )
    try:
        weights = dict(torch.load(path / BEST, map_location="cpu", weights_only=True)["ema"])
        recipe = read_recipe_json(path)
        return weights, recipe["model"], _seen_by_run(path, recipe)
    except (*DAMAGE, RuntimeError, pickle.UnpicklingError):
        raise InputError("cannot be read", where=str(path / BEST), hint="Name another run, or a package") from None


def _shape(tensor: Tensor | None) -> str:
    return "not there" if tensor is None else " x ".join(map(str, tensor.shape)) or "a number"
