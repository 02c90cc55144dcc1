"""`bfloat16=auto`: resolved when a run starts, stored with it, and the same on any machine that resumes it."""

import json

import pytest
import torch

from model.train import mixed_precision
from model.train.loop import train
from model.train.overrides import apply_overrides, list_settings
from model.train.recipes import RECIPES
from model.train.run_folder import RECIPE
from tests.model.train import tiny

AUTO = apply_overrides(tiny.recipe(iterations=1, validate_every=1), ["bfloat16=auto"])


@pytest.mark.parametrize("computes", [True, False])
def test_auto_is_resolved_at_the_start_and_stays_when_the_run_is_resumed(computes, tmp_path, monkeypatch):
    notices = []
    monkeypatch.setattr(mixed_precision, "supports_bfloat16", lambda device: computes)
    train(AUTO, tiny.source(), tmp_path / "run", notify=notices.append)
    assert notices[0].startswith(f"bfloat16=auto: {str(computes).lower()}, ")
    assert json.loads((tmp_path / "run" / RECIPE).read_text())["bfloat16"] is computes
    monkeypatch.setattr(mixed_precision, "supports_bfloat16", lambda device: not computes)
    longer = apply_overrides(AUTO, ["iterations=2"])
    train(longer, tiny.source(), tmp_path / "run", resume=True)
    assert json.loads((tmp_path / "run" / RECIPE).read_text())["bfloat16"] is computes
    train(apply_overrides(longer, [f"bfloat16={str(computes).lower()}"]), tiny.source(), tmp_path / "plain")
    assert tiny.losses(tmp_path / "plain") == tiny.losses(tmp_path / "run")


def test_support_for_bfloat16_is_known_on_this_machine():
    assert isinstance(mixed_precision.supports_bfloat16(torch.device("cpu")), bool)
    assert mixed_precision.supports_bfloat16(torch.device("meta")) is False


def test_no_recipe_depends_on_the_machine_unasked():
    assert {RECIPES[name]().bfloat16 for name in RECIPES} == {True, False}
    assert "bfloat16=auto" in list_settings(AUTO)
