"""A network put to forecasting: what it reads at each step, and how its answer becomes the next frame.

Frames hold numbers in [0, 1]: of rain the HKO-7 pixel fraction (`model.core.normalisation.hko7_fraction`), 0 where
there are no data; of other videos their brightness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.core.errors import BadPackage, first_line
from model.core.limits import check_limits
from model.core.manifest import WEIGHTS
from model.core.package_digest import verify_package
from model.nets.cell import MOST_CHANNELS, State, StateSpec
from model.nets.simvp import SimVP, SimVPConfig
from model.nets.stack import RecurrentStack, StackConfig

TIME_CONDITIONS = 2
"""Per frame: its lead time over 60 min (0 at the newest observed frame, negative before), its time step over 15 min."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network and what it reads and answers.

    `channels`: of a frame's data, 1 for rain. `reads_known`: a plane that is 1 where a pixel holds data. `reads_time`:
    the two numbers of `TIME_CONDITIONS`. `fields`: planes of exogenous fields per frame. `residual`: the network
    answers the change from the frame that it reads, not the next frame. `bounded`: answers are clipped to [0, 1] before
    they are read again; the public codes do not.
    """

    net: StackConfig | SimVPConfig
    channels: int = 1
    reads_known: bool = True
    reads_time: bool = True
    fields: int = 0
    residual: bool = True
    bounded: bool = True

    def __post_init__(self) -> None:
        check_limits(self, "channels", ge=1, le=MOST_CHANNELS)
        check_limits(self, "fields", ge=0, le=MOST_CHANNELS)

    @property
    def planes(self) -> int:
        """Planes of a frame as the network reads it, but conditions and fields."""
        return self.channels + self.reads_known

    @property
    def conditions(self) -> int:
        """Numbers per frame that the network reads."""
        return TIME_CONDITIONS if self.reads_time else 0


class Rollout(NamedTuple):
    """Answers [b, t, c, y, x] to frames 0 to t - 1: each the frame after it; of recurrent networks also, per step and
    layer, what was written to C and to M."""

    frames: Tensor
    increments: list[list[tuple[Tensor, Tensor]]]


class FrameBatch(NamedTuple):
    """A batch of sequences as a forecast model reads it.

    `data` [b, t, c, y, x]; `known` [b, t, 1, y, x]; `step_minutes` [b]; `fields` [b, t + leads, n, y, x] or None.
    """

    data: Tensor
    known: Tensor
    step_minutes: Tensor
    fields: Tensor | None = None


class ForecastModel(nn.Module):
    """What training, export and verification know of a network."""

    config: ModelConfig
    checkpointed: bool = False
    """Whether training keeps only the states between time steps and computes the steps again for the gradient: a
    fraction of the memory, for a third more time (Chen et al. 2016, arXiv 1604.06174). Nothing else changes."""

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """Answers for steps 0 to context + leads - 2; the last `leads` of them are the forecast.

        `truth` [b, context + leads - 1] says at which steps a sequence reads its true frame, and not the answer of the
        step before; `frames` must hold those. Without it the context is read, and nothing after.
        """
        raise NotImplementedError

    def forward(self, frames: FrameBatch, leads: int) -> Tensor:
        """The forecast [b, leads, c, y, x] that follows the frames."""
        context = frames.data.shape[1]
        return self.rollout(frames, context, leads).frames[:, context - 1 :]

    def next_frame(self, answer: Tensor, newest: Tensor) -> Tensor:
        """The next frame. In training the gradient passes the clip to [0, 1]: a pixel forecast dry can still grow."""
        raw = newest + answer if self.config.residual else answer
        if not self.config.bounded:
            return raw
        clipped = torch.clamp(raw, 0, 1)
        return raw + (clipped - raw).detach() if self.training else clipped


class RecurrentModel(ForecastModel):
    """A recurrent stack, one frame at a time. With `residual` it starts as persistence: the output layer is zero."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not isinstance(config.net, StackConfig):
            raise TypeError("a recurrent model needs a StackConfig")
        self.config = config
        self.stack = RecurrentStack(
            config.net,
            inputs=config.planes,
            outputs=config.channels,
            conditions=config.conditions,
            actions=config.fields,
        )
        if config.residual:
            for parameter in self.stack.embedding.output.parameters():
                nn.init.zeros_(parameter)

    def states(self) -> list[StateSpec]:
        """Name, channels and stride (in pixels) of each state tensor."""
        return self.stack.states()

    def step(
        self, frame: Tensor, known: Tensor, conditions: Tensor | None, fields: Tensor | None, state: State
    ) -> tuple[Tensor, State, list[tuple[Tensor, Tensor]]]:
        """One step: frame [b, c, y, x], known [b, 1, y, x], conditions [b, 2], fields [b, n, y, x].

        Returns the next frame, the new state, and per layer what was written to C and to M.
        """
        planes = torch.cat([frame, known], dim=1) if self.config.reads_known else frame
        read = self.stack.step(planes, state, conditions if self.config.reads_time else None, fields)
        return self.next_frame(read.answer, frame), read.state, read.increments

    def _forgetful_step(self, *read: Tensor | State | None) -> tuple[Tensor, State, list[tuple[Tensor, Tensor]]]:
        """`step`, whose activations are not kept; nor is what it wrote to C and M, but for the decoupling loss."""
        answer, state, written = checkpoint(self.step, *read, use_reentrant=False, preserve_rng_state=False)
        return answer, state, written if self.stack.decouple is not None else []

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """See ForecastModel.rollout."""
        batch, held, _, height, width = frames.data.shape
        step = self._forgetful_step if self.checkpointed and torch.is_grad_enabled() else self.step
        state = self.stack.initial_state(batch, height, width, frames.data)
        answers: list[Tensor] = []
        increments = []
        frame, known = frames.data[:, 0], frames.known[:, 0]
        for index in range(context + leads - 1):
            if index and truth is not None and index < held:
                true = truth[:, index, None, None, None]
                frame = torch.where(true, frames.data[:, index], answers[-1])
                known = torch.where(true, frames.known[:, index], known)
            elif index < context:
                frame, known = frames.data[:, index], frames.known[:, index]
            else:
                frame = answers[-1]
            conditions = time_conditions(index - (context - 1), frames.step_minutes)
            fields = None if frames.fields is None else frames.fields[:, index]
            answer, state, written = step(frame, known, conditions, fields, state)
            answers.append(answer)
            increments.append(written)
        return Rollout(torch.stack(answers, dim=1), increments)


