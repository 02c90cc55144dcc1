"""Published recipes: the settings of the repositories and benchmarks that published the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from model.data.windows import WindowConfig
from model.losses import HKO7_WEIGHTS
from model.nets.forecast_model import ModelConfig
from model.nets.networks import AS_PUBLISHED, FOUR_LAYERS, IN_MS_RNN
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.sampling import ReverseScheduledSampling, Sampling, ScheduledSampling
from model.train.recipe import FrameLoss, Optimiser, RainLoss, Recipe


def frame_model(net: StackConfig | SimVPConfig, *, bounded: bool = False) -> ModelConfig:
    """Return a model whose only input and output are frames, as in the literature: no mask, no time, no residual."""
    return ModelConfig(net=net, reads_known=False, reads_time=False, residual=False, bounded=bounded)


TEN_TO_TEN: Final = WindowConfig(context=10, leads=10, lagrangian=False)
"""The protocol of Moving MNIST: 10 frames in, 10 out, not warped."""

SCHEDULED: Final = ScheduledSampling()
REVERSE: Final = ReverseScheduledSampling()

ADAM_OF_AUTHORS: Final = Optimiser(learning_rate=3e-4, schedule="constant", clip_norm=None, ema_decay=0.0)
"""Adam as in predrnn-pytorch, MotionRNN and MS-RNN."""

ADAM_OF_OPENSTL: Final = replace(ADAM_OF_AUTHORS, learning_rate=1e-3, schedule="one-cycle", final_learning_rate=4e-9)
"""Adam as in OpenSTL, except that beta1 is constant."""


def ms_rnn(network: str) -> Recipe:
    """Return a network of MS-RNN's comparison with its settings for Moving MNIST: 20 epochs of 10 000 sequences.

    PredRNN-V2 is trained with reverse scheduled sampling, the others with scheduled sampling. MS-RNN changes the
    probabilities of the former once per epoch, this recipe at every iteration.
    """
    net = IN_MS_RNN[network]()
    iterations = 50_000
    sampling: Sampling = ScheduledSampling(rate=1 / iterations, stop=iterations, total_steps=iterations)
    if net.decoupled:
        sampling = reverse_sampling_in_thirds(iterations)
    return Recipe(
        name=f"ms-rnn/{network}",
        model=frame_model(net),
        windows=TEN_TO_TEN,
        loss=FrameLoss(error="mse+mae", decoupling=0.01 if net.decoupled else 0.0, decoupling_reduce="sum"),
        sampling=sampling,
        optimiser=ADAM_OF_AUTHORS,
        iterations=iterations,
        batch=4,
        bfloat16=False,
    )


def reverse_sampling_in_thirds(iterations: int) -> ReverseScheduledSampling:
    """Return reverse scheduled sampling that is constant for a third of the training, and changes in the next."""
    third = iterations / 3
    return ReverseScheduledSampling(constant_until=third, stop=2 * third, alpha=third / 5, total_steps=iterations)


def moving_mnist_of_authors(
    network: str, learning_rate: float, *, decoupling: float = 0.0, sampling: Sampling = SCHEDULED
) -> Recipe:
    """Return a recurrent network with its authors' settings for Moving MNIST.

    Not as published: the authors' codes take a second optimiser step per iteration, on the reversed sequence; here
    there is one step. Initial weights are PyTorch's defaults; the codes in TensorFlow (PredRNN++, MIM) draw small
    uniform weights. MotionRNN's repository has settings for Human3.6M only (4 frames in, 4 out, three channels): its
    learning rate, batch and sampling are used here.
    """
    return Recipe(
        name=f"moving-mnist/{network}",
        model=frame_model(AS_PUBLISHED[network]()),
        windows=TEN_TO_TEN,
        loss=FrameLoss(decoupling=decoupling),
        sampling=sampling,
        optimiser=replace(ADAM_OF_AUTHORS, learning_rate=learning_rate),
        iterations=80_000,
        batch=8,
        bfloat16=False,
    )


def moving_mnist_of_openstl(
    network: str, loss: FrameLoss, *, learning_rate: float = 1e-3, sampling: Sampling | None = None
) -> Recipe:
    """Return a network with OpenSTL's settings for Moving MNIST: 200 epochs of 10 000 sequences."""
    return Recipe(
        name=f"moving-mnist/{network}",
        model=frame_model(AS_PUBLISHED[network]()),
        windows=TEN_TO_TEN,
        loss=loss,
        sampling=sampling,
        optimiser=replace(ADAM_OF_OPENSTL, learning_rate=learning_rate),
        iterations=125_000,
        batch=16,
        bfloat16=False,
    )


KTH_REVERSE: Final = ReverseScheduledSampling(constant_until=5_000, stop=50_000, alpha=2_000)


def kth_of_authors(network: str, learning_rate: float, *, decoupling: float, sampling: Sampling) -> Recipe:
    """Return PredRNN or PredRNN-V2 with the settings of predrnn-pytorch for KTH (kth_script): 10 frames in, 10 out.

    Frames have 128 x 128 pixels. Not as published: see `moving_mnist_of_authors`.
    """
    base = moving_mnist_of_authors(network, learning_rate, decoupling=decoupling, sampling=sampling)
    return replace(base, name=f"kth/{network}", batch=4, validate_every=1000)


