"""The recipe of a training run: frozen dataclasses with every setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from model.core.limits import check_limits
from model.core.stored import known_fields_only
from model.data.radar_dataset import Holdout
from model.data.windows import WindowConfig
from model.losses import HKO7_WEIGHTS
from model.nets.forecast_model import ModelConfig
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.runtime.exogenous_fields import planes_of
from model.sampling import Sampling

MAX_DECAY: Final = 1 - 1e-6
"""An average that decays more slowly practically never moves."""
MAX_WEIGHT: Final = 1e6
MAX_RAIN_MM_H: Final = 500.0
"""Below the highest rain rate of a pixel."""
MAX_ITERATIONS: Final = 10**9
MAX_WINDOWS: Final = 100_000
"""Windows in memory at the same time."""
MAX_SEED: Final = 2**32 - 1
SCORED_MM_H: Final = (0.5, 2.0, 5.0, 10.0)
"""Thresholds of the CSI in validations."""


@dataclass(frozen=True, kw_only=True)
class AuxiliaryLosses:
    """Weights of auxiliary losses, which are added to the main loss; 0 leaves one out.

    Parameters
    ----------
    decoupling : float
        Weight of PredRNN-V2's memory decoupling (`model.losses.decoupling_loss`).
    decoupling_reduce : {"mean", "sum"}
        Its reduction over layers and channels: "mean" as in predrnn-pytorch, "sum" as in MS-RNN.
    divergence : float
        Weight of TAU's differential divergence (`model.losses.differential_divergence`).
    divergence_tau : float
        Temperature of its softmax.
    """

    decoupling: float = 0.0
    decoupling_reduce: Literal["mean", "sum"] = "mean"
    divergence: float = 0.0
    divergence_tau: float = 0.1

    def __post_init__(self) -> None:
        check_limits(self, "decoupling", "divergence", ge=0, le=MAX_WEIGHT)
        check_limits(self, "divergence_tau", ge=1e-4, le=MAX_WEIGHT)


@dataclass(frozen=True, kw_only=True)
class RainLoss(AuxiliaryLosses):
    """Balanced MSE + MAE and a soft CSI loss of a rain forecast (see `model.losses`).

    Parameters
    ----------
    pixel_weights : tuple of float
        Weights of pixels by observed rain rate, five numbers (`model.losses.pixel_weights`).
    reduce : {"mean", "sum"}
        Mean over pixels with data, or, as in HKO-7, sum over those of a frame.
    scale : float
        Factor on the balanced loss and the CSI loss, not on auxiliary losses; it sets how large the gradient is
        compared with `Optimiser.clip_norm`.
    csi_weight : float
        Weight of 1 - soft CSI.
    csi_thresholds_mm_h : tuple of float
        Thresholds over which the soft CSI is averaged.
    csi_softness : float
        Width of its sigmoid, in HKO-7 fractions.
    """

    pixel_weights: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    reduce: Literal["mean", "sum"] = "mean"
    scale: float = 1.0
    csi_weight: float
    csi_thresholds_mm_h: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    csi_softness: float = 0.015

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self, "pixel_weights", "csi_weight", ge=0, le=MAX_WEIGHT)
        check_limits(self, "scale", gt=0, le=MAX_WEIGHT)
        check_limits(self, "csi_thresholds_mm_h", gt=0, le=MAX_RAIN_MM_H)
        check_limits(self, "csi_softness", ge=1e-4, le=1)
        if len(self.pixel_weights) != len(HKO7_WEIGHTS):
            raise ValueError(f"pixel_weights must be {len(HKO7_WEIGHTS)} numbers")
        if self.csi_weight and not self.csi_thresholds_mm_h:
            raise ValueError("csi_weight is set, but csi_thresholds_mm_h is empty: name one at least")
        if not (any(self.pixel_weights) or self.csi_weight):
            raise ValueError("pixel_weights and csi_weight are all 0: the loss would be constant")


@dataclass(frozen=True, kw_only=True)
class ExceedanceLoss(AuxiliaryLosses):
    """Cross-entropy of exceedance probabilities (`model.losses.exceedance_loss`), for networks that predict them.

    Parameters
    ----------
    threshold_weights : tuple of float
        Weight of each of the network's thresholds; empty: all equal. The score is proper with any weights.
    frame_weight : float
        Weight of the MAE of the frame that the network predicts and reads next.
    """

    threshold_weights: tuple[float, ...] = ()
    frame_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self, "threshold_weights", gt=0, le=MAX_WEIGHT)
        check_limits(self, "frame_weight", ge=0, le=MAX_WEIGHT)


@dataclass(frozen=True, kw_only=True)
class FrameLoss(AuxiliaryLosses):
    """Error of frames that are not rain (see `model.losses`).

    Parameters
    ----------
    error : {"mse", "mse+mae"}
        The mean MSE, or MS-RNN's MSE + MAE, which is summed over a frame.
    over : {"all", "forecast"}
        Frames that count: all outputs, those for context frames too, or the forecast only.
    """

    error: Literal["mse", "mse+mae"] = "mse"
    over: Literal["all", "forecast"] = "all"


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Adam or AdamW, the learning-rate schedule, and the moving average of the weights.

    Parameters
    ----------
    kind : {"adam", "adamw"}
        The optimiser.
    learning_rate : float
        The highest learning rate.
    schedule : {"cosine", "one-cycle", "steps", "constant"}
        "cosine": a linear warm-up, then a cosine down to `final_learning_rate`. "one-cycle": a cosine up from a 25th
        over the first 30 % of the run, then a cosine down. "steps": times `decay` after each of `decay_steps` equal
        parts of the run.
    final_learning_rate : float
        Where the schedule ends.
    warmup_iterations : int
        Length of the warm-up of "cosine".
    decay, decay_steps : float, int
        Factor and number of the parts of "steps".
    beta1 : float
        Decay of Adam's first moment.
    weight_decay : float
        Of AdamW: applied to the weights of convolutions and linear layers only, see `build_optimiser`.
    clip_norm : float or None
        Norm to which gradients are clipped; None does not clip.
    ema_decay : float
        Decay of the exponential moving average of the weights; 0 uses the weights themselves.
    """

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: float
    schedule: Literal["cosine", "one-cycle", "steps", "constant"] = "cosine"
    final_learning_rate: float = 0.0
    warmup_iterations: int = 200
    decay: float = 0.7
    decay_steps: int = 5
    beta1: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    ema_decay: float = 0.998

    def __post_init__(self) -> None:
        check_limits(self, "learning_rate", "final_learning_rate", ge=0, le=10)
        check_limits(self, "weight_decay", ge=0, le=MAX_WEIGHT)
        check_limits(self, "warmup_iterations", ge=0, le=MAX_ITERATIONS)
        check_limits(self, "decay", gt=0, le=1)
        check_limits(self, "decay_steps", ge=1, le=MAX_ITERATIONS)
        check_limits(self, "beta1", "ema_decay", ge=0, le=MAX_DECAY)
        if self.clip_norm is not None:
            check_limits(self, "clip_norm", gt=0, le=1e9)
        if self.weight_decay and self.kind == "adam":
            raise ValueError("weight_decay is for AdamW: choose the kind adamw")


