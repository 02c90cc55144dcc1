"""Manifests: packages written by an older version are still read."""

import json

from model.core.catalog import SHIPPED_PACKAGES
from model.core.manifest import SCHEMA, read_manifest, write_manifest


def test_a_manifest_of_schema_1_is_read_and_written_as_the_present_schema(tmp_path):
    shipped = next(SHIPPED_PACKAGES.glob("*/*/manifest.json"))
    content = json.loads(shipped.read_text())
    training = {name: value for name, value in content["training"].items() if name != "provenance_gaps"}
    content |= {"schema_version": 1, "training": {**training, "untold": "the archives are not known"}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    manifest = read_manifest(tmp_path)
    assert manifest.schema_version == SCHEMA
    assert manifest.training.provenance_gaps == "the archives are not known"
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest


def test_a_manifest_of_schema_1_holds_its_recipe_in_the_present_schema(tmp_path):
    """A variant of an older package writes the manifest again, as the present schema."""
    shipped = next(SHIPPED_PACKAGES.glob("*/*/manifest.json"))
    content = json.loads(shipped.read_text())
    config = {"net": {"scales": [1, 1], "dialect": "authors"}, "channels": 1}
    recipe = {"name": "mine", "forecaster": config, "init": {"from": "x", "archives": [], "untold": "days of 2019"}}
    content |= {"schema_version": 1, "training": {**content["training"], "untold": "", "recipe": recipe}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path).training.recipe == {
        "name": "mine",
        "model": {"net": {"scales": [1, 1], "implementation": "official"}, "channels": 1},
        "init": {"from": "x", "archives": [], "provenance_gaps": "days of 2019"},
    }