KTH_ITERATIONS: Final = 32_500
"""100 epochs of 5 200 clips, 16 in a batch, as in OpenSTL."""
KTH_WINDOWS: Final = WindowConfig(context=10, leads=20, lagrangian=False)


def kth_of_openstl(network: str, net: StackConfig | SimVPConfig, learning_rate: float, loss: FrameLoss) -> Recipe:
    """Return a network with OpenSTL's settings for KTH: 10 frames in, 20 out.

    Not as published: no drop path in SimVP and TAU.
    """
    sampling = replace(SCHEDULED, total_steps=KTH_ITERATIONS) if isinstance(net, StackConfig) else None
    return Recipe(
        name=f"kth/{network}",
        model=frame_model(net),
        windows=KTH_WINDOWS,
        loss=loss,
        sampling=sampling,
        optimiser=replace(ADAM_OF_OPENSTL, learning_rate=learning_rate),
        iterations=KTH_ITERATIONS,
        batch=16,
        validate_every=1000,
        bfloat16=False,
    )


TAXIBJ_ITERATIONS: Final = 63_950
"""50 epochs of 20 461 windows, 16 in a batch, as in OpenSTL."""


def taxibj_of_openstl(network: str, net: StackConfig | SimVPConfig, learning_rate: float, loss: FrameLoss) -> Recipe:
    """Return a network with OpenSTL's settings for TaxiBJ: two channels, 4 frames in, 4 out.

    The learning rate warms up over five epochs and falls along a cosine.

    Not as published: no drop path in SimVP and TAU.
    """
    n = TAXIBJ_ITERATIONS
    sampling: Sampling | None = None
    if isinstance(net, StackConfig):
        sampling = replace(SCHEDULED, total_steps=n)
        if net.decoupled:
            sampling = ReverseScheduledSampling(constant_until=25_000, stop=50_000, alpha=5_000, total_steps=n)
    cosine = Optimiser(
        learning_rate=learning_rate, final_learning_rate=1e-6, warmup_iterations=n // 10, clip_norm=None, ema_decay=0.0
    )
    return Recipe(
        name=f"taxibj/{network}",
        model=replace(frame_model(net), channels=2),
        windows=WindowConfig(context=4, leads=4, lagrangian=False),
        loss=loss,
        sampling=sampling,
        optimiser=cosine,
        iterations=n,
        batch=16,
        bfloat16=False,
    )


RECURRENT_FREE: Final[Mapping[str, Literal["incepu", "gsta", "tau"]]] = MappingProxyType(
    {"simvp-incepu": "incepu", "simvp-gsta": "gsta", "tau": "tau"}
)
HKO7_ITERATIONS: Final = 100_000
HKO7_LOSS: Final = RainLoss(pixel_weights=HKO7_WEIGHTS, reduce="sum", scale=1e-5, csi_weight=0.0)


def hko7(network: str) -> Recipe:
    """Return a network for HKO-7's benchmark: 5 frames in, 20 out, every 6 minutes, 480 x 480 pixels.

    Loss and optimiser are those of the benchmark's TrajGRU (arXiv 1706.03458, and its code): B-MSE + B-MAE with
    HKO-7's weights, scaled by 1e-5; Adam 1e-4, beta1 0.5, times 0.7 every 20 000 iterations; gradients clipped to 50.

    Not as published: the networks. HKO-7's encoder-forecaster, whose first convolution has a stride of 5, is not
    implemented; in its place are MS-RNN's cells in their settings, on patches of 4 x 4 pixels (MS-RNN downsamples
    frames to 128 x 128 instead, and forecasts 10 frames from 10). Windows of an archive are rotated and mirrored at
    random, and drawn more often the more it rains; pixels of noise count as dry instead of being left out of the loss.

    PredRNN-V2 adds its authors' decoupling, with their weight for Moving MNIST, to the benchmark's loss, and reads
    context frames by reverse scheduled sampling. SimVP and TAU have OpenSTL's settings for Moving MNIST and forecast 5
    frames from 5, four times; TAU adds its divergence.
    """
    net: StackConfig | SimVPConfig
    loss, sampling = HKO7_LOSS, None
    if network in IN_MS_RNN:
        net = replace(IN_MS_RNN[network](), patch=4)
        if net.decoupled:
            loss, sampling = replace(loss, decoupling=0.1), reverse_sampling_in_thirds(HKO7_ITERATIONS)
    else:
        net = SimVPConfig(translator=RECURRENT_FREE[network], frames=5)
        if network == "tau":
            loss = replace(loss, divergence=0.1)
    return Recipe(
        name=f"hko7/{network}",
        model=frame_model(net),
        windows=WindowConfig(
            context=5,
            leads=20,
            min_leads=20,
            horizon_minutes=120.0,
            crop=480,
            margin=0,
            step_minutes=(6,),
            coarsen_chance=0.0,
            scale_db=0.0,
            lagrangian=False,
            max_missing=2,
        ),
        loss=loss,
        sampling=sampling,
        optimiser=Optimiser(
            learning_rate=1e-4,
            schedule="steps",
            final_learning_rate=1e-6,
            decay=0.7,
            decay_steps=5,
            beta1=0.5,
            clip_norm=50.0,
            ema_decay=0.0,
        ),
        iterations=HKO7_ITERATIONS,
        batch=4,
        validate_every=5_000,
        bfloat16=False,
    )


