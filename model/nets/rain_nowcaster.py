"""A recurrent stack put to rain: what the network reads at each step, and how its answer becomes the next frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nets.stack import RecurrentStack, StackConfig, State

INPUT_PLANES = 2
"""Per pixel: the rain fraction p, and whether the pixel holds data."""
CONDITIONS = 2
"""Per frame: its lead time over 60 min (0 at the newest observed frame, negative before), its time step over 15 min."""


class RainNowcaster(nn.Module):
    """Predicts the next frame as the change of this one: next = clip(p + stack(p, valid, time), 0, 1).

    p is the HKO-7 pixel fraction (`model.core.units.hko7_fraction`), 0 where there are no data. The output layer
    starts at zero, so that an untrained network is persistence (in a Lagrangian frame: extrapolation).
    """

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        if config.in_channels != INPUT_PLANES or config.conditions != CONDITIONS:
            raise ValueError(f"a RainNowcaster reads {INPUT_PLANES} planes and {CONDITIONS} conditions")
        self.stack = RecurrentStack(config)
        nn.init.zeros_(self.stack.output.weight)
        if self.stack.output.bias is not None:
            nn.init.zeros_(self.stack.output.bias)

    def step(self, fraction: Tensor, valid: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: fraction and valid [b, 1, y, x], conditions [b, 2] -> next fraction [b, 1, y, x], state."""
        change, state = self.stack.step(torch.cat([fraction, valid], dim=1), state, conditions)
        raw = fraction + change
        clipped = torch.clamp(raw, 0, 1)
        if self.training:  # the gradient passes the clip, so that a pixel forecast dry can still learn to grow
            clipped = raw + (clipped - raw).detach()
        return clipped, state

    def forward(self, fractions: Tensor, valid: Tensor, step_minutes: Tensor, leads: int) -> Tensor:
        """Forecast: fractions and valid [b, t, y, x], step_minutes [b] -> fractions [b, leads, y, x]."""
        batch, frames, height, width = fractions.shape
        state = self.stack.initial_state(batch, height, width, fractions)
        answers: list[Tensor] = []
        p, known = fractions[:, :1], valid[:, :1]
        for index in range(frames + leads - 1):
            if index < frames:
                p, known = fractions[:, index : index + 1], valid[:, index : index + 1]
            conditions = time_conditions(index - (frames - 1), step_minutes)
            p, state = self.step(p, known, conditions, state)
            if index >= frames - 1:
                answers.append(p)
        return torch.cat(answers, dim=1)


def time_conditions(steps_after_newest: int, step_minutes: Tensor) -> Tensor:
    """Conditions [b, 2] of the frame that lies so many steps after the newest observed one."""
    return torch.stack([step_minutes * steps_after_newest / 60, step_minutes / 15], dim=1)


def state_names(layers: int) -> Sequence[str]:
    """Names of the state tensors, in order: h1, c1, h2, ..., m."""
    return [*(f"{part}{layer + 1}" for layer in range(layers) for part in "hc"), "m"]
