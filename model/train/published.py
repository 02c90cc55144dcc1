"""Recipes with the settings of the repositories that published the networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from model.data.windows import WindowConfig
from model.nets.forecaster import ForecasterConfig
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.sampling import ReverseScheduledSampling, Sampling, ScheduledSampling
from model.train.recipe import FrameLoss, Optimiser, Recipe


def video(net: StackConfig | SimVPConfig, *, bounded: bool = False) -> ForecasterConfig:
    """A network that reads frames and answers frames, as all networks of the literature do."""
    return ForecasterConfig(net=net, reads_known=False, reads_time=False, residual=False, bounded=bounded)


TEN_TO_TEN: Final = WindowConfig(context=10, leads=10, lagrangian=False)
"""Moving MNIST's protocol: 10 frames in, 10 out, as they are."""

SCHEDULED: Final = ScheduledSampling()
REVERSE: Final = ReverseScheduledSampling()

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


def published() -> dict[str, Callable[[], Recipe]]:
    """The recipes of this module by name."""
    return {
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
