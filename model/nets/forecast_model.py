"""Forecast models: a network, the planes that it reads of each frame, and the rule that makes its output a frame.

Frames hold numbers in [0, 1], with 0 where there are no data: the HKO-7 pixel fraction of rain
(`model.core.normalisation.hko7_fraction`), or the brightness of other videos. Two kinds of models share one interface:
recurrent ones, and recurrent-free ones (SimVP, TAU; the terms are OpenSTL's, arXiv 2306.11249).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.core.errors import BadPackage, first_line
from model.core.forecast_output import MAX_THRESHOLD_MM_H
from model.core.limits import check_limits
from model.core.manifest import WEIGHTS
from model.core.package_digest import verify_package
from model.core.stored import known_fields_only
from model.core.units import DRY_RAIN_RATE_MM_H
from model.nets.cell import MAX_CHANNELS, State, StateSpec
from model.nets.exceedance_head import ExceedanceHead
from model.nets.simvp import SimVP, SimVPConfig
from model.nets.stack import RecurrentStack, StackConfig

TIME_CONDITIONS = 2
"""Per frame: its lead time over 60 min (0 at the newest observed frame, negative before), its time step over 15 min."""


@known_fields_only
@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Configuration of a forecast model.

    Attributes
    ----------
    net
        The network.
    channels
        Channels of a frame, 1 for rain.
    reads_known
        Whether the network reads a plane that is 1 where a pixel holds data.
    reads_time
        Whether the network reads the two numbers of `TIME_CONDITIONS`.
    fields
        Planes of exogenous fields per frame.
    residual
        Whether the network predicts the change from the frame that it reads, instead of the next frame.
    bounded
        Whether predicted frames are clipped to [0, 1] before the network reads them; the public codes do not clip.
    thresholds_mm_h
        Rain rates (mm h-1) whose exceedance probabilities the network predicts beside the next frame; none by default.
    """

    net: StackConfig | SimVPConfig
    channels: int = 1
    reads_known: bool = True
    reads_time: bool = True
    fields: int = 0
    residual: bool = True
    bounded: bool = True
    thresholds_mm_h: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_limits(self, "channels", ge=1, le=MAX_CHANNELS)
        check_limits(self, "fields", ge=0, le=MAX_CHANNELS)
        check_limits(self, "thresholds_mm_h", ge=DRY_RAIN_RATE_MM_H, le=MAX_THRESHOLD_MM_H)
        if any(above <= below for below, above in pairwise(self.thresholds_mm_h)):
            raise ValueError(f"thresholds_mm_h {self.thresholds_mm_h} must ascend")
        if len(self.thresholds_mm_h) == 1:
            raise ValueError("thresholds_mm_h: one threshold is no distribution; name two at least")
        if self.thresholds_mm_h and self.channels != 1:
            raise ValueError("thresholds_mm_h are rain rates: frames of rain have 1 channel")

    @property
    def planes(self) -> int:
        """Planes of a frame as the network reads it, without conditions and fields."""
        return self.channels + self.reads_known

    @property
    def conditions(self) -> int:
        """Numbers per frame that the network reads."""
        return TIME_CONDITIONS if self.reads_time else 0


class Rollout(NamedTuple):
    """Output of a model over a sequence.

    Attributes
    ----------
    frames : [b, t, c, y, x]
        The frames after frames 0 to t - 1.
    increments
        Increments of C and M per step and layer, [b, hidden, y, x] each; empty where the network has no such memories.
    exceedance : [b, lead, threshold, y, x]
        Logits of the exceedance probabilities of the forecast, or None.
    """

    frames: Tensor
    increments: list[list[tuple[Tensor, Tensor]]]
    exceedance: Tensor | None = None


class StepOutput(NamedTuple):
    """Output of one time step of a recurrent model.

    Attributes
    ----------
    frame : [b, c, y, x]
        The next frame.
    state
        The new state.
    increments
        Increments of C and M per layer.
    exceedance : [b, threshold, y, x]
        Logits of the exceedance probabilities of the next frame, or None.
    """

    frame: Tensor
    state: State
    increments: list[tuple[Tensor, Tensor]]
    exceedance: Tensor | None = None


class FrameBatch(NamedTuple):
    """A batch of sequences.

    Attributes
    ----------
    data : [b, t, c, y, x]
        Frames.
    known : [b, t, 1, y, x]
        1 where a pixel holds data, else 0.
    step_minutes : [b]
        Time step of each sequence.
    fields : [b, t + leads, n, y, x]
        Exogenous fields, or None.
    """

    data: Tensor
    known: Tensor
    step_minutes: Tensor
    fields: Tensor | None = None


