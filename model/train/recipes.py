"""Recipes: a variant is a small named function that returns a whole, frozen configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from model.data.sources import Holdout
from model.data.windows import WindowConfig
from model.nets.forecaster import ForecasterConfig
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN, MULTI_SCALE, PLAIN
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.runtime.fields import planes_of
from model.sampling import ReverseScheduledSampling, Sampling, ScheduledSampling


@dataclass(frozen=True, kw_only=True)
class RainLoss:
    """Balanced MSE + MAE and, by its weight, 1 - soft CSI; of the forecast (see `model.losses`)."""

    pixel_weights: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    csi_weight: float
    csi_thresholds_mm_h: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    csi_softness: float = 0.015


@dataclass(frozen=True, kw_only=True)
class FrameLoss:
    """Error of frames, and what is added to it by weight (see `model.losses`).

    `error`: the mean MSE, or MS-RNN's summed MSE + MAE. `over`: all answers, those to context frames too, or the
    forecast only. `decoupling`: of PredRNN-V2, its `decoupling_reduce` as in predrnn-pytorch ("mean") or MS-RNN
    ("sum"). `divergence`: of TAU.
    """

    error: Literal["mse", "mse+mae"] = "mse"
    over: Literal["all", "forecast"] = "all"
    decoupling: float = 0.0
    decoupling_reduce: Literal["mean", "sum"] = "mean"
    divergence: float = 0.0
    divergence_tau: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Adam, its learning rate over the run, and the exponential mean of the weights.

    `schedule`: "cosine", a linear warm-up, then a cosine down to `final_learning_rate`; "one-cycle", a cosine up from a
    25th over the first 30 %, then down to it; "constant". `clip_norm`: of the gradient; None leaves it as it is.
    `ema_decay`: 0 keeps the weights themselves.
    """

    learning_rate: float
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"
    final_learning_rate: float = 0.0
    warmup_iterations: int = 200
    beta1: float = 0.9
    clip_norm: float | None = 1.0
    ema_decay: float = 0.998


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run, but the data and the time it is given.

    `windows`: its context and leads hold for training on every data set, which itself decides how many leads it holds
    out; the rest is for radar archives, as is `holdout`. `fields`: exogenous fields by name (`model.runtime.fields`).
    `sampling`: where a recurrent network reads true frames in training; None: the context, and nothing after.
    `chosen_by_mm_h`: the best weights for rain have the highest mean ratio of CSI to persistence's at these thresholds;
    for other frames, the lowest MSE.
    """

    name: str
    forecaster: ForecasterConfig
    windows: WindowConfig
    holdout: Holdout = field(default_factory=Holdout)
    fields: tuple[str, ...] = ()
    loss: RainLoss | FrameLoss
    sampling: Sampling | None = None
    optimiser: Optimiser
    iterations: int
    batch: int
    validate_every: int = 250
    chosen_by_mm_h: tuple[float, ...] = (0.5, 2.0, 5.0)
    validation_windows: int = 48
    bfloat16: bool = True
    seed: int = 2026

    def __post_init__(self) -> None:
        net, loss = self.forecaster.net, self.loss
        frame_loss = loss if isinstance(loss, FrameLoss) else FrameLoss(over="forecast")
        if isinstance(net, SimVPConfig):
            if self.sampling is not None or frame_loss.over == "all":
                raise ValueError(f"{self.name}: a whole-sequence network answers nothing before its forecast")
            if net.frames != self.windows.context:
                raise ValueError(f"{self.name}: a context of {self.windows.context}, the network reads {net.frames}")
        if frame_loss.decoupling and not (isinstance(net, StackConfig) and net.decoupled):
            raise ValueError(f"{self.name}: a decoupling loss, but the network has no projection for it")
        if planes_of(self.fields) != self.forecaster.fields:
            planes = planes_of(self.fields)
            raise ValueError(
                f"{self.name}: {self.fields} are {planes} planes, its network reads {self.forecaster.fields}"
            )


def _ms_predrnn_rain(hidden: int) -> ForecasterConfig:
    return ForecasterConfig(net=StackConfig(hidden=hidden, scales=MULTI_SCALE, kernel=3, patch=4, embed="pointwise"))


def ms_predrnn() -> Recipe:
    """The shipped rain-ms-predrnn: ST-LSTM at scales 1, 1/2, 1/4, 1/4, 1/2, 1 of 4 x 4 patches, in Lagrangian frame."""
    return Recipe(
        name="ms-predrnn",
        forecaster=_ms_predrnn_rain(hidden=32),
        windows=WindowConfig(scale_db=3.0),
        loss=RainLoss(csi_weight=0.4),
        optimiser=Optimiser(learning_rate=8e-4, final_learning_rate=2e-5),
        iterations=4000,
        batch=8,
    )


def ms_predrnn_conditioned() -> Recipe:
    """Action-conditioned MS-PredRNN for rain: hears the time of day and of the year; frames as they are."""
    fields = ("solar-time", "season")
    return replace(
        ms_predrnn(),
        name="ms-predrnn-conditioned",
        forecaster=replace(_ms_predrnn_rain(hidden=32), fields=planes_of(fields)),
        windows=WindowConfig(scale_db=3.0, lagrangian=False),
        fields=fields,
    )


def ms_predrnn_tiny() -> Recipe:
    """Minutes on two cores, for tests and first tries; not for use."""
    return Recipe(
        name="ms-predrnn-tiny",
        forecaster=_ms_predrnn_rain(hidden=8),
        windows=WindowConfig(crop=64, margin=32, leads=6, coarsen_chance=0.0),
        loss=RainLoss(csi_weight=0.5),
        optimiser=Optimiser(learning_rate=2e-3, final_learning_rate=1e-4, warmup_iterations=5, ema_decay=0.9),
        iterations=40,
        batch=2,
        validate_every=20,
        validation_windows=4,
        bfloat16=False,
    )


def video(net: StackConfig | SimVPConfig, *, bounded: bool = False) -> ForecasterConfig:
    """A network that reads frames and answers frames, as all networks of the literature do."""
    return ForecasterConfig(net=net, reads_known=False, reads_time=False, residual=False, bounded=bounded)


TEN_TO_TEN: Final = WindowConfig(context=10, leads=10, lagrangian=False)
"""Moving MNIST's protocol: 10 frames in, 10 out, as they are."""

