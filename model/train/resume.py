"""Resuming a run: its stored recipe, and whether recipe and data are those that it was started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from model.core.errors import InputError, first_line
from model.train.checkpoint import READ_ERRORS
from model.train.recipe import Recipe
from model.train.recipe_json import read_recipe_json, recipe_from_json, recipe_to_json
from model.train.run_folder import PROVENANCE, RECIPE

MAY_CHANGE: Final = ("iterations", "checkpoint_activations", "compile")
"""Fields of a recipe that may change when a run is resumed: they do not change what an iteration computes."""


def stored_recipe(out: Path) -> Recipe:
    """Return the recipe that a run was started with.

    Raises
    ------
    InputError
        The folder holds no run, or its recipe is damaged or of another version.
    """
    try:
        return recipe_from_json(read_recipe_json(out))
    except FileNotFoundError:
        what, hint = f"nothing to resume: no {RECIPE} in it", "Name a RECIPE to start, or the run's folder with --out"
    except (OSError, ValueError) as error:
        what, hint = f"its {RECIPE} cannot be read ({first_line(error)})", "Name its RECIPE"
    raise InputError(what, where=str(out), hint=hint)


def check_resumable(recipe: Recipe, provenance: dict[str, Any], out: Path) -> dict[str, Any] | None:
    """Check that a run was started with this recipe, except for `MAY_CHANGE`, and on this data.

    Parameters
    ----------
    recipe : Recipe
        The recipe to resume with.
    provenance : dict
        `kind` and `digest` of the data to resume with.
    out : Path
        Folder of the run.

    Returns
    -------
    dict or None
        The record of the run's initial weights (see `model.train.pretrained`); None if they were random.

    Raises
    ------
    InputError
        Recipe or data differ, or the files that describe them are damaged.
    """
    try:
        stored = read_recipe_json(out)
        stored_data = json.loads((out / PROVENANCE).read_text(encoding="utf-8"))
        stored_data = {"kind": provenance["kind"], **stored_data}  # older versions did not store the kind
        changes = _changes(recipe_to_json(recipe_from_json(stored)), recipe_to_json(recipe))
        changed_data = [name for name in ("kind", "digest") if stored_data[name] != provenance[name]]
    except READ_ERRORS as error:
        raise InputError(
            f"the recipe or the provenance of the run cannot be read ({first_line(error)})",
            where=str(out),
            hint="Train into another --out",
        ) from None
    changes = [change for change in changes if change.split()[0].partition(".")[0] not in MAY_CHANGE]
    if changes:
        raise InputError(
            f"the run was started with another recipe: {'; '.join(changes[:4])}{'; ...' if len(changes) > 4 else ''}",
            where=str(out),
            hint="Leave RECIPE and its settings out to resume with the run's own, or choose another --out",
        )
    if changed_data:
        raise InputError(
            f"the run was started on other data, with another {' and '.join(changed_data)}",
            where=str(out),
            hint="Resume with its --archive or --data, or choose another --out",
        )
    init: dict[str, Any] | None = stored.get("init")
    return init


def _changes(stored: object, given: object, name: str = "") -> list[str]:
    """Return `NAME was STORED, is GIVEN` for each field that differs; a field of a part has the name PART.FIELD."""
    if isinstance(stored, dict) and isinstance(given, dict):
        keys, absent = {**stored, **given}, "absent"
        parts = [_changes(stored.get(key, absent), given.get(key, absent), f"{name}.{key}") for key in keys]
        return [change for part in parts for change in part]
    return [] if stored == given else [f"{name.removeprefix('.')} was {stored}, is {given}"]