class ForecastModel(nn.Module):
    """Interface of a model in training, export and verification."""

    config: ModelConfig
    head: ExceedanceHead | None
    checkpoint_activations: bool = False
    """Whether training keeps the states between time steps only and recomputes the steps for the gradient: a fraction
    of the memory for a third more time (Chen et al. 2016, arXiv 1604.06174), and the same numbers."""

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """Predict frames 1 to context + leads - 1.

        Parameters
        ----------
        frames
            At least the context frames; with `truth`, all frames that it selects.
        context, leads
            Numbers of input frames and of forecast frames.
        truth : [b, context + leads - 1] of bool
            Whether a sequence reads the true frame at each step, instead of the prediction of the step before. By
            default a model reads the context, then its own predictions.

        Returns
        -------
        Rollout
            context + leads - 1 frames, of which the last `leads` are the forecast.
        """
        raise NotImplementedError

    def forward(self, frames: FrameBatch, leads: int) -> Tensor:
        """Return the forecast [b, leads, c, y, x] that follows the frames."""
        context = frames.data.shape[1]
        return self.rollout(frames, context, leads).frames[:, context - 1 :]

    def next_frame(self, output: Tensor, newest: Tensor) -> Tensor:
        """Return the next frame from the output of the network and the newest frame.

        The clip to [0, 1] is a straight-through estimator in training (Bengio et al. 2013, arXiv 1308.3432): the
        gradient passes, so that a pixel predicted dry can still learn to be wet.
        """
        raw = newest + output if self.config.residual else output
        if not self.config.bounded:
            return raw
        clipped = torch.clamp(raw, 0, 1)
        return raw + (clipped - raw).detach() if self.training else clipped


