"""The recipes by name; a variant is a small function that returns a complete, frozen configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from model.core.rain_distribution import THRESHOLDS_MM_H
from model.data.windows import WindowConfig
from model.nets.forecast_model import ModelConfig
from model.nets.networks import MULTI_SCALE, PLAIN
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.runtime.exogenous_fields import planes_of
from model.sampling import Sampling
from model.train.published_recipes import REVERSE, SCHEDULED, TEN_TO_TEN, frame_model, published_recipes
from model.train.recipe import ExceedanceLoss, FrameLoss, Optimiser, RainLoss, Recipe


def _ms_predrnn_rain(hidden: int) -> ModelConfig:
    return ModelConfig(net=StackConfig(hidden=hidden, scales=MULTI_SCALE, kernel=3, patch=4, embed="pointwise"))


def ms_predrnn() -> Recipe:
    """Return the network of version 1: ST-LSTM at scales 1, 1/2, 1/4, 1/4, 1/2, 1 of 4 x 4 patches, Lagrangian."""
    return Recipe(
        name="rain-ms-predrnn",
        model=_ms_predrnn_rain(hidden=32),
        windows=WindowConfig(scale_db=3.0),
        loss=RainLoss(csi_weight=0.4),
        optimiser=Optimiser(learning_rate=8e-4, final_learning_rate=2e-5),
        iterations=4000,
        batch=8,
    )


def ms_predrnn_distribution() -> Recipe:
    """Return MS-PredRNN with a distribution head, trained with outages of the radar."""
    base = ms_predrnn()
    return replace(
        base,
        name="rain-ms-predrnn-distribution",
        model=replace(base.model, thresholds_mm_h=THRESHOLDS_MM_H),
        windows=WindowConfig(
            scale_db=2.0,
            draw_by="context",
            draw_floor=0.01,
            outage_chance=0.2,
            exponent_spread=0.1,
            reverse_chance=0.3,
            accumulate_chance=0.3,
            quantise_chance=0.3,
        ),
        loss=ExceedanceLoss(threshold_weights=(1, 1, 1, 1, 1.5, 1.5, 2, 2, 2, 2, 2), frame_weight=0.1),
        validation_windows=96,
    )


def tau_distribution() -> Recipe:
    """Return TAU for rain with a distribution head."""
    base = ms_predrnn_distribution()
    return replace(base, name="rain-tau-distribution", model=replace(tau().model, thresholds_mm_h=THRESHOLDS_MM_H))


def ms_predrnn_conditioned() -> Recipe:
    """Return action-conditioned MS-PredRNN for rain, with time of day and season as input; frames are not warped."""
    fields = ("solar-time", "season")
    return replace(
        ms_predrnn(),
        name="rain-ms-predrnn-conditioned",
        model=replace(_ms_predrnn_rain(hidden=32), fields=planes_of(fields)),
        windows=WindowConfig(scale_db=3.0, lagrangian=False),
        fields=fields,
    )


def ms_predrnn_eulerian() -> Recipe:
    """Return the network of version 1 with frames that are not warped, for comparison."""
    base = ms_predrnn()
    return replace(base, name="rain-ms-predrnn-eulerian", windows=replace(base.windows, lagrangian=False))


def tau(*, lagrangian: bool = True) -> Recipe:
    """Return TAU for rain, with lead time and time step as input: 4 frames in, 4 out, 12 by feeding back its output."""
    base = ms_predrnn()
    net = SimVPConfig(translator="tau", frames=4, hidden=16, translator_hidden=96, translator_layers=4)
    return replace(
        base,
        name="rain-tau" if lagrangian else "rain-tau-eulerian",
        model=ModelConfig(net=net),
        windows=replace(base.windows, lagrangian=lagrangian),
    )


def ms_predrnn_tiny() -> Recipe:
    """Return a network that trains within minutes on two cores, for tests and first experiments; not for use."""
    return Recipe(
        name="rain-ms-predrnn-tiny",
        model=_ms_predrnn_rain(hidden=8),
        windows=WindowConfig(crop=64, margin=32, leads=6, coarsen_chance=0.0),
        loss=RainLoss(csi_weight=0.5),
        optimiser=Optimiser(learning_rate=2e-3, final_learning_rate=1e-4, warmup_iterations=5, ema_decay=0.9),
        iterations=40,
        batch=2,
        validate_every=20,
        validation_windows=4,
        bfloat16=False,
    )


ADAM_FOR_SMALL: Final = Optimiser(learning_rate=1e-3, final_learning_rate=1e-5, ema_decay=0.99)


def mnist_small(scales: tuple[int, ...], name: str, *, decoupling: float, sampling: Sampling) -> Recipe:
    """Return PredRNN, plain or multi-scale, for Moving MNIST on two cores: six layers of 32 channels, 4 x 4 patches."""
    net = StackConfig(hidden=32, scales=scales, kernel=3, patch=4, embed="pointwise", decoupled=decoupling > 0)
    return Recipe(
        name=name,
        model=frame_model(net, bounded=True),
        windows=TEN_TO_TEN,
        loss=FrameLoss(decoupling=decoupling),
        sampling=sampling,
        optimiser=ADAM_FOR_SMALL,
        iterations=3000,
        batch=8,
        validate_every=50,
        validation_windows=64,
    )


def taxibj_small() -> Recipe:
    """Return PredRNN for TaxiBJ on two cores: two channels, 4 frames in and 4 out."""
    base = mnist_small(PLAIN, "taxibj-predrnn", decoupling=0.0, sampling=SCHEDULED)
    return replace(
        base, model=replace(base.model, channels=2), windows=WindowConfig(context=4, leads=4, lagrangian=False)
    )


def mnist_tau(name: str, *, divergence: float) -> Recipe:
    """Return TAU for Moving MNIST on two cores; `divergence` is the weight of its regularisation.

    OpenSTL takes the mean over the pixels of a frame, where a divergence is their sum: its weight of 0.1 has hardly an
    effect.
    """
    net = SimVPConfig(translator="tau", frames=10, hidden=16, translator_hidden=128, translator_layers=4)
    return Recipe(
        name=name,
        model=frame_model(net, bounded=True),
        windows=TEN_TO_TEN,
        loss=FrameLoss(over="forecast", divergence=divergence),
        optimiser=ADAM_FOR_SMALL,
        iterations=3000,
        batch=8,
        validate_every=50,
        validation_windows=64,
    )


def _mnist_small_recipes() -> dict[str, Callable[[], Recipe]]:
    """Return PredRNN and MS-PredRNN, each with and without decoupling and reverse scheduled sampling."""
    variants: dict[str, tuple[float, Sampling]] = {
        "": (0.0, SCHEDULED),
        "-decoupled": (0.1, SCHEDULED),
        "-rss": (0.0, REVERSE),
        "-v2": (0.1, REVERSE),
    }
    return {
        name: partial(mnist_small, scales, name, decoupling=decoupling, sampling=sampling)
        for network, scales in (("predrnn", PLAIN), ("ms-predrnn", MULTI_SCALE))
        for variant, (decoupling, sampling) in variants.items()
        for name in [f"mnist-{network}{variant}"]
    }


RECIPES: Final[Mapping[str, Callable[[], Recipe]]] = {
    "rain-ms-predrnn": ms_predrnn,
    "rain-ms-predrnn-conditioned": ms_predrnn_conditioned,
    "rain-ms-predrnn-distribution": ms_predrnn_distribution,
    "rain-ms-predrnn-eulerian": ms_predrnn_eulerian,
    "rain-ms-predrnn-tiny": ms_predrnn_tiny,
    "rain-tau": tau,
    "rain-tau-distribution": tau_distribution,
    "rain-tau-eulerian": partial(tau, lagrangian=False),
    **_mnist_small_recipes(),
    "mnist-tau": partial(mnist_tau, "mnist-tau", divergence=0.1),
    "mnist-tau-plain": partial(mnist_tau, "mnist-tau-plain", divergence=0.0),
    "mnist-tau-sum": partial(mnist_tau, "mnist-tau-sum", divergence=0.1 * 64 * 64),
    "taxibj-predrnn": taxibj_small,
    **published_recipes(),
}
"""Recipes by name: `moving-mnist/`, `kth/` and `taxibj/` as published, with the differences that their functions list;
`ms-rnn/` with MS-RNN's settings, `hko7/` with HKO-7's; `mnist-` and `taxibj-`, small ones for two cores."""
