"""Recipes as JSON: reading and writing the `recipe.json` of a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from model.core.stored import RECIPE_SCHEMA, upgrade_recipe
from model.train.recipe import Recipe
from model.train.run_folder import RECIPE, write_json

_RECIPE: Final = TypeAdapter(Recipe)


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON holds it, with lists instead of tuples."""
    return dict(json.loads(json.dumps(asdict(recipe))))


def recipe_from_json(fields: Mapping[str, Any]) -> Recipe:
    """Return the recipe that JSON in the current schema describes; absent fields have their defaults.

    Raises
    ------
    ValueError
        A field is unknown, absent without a default, or has a wrong value.
    """
    try:
        return _RECIPE.validate_python({name: value for name, value in fields.items() if name != "init"})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def read_recipe_json(run: Path) -> dict[str, Any]:
    """Read the recipe of a training run, upgraded to the current schema.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file is not a JSON object.
    """
    stored = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    if not isinstance(stored, dict):
        raise ValueError("not a JSON object")
    return upgrade_recipe(stored)


def write_recipe_json(run: Path, recipe: Recipe, init: Mapping[str, Any] | None) -> None:
    """Write the recipe of a training run; `init` is the record of its initial weights, where it had some."""
    write_json(run / RECIPE, {"schema": RECIPE_SCHEMA, **recipe_to_json(recipe), **({"init": init} if init else {})})