SCHEDULED: Final = ScheduledSampling()
REVERSE: Final = ReverseScheduledSampling()

SMALL: Final = Optimiser(learning_rate=1e-3, final_learning_rate=1e-5, ema_decay=0.99)


def mnist_small(
    scales: tuple[int, ...], name: str, *, decoupling: float, sampling: Sampling, iterations: int = 3000
) -> Recipe:
    """PredRNN, plain or multi-scale, for Moving MNIST on two cores: six layers of 32 channels on 4 x 4 patches."""
    net = StackConfig(hidden=32, scales=scales, kernel=3, patch=4, embed="pointwise", decoupled=decoupling > 0)
    return Recipe(
        name=name,
        forecaster=video(net, bounded=True),
        windows=TEN_TO_TEN,
        loss=FrameLoss(decoupling=decoupling),
        sampling=sampling,
        optimiser=SMALL,
        iterations=iterations,
        batch=8,
        validate_every=50,
        validation_windows=64,
    )


def taxibj_small() -> Recipe:
    """PredRNN for TaxiBJ on two cores: two channels, 4 frames in and 4 out."""
    base = mnist_small(PLAIN, "taxibj-predrnn", decoupling=0.0, sampling=SCHEDULED)
    return replace(
        base,
        forecaster=replace(base.forecaster, channels=2),
        windows=WindowConfig(context=4, leads=4, lagrangian=False),
    )


def mnist_tau(name: str, *, divergence: float, iterations: int = 3000) -> Recipe:
    """TAU for Moving MNIST on two cores; without its regularisation where `divergence` is 0.

    OpenSTL takes the mean over a frame's pixels where a divergence is their sum: its weight of 0.1 hardly shows.
    """
    net = SimVPConfig(translator="tau", frames=10, hidden=16, translator_hidden=128, translator_layers=4)
    return Recipe(
        name=name,
        forecaster=video(net, bounded=True),
        windows=TEN_TO_TEN,
        loss=FrameLoss(over="forecast", divergence=divergence),
        optimiser=SMALL,
        iterations=iterations,
        batch=8,
        validate_every=50,
        validation_windows=64,
    )


AUTHORS: Final = Optimiser(learning_rate=3e-4, schedule="constant", clip_norm=None, ema_decay=0.0)
"""Adam as predrnn-pytorch, MotionRNN and MS-RNN use it."""

OPENSTL: Final = replace(AUTHORS, learning_rate=1e-3, schedule="one-cycle", final_learning_rate=4e-9)
"""Adam as OpenSTL uses it, but for the cycle of its beta1."""


