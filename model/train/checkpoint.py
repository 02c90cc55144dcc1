"""The state of a run, and its checkpoints."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError
from torch import nn

from model.core.errors import InputError, first_line
from model.nets.forecast_model import ForecastModel, build_model
from model.train.recipe import Optimiser, Recipe
from model.train.recipe_json import read_recipe_json, recipe_from_json, recipe_to_json
from model.train.run_folder import BEST, DAMAGED, LAST, PREVIOUS, PROVENANCE, RECIPE, save_atomically

DAMAGE: Final = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a damaged file of a run may raise."""

MAY_CHANGE: Final = ("iterations", "checkpoint_activations", "compile", "init")
"""Of a recipe, what need not be the same when its run goes on."""

Say = Callable[[str], None]
"""Hears, in a sentence, what a user should know."""


@dataclass
class Run:
    """State of a training run: everything that a checkpoint keeps. No random state is in it: windows, true frames and
    all else that is drawn depend on the recipe's seed and the iteration alone.

    `best`: the highest selection metric (see `validation`). `validated`: the iteration of the last validation;
    `losses`: those since then. `steps`: time steps (minutes) of all windows that it was trained on.
    """

    net: ForecastModel
    ema: ForecastModel
    optimiser: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    validated: int = 0
    losses: list[float] = field(default_factory=list)
    steps: set[float] = field(default_factory=set)

    def save(self, out: Path) -> None:
        """Write the last checkpoint; the one before is kept beside it.

        Raises
        ------
        InputError
            It cannot be written.
        """
        content = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": sorted(self.steps),
            **{name: getattr(self, name) for name in ("iteration", "seconds", "best", "validated", "losses")},
        }
        save_atomically(out / LAST, lambda file: torch.save(content, file), backup=out / PREVIOUS)

    def save_best(self, out: Path) -> None:
        """Write the mean weights, which scored best.

        Raises
        ------
        InputError
            They cannot be written.
        """
        content = {
            "ema": self.ema.state_dict(),
            "iteration": self.iteration,
            "best": self.best,
            "steps": sorted(self.steps),
        }
        save_atomically(out / BEST, lambda file: torch.save(content, file))

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from what `save` wrote.

        Raises
        ------
        RuntimeError
            It is of another network; or what a damaged file raises (`DAMAGE`).
        """
        self.net.load_state_dict(kept["net"])
        self.ema.load_state_dict(kept["ema"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.iteration, self.validated = int(kept["iteration"]), int(kept["validated"])
        self.seconds, self.best, self.losses = float(kept["seconds"]), float(kept["best"]), list(kept["losses"])
        self.steps = set(kept.get("steps", ()))


def new_state(recipe: Recipe, device: torch.device) -> Run:
    """A run at its start: weights from the recipe's seed.

    Raises
    ------
    InputError
        The recipe describes no network.
    """
    torch.manual_seed(recipe.seed)
    try:
        net = build_model(recipe.model).to(device)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"no network can be made of it ({first_line(error)})",
            where=f"recipe {recipe.name}",
            hint="Change its model, see --show",
        ) from None
    if recipe.channels_last:
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    ema = deepcopy(net).eval()
    net.checkpointed = recipe.checkpoint_activations
    return Run(net=net, ema=ema, optimiser=_optimiser(net, recipe.optimiser))


def _optimiser(net: ForecastModel, settings: Optimiser) -> torch.optim.Optimizer:
    betas = (settings.beta1, 0.999)
    if settings.kind == "adam":
        return torch.optim.Adam(net.parameters(), lr=settings.learning_rate, betas=betas)
    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    decayed = {id(layer.weight) for layer in net.modules() if isinstance(layer, layers)}
    groups = [
        {
            "params": [each for each in net.parameters() if (id(each) in decayed) == decays],
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas)


def resumed(run: Run, out: Path, say: Say) -> dict[str, Any]:
    """Go on from the last checkpoint in `out`, which holds one; from the one before where that is damaged, which `say`
    hears.

    Returns what was read, for `Run.restore`.

    Raises
    ------
    InputError
        Neither can be read, or they are of another network.
    """
    paths = [path for path in (out / LAST, out / PREVIOUS) if path.exists()]
    refused: list[InputError] = []
    for path in paths:
        try:
            # Parameters take what they are given to their own device: a run may go on without the one it began on.
            kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            run.restore(kept)
        except (*DAMAGE, RuntimeError, pickle.UnpicklingError) as error:
            refused.append(
                InputError(
                    f"not a checkpoint of this recipe ({first_line(error)})",
                    where=str(path),
                    hint="Resume with the recipe that the run was started with, or choose another --out",
                )
            )
        else:
            if path.name != LAST:
                if (out / LAST).exists():
                    (out / LAST).replace(out / DAMAGED)
                say(f"{out / LAST} cannot be read: the run goes on from {path.name}, after {run.iteration} iterations")
            _mind_the_best(kept, out, say)
            return kept
    raise refused[0]


def _mind_the_best(kept: dict[str, Any], out: Path, say: Say) -> None:
    """What is to beat is what lies in the best checkpoint: nothing where that is lost."""
    if not math.isfinite(kept["best"]) and not (out / BEST).exists():
        return
    try:
        kept["best"] = float(torch.load(out / BEST, map_location="cpu", weights_only=True)["best"])
    except (*DAMAGE, RuntimeError, pickle.UnpicklingError):
        kept["best"] = -math.inf
        say(f"{out / BEST} cannot be read: the next validation writes it anew")


def read_recipe(out: Path) -> Recipe:
    """The recipe that a run was started with.

    Raises
    ------
    InputError
        There is no run, or its recipe is damaged or of another version.
    """
    try:
        return recipe_from_json(read_recipe_json(out))
    except FileNotFoundError:
        what, hint = f"nothing to resume: no {RECIPE} in it", "Name a RECIPE to begin, or the run's folder with --out"
    except (OSError, ValueError) as error:
        what, hint = f"its {RECIPE} cannot be read ({first_line(error)})", "Name its RECIPE"
    raise InputError(what, where=str(out), hint=hint)


def check_compatible(recipe: Recipe, made_of: dict[str, Any], out: Path) -> dict[str, Any]:
    """Whether a run was started with this recipe, but for what may change, and on this data; its recipe as kept.

    Raises
    ------
    InputError
        It was not, or what it keeps of them is damaged.
    """
    try:
        kept = read_recipe_json(out)
        kept_data = json.loads((out / PROVENANCE).read_text(encoding="utf-8"))
        kept_data = {"kind": made_of["kind"], **kept_data}  # a run of an older version does not say
        differ = _differing(_as_of_now(kept), recipe_to_json(recipe))
        changed = [name for name in ("kind", "digest") if kept_data[name] != made_of[name]]
    except DAMAGE as error:
        raise InputError(
            f"what the run was started with cannot be read ({first_line(error)})",
            where=str(out),
            hint="Train anew, into another --out",
        ) from None
    differ = [each for each in differ if each.split()[0].partition(".")[0] not in MAY_CHANGE]
    if differ:
        raise InputError(
            f"the run was started with another recipe: {'; '.join(differ[:4])}{'; ...' if len(differ) > 4 else ''}",
            where=str(out),
            hint="Leave RECIPE and its settings out to go on with the run's own, or choose another --out",
        )
    if changed:
        raise InputError(
            f"the run was started on other data: its {' and '.join(changed)} differ",
            where=str(out),
            hint="Resume with its --archive or --data, or choose another --out",
        )
    return dict(kept)


def _as_of_now(kept: dict[str, Any]) -> dict[str, Any]:
    """A recipe as JSON kept it, with the fields that it had no word for in its version, as they are by default."""
    try:
        known = recipe_from_json(kept)
    except ValidationError:
        return kept
    return {**kept, **recipe_to_json(known)}


def _differing(kept: object, given: object, name: str = "") -> list[str]:
    """`NAME was KEPT, is GIVEN` of each part that differs, parts of parts by NAME.NAME."""
    if isinstance(kept, dict) and isinstance(given, dict):
        absent = "not there"
        parts = [
            _differing(kept.get(key, absent), given.get(key, absent), f"{name}.{key}" if name else key)
            for key in {**kept, **given}
        ]
        return [each for part in parts for each in part]
    return [] if kept == given else [f"{name} was {kept}, is {given}"]
