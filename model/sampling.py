"""Curricula of training: at which steps a recurrent network reads the true frame, and not its own answer.

Pure functions of the step of training and a generator. A step counts iterations from 1, as the authors do; a schedule
says of how long a training its numbers are (`of`), so that a shorter training scales it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from model.core.limits import check_limits

MOST_STEPS: Final = 10**9
"""Of a training, by far."""


@dataclass(frozen=True, kw_only=True)
class ScheduledSampling:
    """Forecast frames are true with a probability that falls from `start` by `rate` a step, and is 0 from `stop` on.

    The defaults are PredRNN's on Moving MNIST (predrnn-pytorch).
    """

    start: float = 1.0
    rate: float = 2e-5
    stop: float = 50_000
    of: int = 80_000

    def __post_init__(self) -> None:
        check_limits(self, "start", "rate", ge=0, le=1)
        check_limits(self, "stop", ge=0, le=MOST_STEPS)
        check_limits(self, "of", ge=1, le=MOST_STEPS)


@dataclass(frozen=True, kw_only=True)
class ReverseScheduledSampling:
    """Reverse scheduled sampling (PredRNN-V2, arXiv 2103.09504, section 3.4), exponential.

    Until step `constant_until` context and forecast frames are true by half. Then context frames approach 1 with the
    time constant `alpha`, forecast frames fall linearly to 0; both are there at `stop`. The defaults are those for
    Moving MNIST (predrnn-pytorch).
    """

    constant_until: float = 25_000
    stop: float = 50_000
    alpha: float = 2_500
    of: int = 80_000

    def __post_init__(self) -> None:
        check_limits(self, "constant_until", "stop", ge=0, le=MOST_STEPS)
        check_limits(self, "alpha", gt=0, le=MOST_STEPS)
        check_limits(self, "of", ge=1, le=MOST_STEPS)
        if self.stop <= self.constant_until:
            raise ValueError(f"stop, {self.stop:g}, must be above constant_until, {self.constant_until:g}")


Sampling = ScheduledSampling | ReverseScheduledSampling


def scheduled_probability(schedule: ScheduledSampling, step: float) -> float:
    """How likely a forecast frame is true."""
    return max(0.0, schedule.start - schedule.rate * step) if step < schedule.stop else 0.0


def reverse_context_probability(schedule: ReverseScheduledSampling, step: float) -> float:
    """How likely a context frame is true: rises from 0.5 to 1."""
    if step < schedule.constant_until:
        return 0.5
    if step >= schedule.stop:
        return 1.0
    return 1.0 - 0.5 * math.exp(-(step - schedule.constant_until) / schedule.alpha)


def reverse_forecast_probability(schedule: ReverseScheduledSampling, step: float) -> float:
    """How likely a forecast frame is true: falls from 0.5 to 0."""
    done = (step - schedule.constant_until) / (schedule.stop - schedule.constant_until)
    return 0.5 * (1.0 - min(1.0, max(0.0, done)))


def scheduled_sampling(
    schedule: ScheduledSampling, step: float, *, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    """Where to read the true frame, Bool [b, context + leads - 1]: in the context always."""
    return _drawn(1.0, scheduled_probability(schedule, step), batch, context, leads, generator)


def reverse_scheduled_sampling(
    schedule: ReverseScheduledSampling, step: float, *, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    """Where to read the true frame, Bool [b, context + leads - 1]: always the first, else by the two probabilities."""
    in_context = reverse_context_probability(schedule, step)
    return _drawn(in_context, reverse_forecast_probability(schedule, step), batch, context, leads, generator)


def _drawn(
    in_context: float, in_forecast: float, batch: int, context: int, leads: int, generator: torch.Generator
) -> Tensor:
    chances = torch.tensor([1.0] + [in_context] * (context - 1) + [in_forecast] * (leads - 1))
    return torch.rand(batch, len(chances), generator=generator) < chances