class RecurrentFreeModel(ForecastModel):
    """A network that reads all context frames at once and answers as many; more leads by reading its own answers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not isinstance(config.net, SimVPConfig):
            raise TypeError("a recurrent-free model needs a SimVPConfig")
        self.config = config
        inputs = config.planes + config.conditions + config.fields
        self.net = SimVP(config.net, inputs=inputs, outputs=config.channels)
        if config.residual:
            for parameter in self.net.output.parameters():
                nn.init.zeros_(parameter)

    def next_frames(
        self, data: Tensor, known: Tensor, conditions: Tensor | None = None, fields: Tensor | None = None
    ) -> Tensor:
        """data [b, t, c, y, x], known [b, t, 1, y, x], conditions [b, t, 2], fields [b, t, n, y, x] -> the t frames
        that follow."""
        planes = [data, *([known] if self.config.reads_known else []), *([] if fields is None else [fields])]
        if self.config.reads_time and conditions is not None:
            planes.append(conditions[..., None, None].expand(*conditions.shape, *data.shape[-2:]))
        return self.next_frame(self.net(torch.cat(planes, dim=2)), data[:, -1:])

    def rollout(self, frames: FrameBatch, context: int, leads: int, truth: Tensor | None = None) -> Rollout:
        """See ForecastModel.rollout; before the forecast stand the frames themselves, for nothing is answered there."""
        if truth is not None:
            raise ValueError("a whole-sequence network reads no true frames after its context")
        data, known = frames.data[:, :context], frames.known[:, :context]
        answers: list[Tensor] = [frames.data[:, 1:context]]
        for first in range(0, leads, context):
            fields = None if frames.fields is None else frames.fields[:, first : first + context]
            steps = range(first - context + 1, first + 1)
            conditions = torch.stack([time_conditions(step, frames.step_minutes) for step in steps], dim=1)
            data = self.next_frames(data, known, conditions, fields)
            known = known[:, -1:].expand_as(known)
            answers.append(data[:, : leads - first])
        return Rollout(torch.cat(answers, dim=1), [])


def build_model(config: ModelConfig) -> RecurrentModel | RecurrentFreeModel:
    """The network that a configuration describes, with fresh weights."""
    return RecurrentModel(config) if isinstance(config.net, StackConfig) else RecurrentFreeModel(config)


def with_tuples(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a configuration as JSON kept them, its lists as tuples again."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def config_from(kept: Mapping[str, Any]) -> ModelConfig:
    """The configuration that `dataclasses.asdict` wrote into a manifest or a recipe."""
    net = with_tuples(kept["net"])
    described = StackConfig(**net) if "scales" in net else SimVPConfig(**net)
    return ModelConfig(**{**kept, "net": described})


def load_model(folder: Path) -> RecurrentModel | RecurrentFreeModel:
    """The network of a model package, with its weights, in evaluation mode.

    Raises
    ------
    BadPackage
        The package is damaged, or its weights are not of the network that its manifest describes.
    """
    manifest = verify_package(folder)
    try:
        net = build_model(config_from(manifest.config))
        net.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = first_line(error)
        raise BadPackage(
            f"the weights are not of the network in its manifest ({reason})",
            where=str(folder),
            hint="Export the package again, or fetch it anew",
        ) from None
    return net.eval()


def time_conditions(steps_after_newest: int, step_minutes: Tensor) -> Tensor:
    """Conditions [b, 2] of the frame that lies so many steps after the newest observed one."""
    return torch.stack([step_minutes * steps_after_newest / 60, step_minutes / 15], dim=1)