def in_ms_rnn(network: str) -> Recipe:
    """A network of MS-RNN's comparison in its settings for Moving MNIST: 20 epochs of 10 000 sequences.

    PredRNN-V2 is trained with reverse scheduled sampling, the others with scheduled sampling. MS-RNN counts the former
    in epochs; here it goes by the iteration.
    """
    net = IN_MS_RNN[network]()
    iterations = 50_000
    sampling: Sampling = ScheduledSampling(rate=1 / iterations, stop=iterations, of=iterations)
    if net.decoupled:
        third = iterations / 3
        sampling = ReverseScheduledSampling(constant_until=third, stop=2 * third, alpha=third / 5, of=iterations)
    return Recipe(
        name=f"ms-rnn/{network}",
        forecaster=video(net),
        windows=TEN_TO_TEN,
        loss=FrameLoss(error="mse+mae", decoupling=0.01 if net.decoupled else 0.0, decoupling_reduce="sum"),
        sampling=sampling,
        optimiser=AUTHORS,
        iterations=iterations,
        batch=4,
        bfloat16=False,
    )


def by_authors(
    network: str, learning_rate: float, *, decoupling: float = 0.0, sampling: Sampling = SCHEDULED
) -> Recipe:
    """A recurrent network in its authors' settings for Moving MNIST.

    Not as published: the authors' codes take a second optimiser step per iteration, on the sequence in reverse; here
    there is one step, on the sequence as it is. Weights begin as PyTorch's layers do; the codes in TensorFlow
    (PredRNN++, MIM) begin with small uniform ones. MotionRNN's repository has settings for Human3.6M only (4 frames in,
    4 out, three channels): its learning rate, batch and sampling are used here.
    """
    return Recipe(
        name=f"moving-mnist/{network}",
        forecaster=video(AS_PUBLISHED[network]()),
        windows=TEN_TO_TEN,
        loss=FrameLoss(decoupling=decoupling),
        sampling=sampling,
        optimiser=replace(AUTHORS, learning_rate=learning_rate),
        iterations=80_000,
        batch=8,
        bfloat16=False,
    )


def by_openstl(
    network: str, loss: FrameLoss, *, learning_rate: float = 1e-3, sampling: Sampling | None = None
) -> Recipe:
    """A network in OpenSTL's settings for Moving MNIST: 200 epochs of 10 000 sequences."""
    return Recipe(
        name=f"moving-mnist/{network}",
        forecaster=video(AS_PUBLISHED[network]()),
        windows=TEN_TO_TEN,
        loss=loss,
        sampling=sampling,
        optimiser=replace(OPENSTL, learning_rate=learning_rate),
        iterations=125_000,
        batch=16,
        bfloat16=False,
    )


def _mnist_small_recipes() -> dict[str, Callable[[], Recipe]]:
    """PredRNN and MS-PredRNN, each with and without decoupling and reverse scheduled sampling."""
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


RECIPES: Final[Mapping[str, Callable[[], Recipe]]] = MappingProxyType(
    {
        "ms-predrnn": ms_predrnn,
        "ms-predrnn-conditioned": ms_predrnn_conditioned,
        "ms-predrnn-tiny": ms_predrnn_tiny,
        **_mnist_small_recipes(),
        "mnist-tau": partial(mnist_tau, "mnist-tau", divergence=0.1),
        "mnist-tau-plain": partial(mnist_tau, "mnist-tau-plain", divergence=0.0),
        "mnist-tau-sum": partial(mnist_tau, "mnist-tau-sum", divergence=0.1 * 64 * 64),
        "taxibj-predrnn": taxibj_small,
        "moving-mnist/convlstm": partial(
            by_openstl, "convlstm", FrameLoss(), learning_rate=5e-4, sampling=replace(SCHEDULED, of=125_000)
        ),
        "moving-mnist/predrnn": partial(by_authors, "predrnn", 3e-4),
        "moving-mnist/predrnn-v2": partial(by_authors, "predrnn-v2", 1e-4, decoupling=0.1, sampling=REVERSE),
        "moving-mnist/predrnn-pp": partial(by_authors, "predrnn-pp", 1e-3),
        "moving-mnist/mim": partial(by_authors, "mim", 1e-3),
        "moving-mnist/motionrnn": partial(by_authors, "motionrnn", 3e-4),
        "moving-mnist/simvp-incepu": partial(by_openstl, "simvp-incepu", FrameLoss(over="forecast")),
        "moving-mnist/simvp-gsta": partial(by_openstl, "simvp-gsta", FrameLoss(over="forecast")),
        "moving-mnist/tau": partial(by_openstl, "tau", FrameLoss(over="forecast", divergence=0.1)),
        **{f"ms-rnn/{network}": partial(in_ms_rnn, network) for network in IN_MS_RNN},
    }
)
"""Recipes by name: `moving-mnist/` as published but for what `by_authors` says, `ms-rnn/` in MS-RNN's settings,
`mnist-` and `taxibj-` small ones for two cores."""