@known_fields_only
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every setting of a training run, except the data and the run options.

    Parameters
    ----------
    name : str
        Name on the command line, a key of `RECIPES`.
    model : ModelConfig
        The network, and which inputs it reads.
    windows : WindowConfig
        How windows are cut. `context` and `leads` apply to every data set in training; a data set itself decides how
        many lead steps it holds out. The other fields apply to radar archives.
    holdout : Holdout
        Which part of a radar archive is held out for validation.
    fields : tuple of str
        Names of the exogenous fields (see `model.runtime.exogenous_fields`).
    loss : RainLoss, ExceedanceLoss or FrameLoss
        The training objective.
    sampling : ScheduledSampling, ReverseScheduledSampling or None
        At which time steps a recurrent network reads true frames; None: at the steps of the context only.
    optimiser : Optimiser
        Adam or AdamW, the learning-rate schedule and the moving average of the weights.
    iterations, batch : int
        Number of optimiser steps, and windows per step.
    validate_every : int
        Iterations from one validation to the next.
    selection_thresholds_mm_h : tuple of float
        For rain, the best weights are those with the highest ratio of CSI to the CSI of persistence, averaged over
        these thresholds, or those with the highest Brier skill over persistence, for networks that predict
        probabilities. For other frames they are those with the lowest MSE.
    validation_windows : int
        Number of held-out windows.
    gradient_accumulation_steps : int
        Number of equal micro-batches that a batch is split into; their gradients are summed. A loss that pools
        pixels pools those of one micro-batch.
    bfloat16 : bool or "auto"
        Whether to use autocast to bfloat16; "auto": if the device on which the run starts computes in bfloat16
        natively.
    channels_last : bool
        Whether the weights of convolutions are stored in the channels-last memory format.
    checkpoint_activations : bool
        Whether to recompute activations in the backward pass, which saves memory.
    compile : bool
        Whether to compile the network with `torch.compile`.
    seed : int
        Seed of the initial weights, the windows and the true frames.

    Raises
    ------
    ValueError
        A number is outside its limits, or two fields contradict each other.
    """

    name: str
    model: ModelConfig
    windows: WindowConfig
    holdout: Holdout = field(default_factory=Holdout)
    fields: tuple[str, ...] = ()
    loss: RainLoss | ExceedanceLoss | FrameLoss
    sampling: Sampling | None = None
    optimiser: Optimiser
    iterations: int
    batch: int
    validate_every: int = 250
    selection_thresholds_mm_h: tuple[float, ...] = (0.5, 2.0, 5.0)
    validation_windows: int = 48
    gradient_accumulation_steps: int = 1
    bfloat16: bool | Literal["auto"] = True
    channels_last: bool = True
    checkpoint_activations: bool = False
    compile: bool = False
    seed: int = 2026

    def __post_init__(self) -> None:
        net, loss = self.model.net, self.loss
        check_limits(self, "iterations", "validate_every", ge=1, le=MAX_ITERATIONS)
        check_limits(self, "batch", "gradient_accumulation_steps", "validation_windows", ge=1, le=MAX_WINDOWS)
        check_limits(self, "seed", ge=0, le=MAX_SEED)
        others = [threshold for threshold in self.selection_thresholds_mm_h if threshold not in SCORED_MM_H]
        if others or not (self.selection_thresholds_mm_h or isinstance(loss, FrameLoss)):
            scored = ", ".join(f"{threshold:g}" for threshold in SCORED_MM_H)
            raise ValueError(f"selection_thresholds_mm_h must be a subset of the scored thresholds, {scored}")
        if self.batch % (parts := self.gradient_accumulation_steps):
            raise ValueError(f"{self.name}: a batch of {self.batch} cannot be split into {parts} equal parts")
        if isinstance(net, SimVPConfig):
            if self.sampling is not None or (isinstance(loss, FrameLoss) and loss.over == "all"):
                raise ValueError(f"{self.name}: a recurrent-free model has no output before the forecast")
            if net.frames != self.windows.context:
                raise ValueError(
                    f"{self.name}: the context has {self.windows.context} frames, the network reads {net.frames}"
                )
            if self.checkpoint_activations:
                raise ValueError(f"{self.name}: a recurrent-free model has no time steps to recompute")
        if loss.decoupling and not (isinstance(net, StackConfig) and net.decoupled):
            raise ValueError(f"{self.name}: the network has no projection for the decoupling loss (see decoupled)")
        thresholds = self.model.thresholds_mm_h
        if isinstance(loss, ExceedanceLoss):
            if not thresholds:
                raise ValueError(f"{self.name}: the network predicts no probabilities (see model.thresholds_mm_h)")
            if loss.threshold_weights and len(loss.threshold_weights) != len(thresholds):
                raise ValueError(f"{self.name}: {len(loss.threshold_weights)} weights for {len(thresholds)} thresholds")
        elif thresholds:
            raise ValueError(f"{self.name}: only ExceedanceLoss trains the probabilities of model.thresholds_mm_h")
        if (planes := planes_of(self.fields)) != self.model.fields:
            raise ValueError(f"{self.name}: {self.fields} are {planes} planes, the network reads {self.model.fields}")
