"""Upgrades of files that earlier versions wrote: the one place that knows the names they used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RECIPE_SCHEMA: Final = 2
"""Schema of the `recipe.json` of a training run; the first one had no number."""


def upgrade_recipe(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of a training run in the current schema, without the schema number.

    Schema 2 renamed `forecaster` to `model`.
    """
    recipe = {name: value for name, value in stored.items() if name != "schema"}
    if stored.get("schema", 1) < 2 and "forecaster" in recipe:
        recipe["model"] = recipe.pop("forecaster")
    return recipe
