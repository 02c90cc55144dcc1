"""Every recipe is whole, and those of the literature have the settings that were published."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.core.errors import InputError
from model.core.normalisation import hko7_fraction
from model.core.stored import RENAMED_IN_RECIPE_2
from model.losses import decoupling_loss, differential_divergence
from model.nets.forecast_model import ForecastModel, FrameBatch, Rollout, build_model
from model.nets.simvp import SimVPConfig
from model.sampling import ReverseScheduledSampling
from model.train.batch import Batch
from model.train.lr_schedule import learning_rate
from model.train.objective import batch_loss
from model.train.overrides import apply_overrides
from model.train.recipe_json import recipe_to_json, write_recipe_json
from model.train.recipes import RECIPES
from model.train.resume import check_resumable, stored_recipe
from model.train.run_folder import PROVENANCE, RECIPE, write_json

BY_DATA_SET = {
    "moving-mnist": {"convlstm", "predrnn", "predrnn-v2", "predrnn-pp", "mim", "motionrnn", "tau"},
    "kth": {"convlstm", "predrnn", "predrnn-v2", "predrnn-pp", "mim", "simvp-incepu", "simvp-gsta", "tau"},
    "taxibj": {"convlstm", "predrnn", "predrnn-v2", "predrnn-pp", "mim", "simvp-incepu", "simvp-gsta", "tau"},
    "ms-rnn": {"convlstm", "ms-convlstm", "trajgru", "ms-trajgru", "predrnn-v2", "ms-predrnn-v2", "ms-motionrnn"},
    "hko7": {"convlstm", "trajgru", "ms-trajgru", "predrnn", "ms-predrnn", "ms-predrnn-pp", "ms-mim", "ms-motionrnn"}
    | {"predrnn-v2", "ms-predrnn-v2", "simvp-incepu", "simvp-gsta", "tau"},
}


@pytest.mark.parametrize("data", BY_DATA_SET)
def test_data_sets_have_recipes_for_their_networks(data):
    assert {f"{data}/{network}" for network in BY_DATA_SET[data]} <= set(RECIPES)


def test_every_recipe_has_the_name_that_it_is_called_by():
    for name, recipe in RECIPES.items():
        assert recipe().name == name


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_of_a_run_is_read_back_unchanged(name, tmp_path):
    write_recipe_json(tmp_path, RECIPES[name](), None)
    assert stored_recipe(tmp_path) == RECIPES[name]()


@pytest.mark.parametrize("name", ["moving-mnist/tau", "rain-tau"])
def test_a_recurrent_free_model_has_no_steps_to_recompute(name):
    with pytest.raises(InputError, match="no time steps to recompute"):
        apply_overrides(RECIPES[name](), ["checkpoint_activations=true"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("kth/predrnn", (80_000, 4, 3e-4, 0.0)),
        ("kth/predrnn-v2", (80_000, 4, 1e-4, 0.01)),
        ("taxibj/predrnn-v2", (63_950, 16, 5e-4, 0.1)),
        ("moving-mnist/predrnn-v2", (80_000, 8, 1e-4, 0.1)),
    ],
)
def test_settings_are_those_published(name, settings):
    recipe = RECIPES[name]()
    assert (recipe.iterations, recipe.batch, recipe.optimiser.learning_rate, recipe.loss.decoupling) == settings


def test_kths_reverse_scheduled_sampling_is_another():
    assert RECIPES["kth/predrnn-v2"]().sampling == ReverseScheduledSampling(
        constant_until=5_000, stop=50_000, alpha=2_000, total_steps=80_000
    )


def test_hko7s_loss_is_the_benchmarks():
    """One wet pixel in each of 20 frames: weight 30, an error of 0.1, summed over a frame, its mean over frames."""
    recipe = RECIPES["hko7/ms-predrnn"]()
    assert (recipe.windows.context, recipe.windows.leads, recipe.windows.step_minutes) == (5, 20, (6,))
    truth = float(hko7_fraction(np.array([35.0], np.float32))[0])

    data = torch.zeros(2, 25, 1, 8, 8)
    data[:, 5:, 0, 3, 4] = truth
    output = data[:, 1:].clone()
    output[:, 4:, 0, 3, 4] -= 0.1
    frames = FrameBatch(data=data, known=torch.ones_like(data), step_minutes=torch.full((2,), 6.0))
    batch = Batch(frames=frames, context=5, rows=(0, 1), batch_size=2)

    class FixedOutput(ForecastModel):
        def rollout(self, frames, context, leads, truth=None):
            return Rollout(output, [])

    assert batch_loss(FixedOutput(), batch, recipe).item() == pytest.approx(1e-5 * 30 * (0.1 + 0.01), rel=1e-4)


def test_hko7s_learning_rate_falls_in_steps():
    optimiser = RECIPES["hko7/trajgru"]().optimiser
    rates = [learning_rate(optimiser, 0, iteration / 100_000) for iteration in (0, 19_999, 20_000, 59_999, 99_999)]
    assert rates == pytest.approx([1e-4, 1e-4, 0.7e-4, 0.49e-4, 1e-4 * 0.7**4])


@pytest.mark.parametrize(
    "name", ["kth/mim", "taxibj/tau", "taxibj/predrnn-pp", "hko7/ms-motionrnn", "hko7/tau", "kth/simvp-gsta"]
)
def test_a_published_recipes_network_forecasts_its_frames(name):
    recipe = RECIPES[name]()
    net = build_model(recipe.model).eval()
    side = recipe.model.net.stride * 2
    context, leads = recipe.windows.context, recipe.windows.leads
    data = torch.rand(1, context, recipe.model.channels, side, side)
    with torch.no_grad():
        forecast = net(FrameBatch(data, torch.ones_like(data[:, :, :1]), torch.ones(1)), leads)
    assert forecast.shape == (1, leads, recipe.model.channels, side, side)


@pytest.mark.parametrize("name", ["hko7/ms-predrnn-v2", "hko7/tau"])
def test_auxiliary_losses_are_added_to_the_loss_of_the_benchmark(name):
    recipe = RECIPES[name]()
    net = replace(recipe.model.net, hidden=4)
    if isinstance(net, SimVPConfig):
        net = replace(net, translator_hidden=8, translator_layers=2)
    torch.manual_seed(0)
    made = build_model(replace(recipe.model, net=net)).train()
    data = torch.rand(2, 25, 1, 16, 16)
    known = torch.ones_like(data)
    known[:, 9] = 0
    batch = Batch(
        frames=FrameBatch(data=data * known, known=known, step_minutes=torch.full((2,), 6.0)),
        context=5,
        rows=(0, 1),
        batch_size=2,
    )
    plain = replace(recipe, loss=replace(recipe.loss, decoupling=0.0, divergence=0.0))
    with torch.no_grad():
        rollout = made.rollout(batch.frames, batch.context, batch.leads)
        added = (batch_loss(made, batch, recipe) - batch_loss(made, batch, plain)).item()
    if recipe.loss.decoupling:
        expected = decoupling_loss(rollout.increments, made.stack.decouple)
    else:
        forecast = torch.where(known[:, 5:].bool(), rollout.frames[:, 4:], 0.0)
        expected = differential_divergence(forecast, batch.target, 0.1)
    assert added == pytest.approx(0.1 * expected.item(), rel=1e-3)
    assert added > 0


def test_a_run_of_a_version_with_fewer_settings_is_resumed(tmp_path):
    recipe = RECIPES["rain-ms-predrnn-tiny"]()
    older = recipe_to_json(recipe)
    del older["loss"]["decoupling"]
    write_json(tmp_path / RECIPE, {"forecaster" if name == "model" else name: part for name, part in older.items()})
    write_json(tmp_path / PROVENANCE, {"digest": "d", "kind": "rain"})
    assert check_resumable(recipe, {"kind": "rain", "digest": "d"}, tmp_path) is None
    assert stored_recipe(tmp_path) == recipe
    changed = replace(recipe, loss=replace(recipe.loss, divergence=0.5))
    with pytest.raises(InputError, match=r"loss.divergence was 0.0, is 0.5"):
        check_resumable(changed, {"kind": "rain", "digest": "d"}, tmp_path)


def test_a_run_with_the_field_names_of_the_first_schema_is_resumed(tmp_path):
    recipe = replace(
        RECIPES["rain-ms-predrnn-tiny"](), selection_thresholds_mm_h=(0.5, 10.0), gradient_accumulation_steps=2
    )
    before = {new: old for old, new in RENAMED_IN_RECIPE_2.items()}
    older = {before.get(name, name): value for name, value in recipe_to_json(recipe).items()}
    assert older["chosen_by_mm_h"] == [0.5, 10.0]
    write_json(tmp_path / RECIPE, {**older, "init": {"from": "a-run"}})
    write_json(tmp_path / PROVENANCE, {"digest": "d", "kind": "rain"})
    assert stored_recipe(tmp_path) == recipe
    assert check_resumable(recipe, {"kind": "rain", "digest": "d"}, tmp_path) == {"from": "a-run"}


def test_an_unknown_field_of_a_stored_recipe_is_named(tmp_path):
    stored = recipe_to_json(RECIPES["rain-ms-predrnn-tiny"]())
    write_json(tmp_path / RECIPE, {**stored, "windows": {**stored["windows"], "padding": 1}})
    with pytest.raises(InputError, match=r"windows\.padding: Unexpected keyword argument"):
        stored_recipe(tmp_path)
