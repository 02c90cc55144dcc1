"""Weights that a run starts with (`--init`): those of a package, or the best of another run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from model.core.errors import InputError
from model.core.manifest import MANIFEST, Manifest, read_manifest
from model.data.leakage import InitialProvenance, initial_provenance, provenance_gaps_of, training_archives
from model.nets.forecast_model import ForecastModel, config_from_dict, load_model
from model.train.checkpoint import READ_ERRORS
from model.train.recipe_json import read_recipe_json
from model.train.run_folder import BEST, PROVENANCE

WITHOUT_EFFECT: Final = ("net", "bounded")
"""Settings that do not change what weights compute; the settings inside `net` are compared one by one."""


def init_from(net: ForecastModel, path: Path) -> dict[str, Any]:
    """Load the weights of a package, or the best weights of a run, into a network.

    Parameters
    ----------
    net : ForecastModel
        The network; its weights are replaced.
    path : Path
        Folder of a package (NAME/VERSION) or of a run.

    Returns
    -------
    dict
        The record for `recipe.json`: `from`, a package's NAME@VERSION or the name of a run's folder (a package is
        passed on, and a path would tell of the machine), `weights_sha256`, the `archives` that the weights were trained
        on, and a clause on what is unknown about them.

    Raises
    ------
    InputError
        The folder holds no weights, they cannot be read, or they are of another network.
    """
    weights, config, trained_on, origin = _read_weights(path)
    own = net.state_dict()
    if net.config.thresholds_mm_h and not config_from_dict(config).thresholds_mm_h:
        weights = _with_head(weights, own)
        config = {**config, "thresholds_mm_h": net.config.thresholds_mm_h}
    different = [
        f"{name} is {_shape(weights.get(name))}, here {_shape(own.get(name))}"
        for name in {**own, **weights}
        if _shape(weights.get(name)) != _shape(own.get(name))
    ]
    if different:
        raise InputError(
            f"its weights are of another network: {len(different)} of {len({**own, **weights})} tensors differ, "
            f"{different[0]}",
            where=str(path),
            hint="Choose the recipe that they were trained with",
        )
    _check_settings(asdict(config_from_dict(config)), asdict(net.config), path)
    net.load_state_dict(weights)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].contiguous().numpy().tobytes())
    return {"from": origin, "weights_sha256": digest.hexdigest(), **trained_on}


def _with_head(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of a network without a distribution head, for one with it: its further planes start from 0."""
    extended = dict(weights)
    for name, tensor in weights.items():
        if name in own and (more := len(own[name]) - len(tensor)) > 0 and own[name].shape[1:] == tensor.shape[1:]:
            extended[name] = torch.cat([tensor, tensor.new_zeros(more, *tensor.shape[1:])])
    return extended


def _check_settings(stored: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> None:
    """Check that networks with equal tensors compute the same: a forget bias, for example, has no tensor.

    Raises
    ------
    InputError
        A setting differs.
    """
    flat_stored, flat_own = ({**config, **config["net"]} for config in (stored, own))
    for name, value in flat_own.items():
        before = flat_stored.get(name, "absent")
        if name not in WITHOUT_EFFECT and before != value:
            setting = f"model.{'net.' if name in own['net'] else ''}{name}"
            raise InputError(
                f"its weights are of another network: its {name} is {before}, here {value}",
                where=str(path),
                hint=f"Choose the recipe that they were trained with, or --set {setting}={before}",
            )


def _read_weights(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any], InitialProvenance, str]:
    """Read weights, the configuration of their network, the record of what they were trained on, and their name."""
    if (path / MANIFEST).exists():
        manifest = read_manifest(path)
        return load_model(path).state_dict(), manifest.config, _trained_on(manifest), manifest.reference
    if not (path / BEST).exists():
        raise InputError(
            f"neither a package nor a run: no {MANIFEST} and no {BEST} in it",
            where=str(path),
            hint="Name the folder NAME/VERSION of a package, or the --out of an `echocast train`",
        )
    try:
        weights = dict(torch.load(path / BEST, map_location="cpu", weights_only=True)["ema"])
        recipe = read_recipe_json(path)
        provenance = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
        before = initial_provenance(recipe)
        archives = [*provenance.get("archives", ()), *before["archives"]]
        return weights, recipe["model"], {**before, "archives": archives}, path.resolve().name
    except READ_ERRORS:
        raise InputError("cannot be read", where=str(path / BEST), hint="Name another run, or a package") from None


def _trained_on(manifest: Manifest) -> InitialProvenance:
    """Return the record of what the weights of a package were trained on."""
    if (training := manifest.training) is None:
        return {"archives": [], "provenance_gaps": f"the training data of {manifest.reference} is not recorded"}
    return {
        "archives": [asdict(archive) for archive in training_archives(training)],
        "provenance_gaps": provenance_gaps_of(training),
    }


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else " x ".join(map(str, tensor.shape)) or "a scalar"
