"""Overrides of a recipe: any field can be set, and errors name the field, the reason and a hint."""

from dataclasses import fields, is_dataclass, replace
from typing import get_type_hints

import pytest

from model.core.errors import InputError
from model.nets.simvp import SimVPConfig
from model.sampling import ReverseScheduledSampling
from model.train.loop import train
from model.train.overrides import apply_overrides, list_settings
from model.train.recipe import FrameLoss, RainLoss
from model.train.recipes import RECIPES
from tests.model.train import tiny

PREDRNN = RECIPES["mnist-predrnn"]()


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("optimiser.learning_rate=3e-4", lambda recipe: recipe.optimiser.learning_rate == 3e-4),
        ("optimiser.clip_norm=none", lambda recipe: recipe.optimiser.clip_norm is None),
        ("optimiser.clip_norm=2", lambda recipe: recipe.optimiser.clip_norm == 2.0),
        ("optimiser.schedule=one-cycle", lambda recipe: recipe.optimiser.schedule == "one-cycle"),
        ("model.net.hidden=64", lambda recipe: recipe.model.net.hidden == 64),
        ("model.net.grid=64,64", lambda recipe: recipe.model.net.grid == (64, 64)),
        ("windows.step_minutes=5, 10", lambda recipe: recipe.windows.step_minutes == (5.0, 10.0)),
        ("windows.lagrangian=yes", lambda recipe: recipe.windows.lagrangian is True),
        ("sampling=none", lambda recipe: recipe.sampling is None),
        ("sampling.stop=10", lambda recipe: recipe.sampling == replace(PREDRNN.sampling, stop=10.0)),
        ("sampling=ReverseScheduledSampling", lambda recipe: recipe.sampling == ReverseScheduledSampling()),
        ("iterations=80_000", lambda recipe: recipe.iterations == 80_000),
        ("selection_thresholds_mm_h=", lambda recipe: recipe.selection_thresholds_mm_h == ()),
    ],
)
def test_a_field_is_set(setting, read):
    assert not read(PREDRNN)
    assert read(apply_overrides(PREDRNN, [setting]))


def test_fields_that_belong_together_are_set_together():
    recipe = apply_overrides(
        PREDRNN,
        ["model.net.scales=1,1,1,1", "model.net.hidden=128,64,64,64", "model.net.cell=causal-lstm"],
    )
    assert recipe.model.net.widths == (128, 64, 64, 64)
    assert apply_overrides(PREDRNN, ["batch=2", "batch=4"]).batch == 4


def test_a_part_can_become_one_of_another_kind():
    recipe = apply_overrides(PREDRNN, ["loss.csi_weight=0.4", "loss=RainLoss", "loss.reduce=sum"])
    assert recipe.loss == RainLoss(csi_weight=0.4, reduce="sum")
    assert apply_overrides(recipe, ["loss=FrameLoss"]).loss == FrameLoss()
    changes = ["model.net=SimVPConfig", "model.net.translator=tau", "model.net.frames=10"]
    tau = apply_overrides(PREDRNN, [*changes, "sampling=none", "loss.over=forecast"])
    assert tau.model.net == SimVPConfig(translator="tau", frames=10)


