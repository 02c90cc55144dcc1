"""Reading of stored configurations: upgrades of those that earlier versions wrote, and refusal of unknown fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, with_config

known_fields_only = with_config(ConfigDict(extra="forbid"))
"""Class decorator of a dataclass: pydantic refuses unknown fields when it reads the dataclass, or one nested in it."""

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

    Keys that are no fields of a recipe stay, among them `init`, the record of the initial weights.
    """
    recipe = {name: value for name, value in stored.items() if name != "schema"}
    if stored.get("schema", 1) < 2:
        recipe = _renamed(recipe, RENAMED_IN_RECIPE_2)
        recipe |= {"model": upgrade_model_config(recipe["model"])} if "model" in recipe else {}
        if isinstance(sampling := recipe.get("sampling"), Mapping):
            recipe["sampling"] = _renamed(sampling, {"of": "total_steps"})
    if isinstance(init := recipe.get("init"), Mapping):  # in runs that schema 2 resumed, too
        recipe["init"] = _renamed(init, {"untold": "provenance_gaps"})
    return recipe


def upgrade_manifest(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a package in schema 2, which renamed fields of `training` and `config`."""
    manifest = dict(stored)
    if manifest.get("schema_version") == 1:
        manifest["schema_version"] = 2
        if isinstance(training := manifest.get("training"), Mapping):
            manifest["training"] = _renamed(training, {"untold": "provenance_gaps"})
            if isinstance(recipe := training.get("recipe"), Mapping):
                manifest["training"]["recipe"] = upgrade_recipe(recipe)
        manifest["config"] = upgrade_model_config(manifest.get("config"))
    return manifest


def upgrade_model_config(stored: object) -> object:
    """Return the configuration of a model in schema 2 of recipes and manifests, which renamed `net.dialect`."""
    if not isinstance(stored, dict) or not isinstance(stored.get("net"), dict) or "dialect" not in stored["net"]:
        return stored
    net = {name: value for name, value in stored["net"].items() if name != "dialect"}
    implementation = {"authors": "official"}.get(stored["net"]["dialect"], stored["net"]["dialect"])
    return {**stored, "net": {**net, "implementation": implementation}}


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