class RecurrentModel(ForecastModel):
    """A recurrent stack, run one frame at a time.

    With `residual` an untrained model is persistence: the output layer is zero.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not isinstance(config.net, StackConfig):
            raise TypeError("a recurrent model needs a StackConfig")
        self.config = config
        self.head = ExceedanceHead(config.thresholds_mm_h, config.net.patch) if config.thresholds_mm_h else None
        planes = {
            "inputs": config.planes,
            "outputs": config.channels,
            "coarse": self.head.planes if self.head is not None else 0,
        }
        self.stack = RecurrentStack(config.net, **planes, conditions=config.conditions, actions=config.fields)
        if config.residual:
            for parameter in self.stack.embedding.output.parameters():
                nn.init.zeros_(parameter)

    def states(self) -> list[StateSpec]:
        """Return name, channels and stride (in pixels) of each state tensor."""
        return self.stack.states()

    def step(
        self, frame: Tensor, known: Tensor, conditions: Tensor | None, fields: Tensor | None, state: State
    ) -> StepOutput:
        """Run one time step.

        Parameters
        ----------
        frame : [b, c, y, x]
        known : [b, 1, y, x]
        conditions : [b, 2]
        fields : [b, n, y, x]
        state
            State of the step before, or `RecurrentStack.initial_state`.

        Returns
        -------
        StepOutput
            The next frame, the new state, the increments of C and M, and the logits of exceedance.
        """
        planes = torch.cat([frame, known], dim=1) if self.config.reads_known else frame
        output = self.stack.step(planes, state, conditions if self.config.reads_time else None, fields)
        next_frame = self.next_frame(output.frame, frame)
        exceedance = None
        if self.head is not None and output.coarse is not None:
            exceedance = self.head(next_frame, output.coarse)
        return StepOutput(next_frame, output.state, output.increments, exceedance)

    def _checkpointed_step(self, *inputs: Tensor | State | None) -> StepOutput:
        """Run `step` without keeping activations; increments are kept for the decoupling loss only."""
        output: StepOutput = checkpoint(self.step, *inputs, use_reentrant=False, preserve_rng_state=False)
        return output if self.stack.decouple is not None else output._replace(increments=[])

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """See ForecastModel.rollout."""
        batch, available, _, height, width = frames.data.shape
        step = self._checkpointed_step if self.checkpoint_activations and torch.is_grad_enabled() else self.step
        state = self.stack.initial_state(batch, height, width, frames.data)
        predicted: list[Tensor] = []
        increments = []
        exceedance: list[Tensor] = []
        frame, known = frames.data[:, 0], frames.known[:, 0]
        for index in range(context + leads - 1):
            if index and truth is not None and index < available:
                reads_truth = truth[:, index, None, None, None]
                frame = torch.where(reads_truth, frames.data[:, index], predicted[-1])
                known = torch.where(reads_truth, frames.known[:, index], known)
            elif index < context:
                frame, known = frames.data[:, index], frames.known[:, index]
            else:
                # A distribution is learned at each step by itself: through the frame that is read next the gradient
                # explodes over many steps (docs/lab.md). A single field needs it: its frame is all that it has.
                frame = predicted[-1] if self.head is None else predicted[-1].detach()
            conditions = time_conditions(index - (context - 1), frames.step_minutes)
            fields = None if frames.fields is None else frames.fields[:, index]
            output = step(frame, known, conditions, fields, state)
            state = output.state
            predicted.append(output.frame)
            increments.append(output.increments)
            if output.exceedance is not None and index >= context - 1:
                exceedance.append(output.exceedance)
        return Rollout(
            torch.stack(predicted, dim=1), increments, torch.stack(exceedance, dim=1) if exceedance else None
        )


class RecurrentFreeModel(ForecastModel):
    """A network that reads all context frames at once and predicts as many; for more leads it reads its predictions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not isinstance(config.net, SimVPConfig):
            raise TypeError("a recurrent-free model needs a SimVPConfig")
        self.config = config
        inputs = config.planes + config.conditions + config.fields
        self.head = ExceedanceHead(config.thresholds_mm_h) if config.thresholds_mm_h else None
        outputs = config.channels + (self.head.planes if self.head is not None else 0)
        self.net = SimVP(config.net, inputs=inputs, outputs=outputs)
        if config.residual:
            for parameter in self.net.output.parameters():
                nn.init.zeros_(parameter)

    def next_frames(
        self, data: Tensor, known: Tensor, conditions: Tensor | None = None, fields: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the t frames that follow t frames, and the logits of their exceedance probabilities.

        Parameters
        ----------
        data : [b, t, c, y, x]
        known : [b, t, 1, y, x]
        conditions : [b, t, 2]
        fields : [b, t, n, y, x]
        """
        planes = [data, *([known] if self.config.reads_known else []), *([] if fields is None else [fields])]
        if self.config.reads_time and conditions is not None:
            planes.append(conditions[..., None, None].expand(*conditions.shape, *data.shape[-2:]))
        output: Tensor = self.net(torch.cat(planes, dim=2))
        if self.head is None:
            return self.next_frame(output, data[:, -1:]), None
        change, of_head = torch.split(output, [self.config.channels, self.head.planes], dim=2)
        frames = self.next_frame(change, data[:, -1:])
        logits: Tensor = self.head(frames.flatten(0, 1), of_head.flatten(0, 1))
        return frames, torch.unflatten(logits, 0, frames.shape[:2])

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """See ForecastModel.rollout; the frames before the forecast are the input, for which nothing is predicted."""
        if truth is not None:
            raise ValueError("a recurrent-free model reads no true frames after its context")
        data, known = frames.data[:, :context], frames.known[:, :context]
        predicted: list[Tensor] = [frames.data[:, 1:context]]
        exceedance: list[Tensor] = []
        for first in range(0, leads, context):
            fields = None if frames.fields is None else frames.fields[:, first : first + context]
            steps = range(first - context + 1, first + 1)
            conditions = torch.stack([time_conditions(step, frames.step_minutes) for step in steps], dim=1)
            data, logits = self.next_frames(data, known, conditions, fields)
            known = known[:, -1:].expand_as(known)
            predicted.append(data[:, : leads - first])
            if logits is not None:
                exceedance.append(logits[:, : leads - first])
        return Rollout(torch.cat(predicted, dim=1), [], torch.cat(exceedance, dim=1) if exceedance else None)


def build_model(config: ModelConfig) -> RecurrentModel | RecurrentFreeModel:
    """Return the model of a configuration, with random weights."""
    return RecurrentModel(config) if isinstance(config.net, StackConfig) else RecurrentFreeModel(config)


def config_from_dict(stored: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration that `dataclasses.asdict` wrote to a manifest or a recipe.

    Raises
    ------
    pydantic.ValidationError
        A field is unknown, absent or has a wrong value.
    """
    return TypeAdapter(ModelConfig).validate_python(stored)


def load_model(folder: Path) -> RecurrentModel | RecurrentFreeModel:
    """Load the model of a package with its weights, in evaluation mode.

    Raises
    ------
    BadPackage
        The package is damaged, or the weights do not fit the network in the manifest.
    """
    manifest = verify_package(folder)
    try:
        model = build_model(config_from_dict(manifest.config))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        what = f"the weights do not fit the network in the manifest ({first_line(error)})"
        raise BadPackage(what, where=str(folder), hint="Export the package again, or fetch a new copy") from None
    return model.eval()


def time_conditions(steps_after_newest: int, step_minutes: Tensor) -> Tensor:
    """Return the conditions [b, 2] of the frame that many time steps after the newest observed one."""
    return torch.stack([step_minutes * steps_after_newest / 60, step_minutes / 15], dim=1)
