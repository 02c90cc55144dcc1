"""Scheduled sampling: the time steps at which a recurrent network in training reads the true frame.

At the other steps it reads its own prediction, as it does in a forecast. All functions are pure: they depend on the
training step, counted from 1 as in the official codes, and on a generator. A schedule is for a training of
`total_steps`; a shorter one scales it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from model.core.limits import check_limits

MAX_STEPS: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class ScheduledSampling:
    """Scheduled sampling (Bengio et al. 2015, arXiv 1506.03099), linear; defaults of predrnn-pytorch on Moving MNIST.

    Forecast frames are true with a probability that falls from `start` by `rate` per training step, and is 0 from step
    `stop` on. All context frames are true.
    """

    start: float = 1.0
    rate: float = 2e-5
    stop: float = 50_000
    total_steps: int = 80_000

    def __post_init__(self) -> None:
        check_limits(self, "start", "rate", ge=0, le=1)
        check_limits(self, "stop", ge=0, le=MAX_STEPS)
        check_limits(self, "total_steps", ge=1, le=MAX_STEPS)


@dataclass(frozen=True, kw_only=True)
class ReverseScheduledSampling:
    """Reverse scheduled sampling (PredRNN-V2, arXiv 2103.09504, section 3.4), exponential.

    With true context frames only, a network can predict the next frame from short-term changes and never needs a long
    memory. So early in training context frames, too, are replaced by predictions. Until step `constant_until` context
    and forecast frames are true with probability 1/2. Then the probability of context frames approaches 1 with the time
    constant `alpha`, and that of forecast frames falls linearly to 0; from step `stop` on they are 1 and 0. Defaults
    are predrnn-pytorch's on Moving MNIST.
    """

    constant_until: float = 25_000
    stop: float = 50_000
    alpha: float = 2_500
    total_steps: int = 80_000

    def __post_init__(self) -> None:
        check_limits(self, "constant_until", "stop", ge=0, le=MAX_STEPS)
        check_limits(self, "alpha", gt=0, le=MAX_STEPS)
        check_limits(self, "total_steps", ge=1, le=MAX_STEPS)
        if self.stop <= self.constant_until:
            raise ValueError(f"stop {self.stop:g} must be greater than constant_until {self.constant_until:g}")


Sampling = ScheduledSampling | ReverseScheduledSampling


def scheduled_probability(schedule: ScheduledSampling, step: float) -> float:
    """Return the probability that a forecast frame is true."""
    return max(0.0, schedule.start - schedule.rate * step) if step < schedule.stop else 0.0


def reverse_context_probability(schedule: ReverseScheduledSampling, step: float) -> float:
    """Return the probability that a context frame is true, which rises from 0.5 to 1."""
    if step < schedule.constant_until:
        return 0.5
    if step >= schedule.stop:
        return 1.0
    return 1.0 - 0.5 * math.exp(-(step - schedule.constant_until) / schedule.alpha)


def reverse_forecast_probability(schedule: ReverseScheduledSampling, step: float) -> float:
    """Return the probability that a forecast frame is true, which falls from 0.5 to 0."""
    done = (step - schedule.constant_until) / (schedule.stop - schedule.constant_until)
    return 0.5 * (1.0 - min(1.0, max(0.0, done)))


def scheduled_sampling(
    schedule: ScheduledSampling, step: float, *, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    """Draw the steps that read the true frame, bool [b, context + leads - 1]; those of the context always do."""
    return _draw(1.0, scheduled_probability(schedule, step), batch, context, leads, generator)


def reverse_scheduled_sampling(
    schedule: ReverseScheduledSampling, step: float, *, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    """Draw the steps that read the true frame, bool [b, context + leads - 1]; the first one always does."""
    in_context = reverse_context_probability(schedule, step)
    return _draw(in_context, reverse_forecast_probability(schedule, step), batch, context, leads, generator)


def _draw(
    in_context: float, in_forecast: float, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    probabilities = torch.tensor([1.0] + [in_context] * (context - 1) + [in_forecast] * (leads - 1))
    return torch.rand(batch, len(probabilities), generator=generator) < probabilities
