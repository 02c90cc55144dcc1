"""Any field of a recipe can be set; what cannot be is said."""

from dataclasses import replace

import pytest

from model.core.errors import InputError
from model.nets.simvp import SimVPConfig
from model.sampling import ReverseScheduledSampling
from model.train.overrides import lines_of, overridden
from model.train.recipe import FrameLoss, RainLoss
from model.train.recipes import RECIPES

PREDRNN = RECIPES["mnist-predrnn"]()


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("optimiser.learning_rate=3e-4", lambda recipe: recipe.optimiser.learning_rate == 3e-4),
        ("optimiser.clip_norm=none", lambda recipe: recipe.optimiser.clip_norm is None),
        ("optimiser.clip_norm=2", lambda recipe: recipe.optimiser.clip_norm == 2.0),
        ("optimiser.schedule=one-cycle", lambda recipe: recipe.optimiser.schedule == "one-cycle"),
        ("forecaster.net.hidden=64", lambda recipe: recipe.forecaster.net.hidden == 64),
        ("forecaster.net.grid=64,64", lambda recipe: recipe.forecaster.net.grid == (64, 64)),
        ("windows.step_minutes=5, 10", lambda recipe: recipe.windows.step_minutes == (5.0, 10.0)),
        ("windows.lagrangian=yes", lambda recipe: recipe.windows.lagrangian is True),
        ("sampling=none", lambda recipe: recipe.sampling is None),
        ("sampling.stop=10", lambda recipe: recipe.sampling == replace(PREDRNN.sampling, stop=10.0)),
        ("sampling=ReverseScheduledSampling", lambda recipe: recipe.sampling == ReverseScheduledSampling()),
        ("iterations=80_000", lambda recipe: recipe.iterations == 80_000),
        ("chosen_by_mm_h=", lambda recipe: recipe.chosen_by_mm_h == ()),
    ],
)
def test_a_field_is_set(setting, read):
    assert not read(PREDRNN)
    assert read(overridden(PREDRNN, [setting]))


def test_fields_that_belong_together_are_set_together():
    recipe = overridden(
        PREDRNN,
        ["forecaster.net.scales=1,1,1,1", "forecaster.net.hidden=128,64,64,64", "forecaster.net.cell=causal-lstm"],
    )
    assert recipe.forecaster.net.widths == (128, 64, 64, 64)
    assert overridden(PREDRNN, ["batch=2", "batch=4"]).batch == 4


def test_a_part_can_become_one_of_another_kind():
    recipe = overridden(PREDRNN, ["loss.csi_weight=0.4", "loss=RainLoss", "loss.reduce=sum"])
    assert recipe.loss == RainLoss(csi_weight=0.4, reduce="sum")
    assert overridden(recipe, ["loss=FrameLoss"]).loss == FrameLoss()
    changes = ["forecaster.net=SimVPConfig", "forecaster.net.translator=tau", "forecaster.net.frames=10"]
    tau = overridden(PREDRNN, [*changes, "sampling=none", "loss.over=forecast"])
    assert tau.forecaster.net == SimVPConfig(translator="tau", frames=10)


@pytest.mark.parametrize("name", RECIPES)
def test_what_show_prints_can_be_set(name):
    recipe = RECIPES[name]()
    other = RECIPES["mnist-tau"]() if "tau" not in name else PREDRNN
    assert overridden(replace(other, name=name), lines_of(recipe)) == recipe


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optimizer.learning_rate=1", "--set optimizer.learning_rate: .*Nearest: optimiser.learning_rate, "),
        ("optimiser.lr=1", "optimiser has kind, learning_rate, schedule"),
        ("learning_rate=1", "Nearest: optimiser.learning_rate"),
        ("forecaster.net.hiden=8", "Nearest: forecaster.net.hidden"),
        ("optimiser.learning_rate.x=8", "--set optimiser.learning_rate.x: the recipe has no such field"),
        ("optimiser.learning_rate=fast", "'fast' is not a number"),
        ("optimiser.schedule=linear", "'linear' is not one of cosine, one-cycle, steps, constant"),
        ("batch=2.5", "'2.5' is not a whole number"),
        ("bfloat16=perhaps", "'perhaps' is not true or false"),
        ("forecaster.net.hidden=a,b", "is not a whole number or a list of a whole number, with commas"),
        ("forecaster.net.grid=64", "is not 2 of a whole number, with commas or none"),
        ("sampling=Random", "cannot be 'Random'. Choose one of ScheduledSampling, ReverseScheduledSampling, none"),
        (
            "sampling.alpha=3",
            "ScheduledSampling has no such field, ReverseScheduledSampling has. Add --set sampling=Re",
        ),
        ("loss=RainLoss", "RainLoss needs loss.csi_weight. Add --set loss.csi_weight="),
        ("windows=3", "cannot be '3'. Choose one of WindowConfig"),
        ("iterations=0", "iterations must be at least 1"),
        ("accumulate=3", "a batch of 8 makes no 3 equal parts"),
        ("optimiser.weight_decay=0.1", "choose the kind adamw"),
        ("forecaster.net.scales=1,3,1", "--set forecaster.net: scales .* are not neighbours"),
        ("name=mine", "the recipe has no such field"),
        ("batch", "not PATH=VALUE"),
    ],
)
def test_what_cannot_be_set_is_said_in_a_line(setting, said):
    with pytest.raises(InputError, match=said) as caught:
        overridden(PREDRNN, [setting])
    assert "\n" not in str(caught.value)


def test_fields_of_what_is_none_cannot_be_set():
    recipe = overridden(PREDRNN, ["sampling=none"])
    with pytest.raises(
        InputError, match=r"it is none.* Add --set sampling=ScheduledSampling or --set sampling=Reverse"
    ):
        overridden(recipe, ["sampling.rate=1"])


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("windows.context=0", "context must be at least 1, not 0"),
        ("windows.crop=-16", "crop must be at least 1"),
        ("windows.margin=-40", "margin must be at least 0"),
        ("windows.step_minutes=5,0", "step_minutes must be above 0, not 0"),
        ("windows.step_minutes=", "horizon_minutes"),
        ("windows.horizon_minutes=1", "shorter than each of step_minutes"),
        ("windows.draw_scale_mm_h=0", "draw_scale_mm_h must be above 0"),
        ("windows.coarsen_chance=1.5", "coarsen_chance must be at least 0 and at most 1, not 1.5"),
        ("holdout.time_fraction=1", "time_fraction must be above 0 and at most 0.9"),
        ("optimiser.learning_rate=nan", "learning_rate must be at least 0, not nan"),
        ("optimiser.ema_decay=1.5", "ema_decay must be at least 0"),
        ("batch=0", "batch must be at least 1"),
    ],
)
def test_numbers_beyond_their_limits_are_refused(setting, what):
    with pytest.raises(InputError, match=what):
        overridden(RECIPES["rain-ms-predrnn"](), [setting])