def _kth() -> dict[str, Callable[[], Recipe]]:
    """Return PredRNN and PredRNN-V2 with their authors' settings, and the others with OpenSTL's."""
    recurrent = replace(FOUR_LAYERS, patch=2)
    recurrent_free = SimVPConfig(translator="tau", frames=10, translator_hidden=256, layers=2)
    forecast = FrameLoss(over="forecast")
    nets: dict[str, tuple[StackConfig | SimVPConfig, float, FrameLoss]] = {
        "convlstm": (replace(recurrent, cell="conv-lstm", forget_bias=0.0), 1e-3, FrameLoss()),
        "predrnn-pp": (replace(recurrent, cell="causal-lstm", gradient_highway=True), 1e-3, FrameLoss()),
        "mim": (replace(recurrent, cell="mim", patch=4), 1e-4, FrameLoss()),
        "simvp-incepu": (replace(recurrent_free, translator="incepu", translator_layers=4), 1e-3, forecast),
        "simvp-gsta": (replace(recurrent_free, translator="gsta", translator_layers=6), 1e-3, forecast),
        "tau": (replace(recurrent_free, translator_layers=6), 1e-3, replace(forecast, divergence=0.1)),
    }
    return {
        "kth/predrnn": partial(kth_of_authors, "predrnn", 3e-4, decoupling=0.0, sampling=SCHEDULED),
        "kth/predrnn-v2": partial(kth_of_authors, "predrnn-v2", 1e-4, decoupling=0.01, sampling=KTH_REVERSE),
        **{f"kth/{name}": partial(kth_of_openstl, name, *settings) for name, settings in nets.items()},
    }


def _taxibj() -> dict[str, Callable[[], Recipe]]:
    recurrent = replace(FOUR_LAYERS, patch=2)
    recurrent_free = SimVPConfig(translator="tau", frames=4, hidden=32, translator_hidden=256, layers=2)
    forecast = FrameLoss(over="forecast")
    nets: dict[str, tuple[StackConfig | SimVPConfig, float, FrameLoss]] = {
        "convlstm": (replace(recurrent, cell="conv-lstm", forget_bias=0.0), 5e-4, FrameLoss()),
        "predrnn": (recurrent, 1e-4, FrameLoss()),
        "predrnn-v2": (replace(recurrent, decoupled=True), 5e-4, FrameLoss(decoupling=0.1)),
        "predrnn-pp": (replace(recurrent, cell="causal-lstm", gradient_highway=True), 1e-4, FrameLoss()),
        "mim": (replace(recurrent, cell="mim"), 1e-2, FrameLoss()),
        "simvp-incepu": (replace(recurrent_free, translator="incepu"), 1e-3, forecast),
        "simvp-gsta": (replace(recurrent_free, translator="gsta"), 5e-4, forecast),
        "tau": (recurrent_free, 5e-4, replace(forecast, divergence=0.1)),
    }
    return {f"taxibj/{name}": partial(taxibj_of_openstl, name, *settings) for name, settings in nets.items()}


def published_recipes() -> dict[str, Callable[[], Recipe]]:
    """Return the recipes of this module by name."""
    scheduled = replace(SCHEDULED, total_steps=125_000)
    return {
        "moving-mnist/convlstm": partial(
            moving_mnist_of_openstl, "convlstm", FrameLoss(), learning_rate=5e-4, sampling=scheduled
        ),
        "moving-mnist/predrnn": partial(moving_mnist_of_authors, "predrnn", 3e-4),
        "moving-mnist/predrnn-v2": partial(
            moving_mnist_of_authors, "predrnn-v2", 1e-4, decoupling=0.1, sampling=REVERSE
        ),
        "moving-mnist/predrnn-pp": partial(moving_mnist_of_authors, "predrnn-pp", 1e-3),
        "moving-mnist/mim": partial(moving_mnist_of_authors, "mim", 1e-3),
        "moving-mnist/motionrnn": partial(moving_mnist_of_authors, "motionrnn", 3e-4),
        "moving-mnist/simvp-incepu": partial(moving_mnist_of_openstl, "simvp-incepu", FrameLoss(over="forecast")),
        "moving-mnist/simvp-gsta": partial(moving_mnist_of_openstl, "simvp-gsta", FrameLoss(over="forecast")),
        "moving-mnist/tau": partial(moving_mnist_of_openstl, "tau", FrameLoss(over="forecast", divergence=0.1)),
        **_kth(),
        **_taxibj(),
        **{f"ms-rnn/{network}": partial(ms_rnn, network) for network in IN_MS_RNN},
        **{f"hko7/{network}": partial(hko7, network) for network in (*IN_MS_RNN, *RECURRENT_FREE)},
    }
