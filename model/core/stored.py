"""Upgrades of files that earlier versions wrote: the one place that knows the names they used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RECIPE_SCHEMA: Final = 2
"""Schema of the `recipe.json` of a training run; the first one had no number."""

RENAMED_IN_RECIPE_2: Final = {
    "forecaster": "model",
    "chosen_by_mm_h": "selection_thresholds_mm_h",
    "accumulate": "gradient_accumulation_steps",
}
"""Fields of a recipe that schema 2 renamed."""


def upgrade_recipe(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of a training run in the current schema, without the schema number.

    Keys that are no fields of a recipe, such as `init`, stay.
    """
    recipe = {name: value for name, value in stored.items() if name != "schema"}
    if stored.get("schema", 1) < 2:
        recipe = {RENAMED_IN_RECIPE_2.get(name, name): value for name, value in recipe.items()}
    return recipe


def upgrade_manifest(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a package in schema 2, which renamed a field of `training`."""
    manifest = dict(stored)
    if manifest.get("schema_version") == 1:
        manifest["schema_version"] = 2
        if isinstance(training := manifest.get("training"), Mapping):
            names = {"untold": "provenance_gaps"}
            manifest["training"] = {names.get(name, name): value for name, value in training.items()}
    return manifest