@pytest.mark.parametrize("name", RECIPES)
def test_the_settings_that_show_prints_can_be_set(name):
    recipe = RECIPES[name]()
    other = RECIPES["mnist-tau"]() if "tau" not in name else PREDRNN
    assert apply_overrides(replace(other, name=name), list_settings(recipe)) == recipe


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.learning_rate=1", "--set optimizer.learning_rate: .*Nearest: optimiser.learning_rate, "),
        ("optimiser.lr=1", "optimiser has kind, learning_rate, schedule"),
        ("learning_rate=1", "Nearest: optimiser.learning_rate"),
        ("model.net.hiden=8", "Nearest: model.net.hidden"),
        ("optimiser.learning_rate.x=8", "--set optimiser.learning_rate.x: the recipe has no such field"),
        ("optimiser.learning_rate=fast", "'fast' is not a number"),
        ("optimiser.schedule=linear", "'linear' is not one of cosine, one-cycle, steps, constant"),
        ("batch=2.5", "'2.5' is not a whole number"),
        ("bfloat16=perhaps", "'perhaps' is not true or false"),
        ("model.net.hidden=a,b", "is not a whole number or a list of whole numbers, separated by commas,"),
        ("model.net.grid=64", "is not 2 whole numbers, separated by commas, or none"),
        (
            "sampling=Random",
            "the value cannot be 'Random'. Choose one of ScheduledSampling, ReverseScheduledSampling, none",
        ),
        (
            "sampling.alpha=3",
            "ScheduledSampling has no such field, ReverseScheduledSampling has. Add --set sampling=Re",
        ),
        ("loss=RainLoss", "RainLoss needs loss.csi_weight. Add --set loss.csi_weight="),
        ("windows=3", "cannot be '3'. Choose one of WindowConfig"),
        ("iterations=0", "iterations must be at least 1"),
        ("gradient_accumulation_steps=3", "a batch of 8 cannot be split into 3 equal parts"),
        ("optimiser.weight_decay=0.1", "choose the kind adamw"),
        ("model.net.scales=1,3,1", "--set model.net: scales .* differ by another factor than 1 or 2"),
        ("name=mine", "the recipe has no such field"),
        ("batch", "not PATH=VALUE"),
    ],
)
def test_a_wrong_override_is_explained_in_one_line(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        apply_overrides(PREDRNN, [setting])
    assert "\n" not in str(caught.value)


def test_fields_of_a_part_that_is_none_cannot_be_set():
    recipe = apply_overrides(PREDRNN, ["sampling=none"])
    with pytest.raises(
        InputError,
        match=r"sampling is none and has no fields.* Add --set sampling=ScheduledSampling or --set sampling=Reverse",
    ):
        apply_overrides(recipe, ["sampling.rate=1"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("windows.context=0", "context must be at least 1 and at most 1000, not 0"),
        ("windows.crop=-16", "crop must be at least 1"),
        ("windows.margin=-40", "margin must be at least 0"),
        ("windows.step_minutes=5,0", "step_minutes must be at least 0.0166667 and at most 1440, not 0"),
        ("windows.step_minutes=", "horizon_minutes"),
        ("windows.horizon_minutes=1", "shorter than each of step_minutes"),
        ("windows.draw_scale_mm_h=0", "draw_scale_mm_h must be at least 0.001"),
        ("windows.coarsen_chance=1.5", "coarsen_chance must be at least 0 and at most 1, not 1.5"),
        ("holdout.time_fraction=1", "time_fraction must be above 0 and at most 0.9"),
        ("optimiser.learning_rate=nan", "learning_rate must be at least 0 and at most 10, not nan"),
        ("optimiser.ema_decay=1.5", "ema_decay must be at least 0"),
        ("batch=0", "batch must be at least 1"),
    ],
)
def test_numbers_beyond_their_limits_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        apply_overrides(RECIPES["rain-ms-predrnn"](), [setting])


def numbers(part, path=""):
    """The names of all numeric fields of a recipe, and whether they are whole numbers."""
    hints = get_type_hints(type(part))
    for each in fields(part):
        value, hint = getattr(part, each.name), str(hints[each.name])
        if is_dataclass(value):
            yield from numbers(value, f"{path}{each.name}.")
        elif not isinstance(value, bool) and ("int" in hint or "float" in hint):
            yield f"{path}{each.name}", "float" not in hint


NUMBERS = sorted(
    {
        (number, name, whole)
        for name in ("rain-ms-predrnn", "rain-tau", "mnist-predrnn", "mnist-predrnn-v2", "mnist-tau")
        for number, whole in numbers(RECIPES[name]())
    },
)
MAY_BE_NEGATIVE = {"model.net.forget_bias"}
MAY_BE_0 = {
    *("windows.margin", "windows.max_missing", "windows.scale_db", "windows.draw_floor", "windows.draw_gain"),
    *(
        "windows.coarsen_chance",
        "windows.outage_chance",
        "windows.exponent_spread",
        "windows.reverse_chance",
        "windows.accumulate_chance",
        "windows.quantise_chance",
        "holdout.short_minutes",
        "model.net.forget_bias",
        "model.fields",
        "seed",
    ),
    *("loss.pixel_weights", "loss.csi_weight", "loss.decoupling", "loss.divergence"),
    *("optimiser.learning_rate", "optimiser.final_learning_rate", "optimiser.warmup_iterations", "optimiser.beta1"),
    *("optimiser.weight_decay", "optimiser.ema_decay", "sampling.start", "sampling.rate", "sampling.stop"),
    "sampling.constant_until",
}


@pytest.mark.parametrize(("number", "name", "whole"), NUMBERS)
def test_every_number_of_a_recipe_has_limits(number, name, whole):
    recipe = RECIPES[name]()
    texts = ["1000000000000", *(["1e300", "nan", "inf", "-inf"] if not whole else [])]
    texts += [] if number in MAY_BE_NEGATIVE else ["-1"]
    texts += [] if number in MAY_BE_0 else ["0"]
    for text in texts:
        several = number in ("model.net.grid", "loss.pixel_weights")
        with pytest.raises(InputError, match=number.rpartition(".")[2]):
            apply_overrides(
                recipe, [f"{number}={','.join([text] * (5 if 'loss' in number else 2)) if several else text}"]
            )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mnist-predrnn-v2", ["sampling.alpha=0"], "alpha must be above 0"),
        ("mnist-predrnn-v2", ["sampling.stop=25_000"], "stop 25000 must be greater than constant_until 25000"),
        ("rain-ms-predrnn", ["windows.draw_floor=0", "windows.draw_gain=0"], "no window would be drawn"),
        ("rain-ms-predrnn", ["loss.csi_thresholds_mm_h="], "name one at least"),
        ("rain-ms-predrnn", ["loss.csi_weight=0", "loss.pixel_weights=0,0,0,0,0"], "the loss would be constant"),
        ("rain-ms-predrnn", ["selection_thresholds_mm_h=1"], "a subset of the scored thresholds, 0.5, 2, 5, 10"),
        ("rain-ms-predrnn", ["selection_thresholds_mm_h="], "a subset of the scored thresholds"),
        ("rain-ms-predrnn", ["model.net.scales="], "one number per layer"),
        ("rain-tau", ["model.net.mlp_ratio=0.001"], "leaves none of 96 channels"),
    ],
)
def test_numbers_that_would_end_a_run_later_are_refused_at_once(name, settings, message):
    with pytest.raises(InputError, match=message):
        apply_overrides(RECIPES[name](), settings)


def test_training_runs_with_every_number_that_may_be_0(tmp_path):
    zeros = [
        *(name for name in MAY_BE_0 if name.startswith(("optimiser.", "model.")) and "weight_decay" not in name),
        *("loss.decoupling", "loss.divergence", "seed", "sampling.constant_until"),
    ]
    recipe = apply_overrides(tiny.recipe(iterations=2, validate_every=1), [f"{name}=0" for name in zeros])
    train(recipe, tiny.source(), tmp_path / "v2")
    zeros = ["sampling.start=0", "sampling.rate=0", "sampling.stop=0"]
    train(apply_overrides(tiny.recipe("mnist-predrnn", iterations=1), zeros), tiny.source(), tmp_path / "scheduled")
