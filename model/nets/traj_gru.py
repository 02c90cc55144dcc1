"""TrajGRU (Shi et al. 2017, arXiv 1706.03458, equation 3): a convolutional GRU whose recurrent links follow flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, StateSpec, modulate
from model.nets.warp import warp

SLOPE = 0.2
"""Negative slope of the leaky ReLU, the activation of the paper."""


class TrajGRU(Cell):
    """H is warped along L learned flow fields and then enters the gates, so that connections follow the motion."""

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.links = config.links
        self.as_published = config.as_published
        self.from_x = config.gate_conv(in_channels, 3 * hidden)  # z r, candidate
        self.flow_from_x = config.gate_conv(in_channels, hidden)
        self.flow_from_h = config.gate_conv(hidden, hidden)
        self.to_flow = config.gate_conv(hidden, 2 * config.links)
        self.from_warped = config.pointwise_conv(hidden * config.links, 3 * hidden)  # z r, candidate
        self.from_action = config.action_conv(actions, 3 * hidden)

    def states(self) -> Sequence[StateSpec]:
        """Return H, the only state."""
        return [StateSpec("h", self.hidden)]

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H,)."""
        (h,) = state
        structure = functional.leaky_relu(self.flow_from_x(inputs.x) + self.flow_from_h(h), SLOPE)
        flows = torch.unflatten(self.to_flow(structure), 1, (self.links, 2))
        # MS-RNN's code samples against the flow; the sign matters to imported weights only.
        warped = warp(h, -flows, as_published=self.as_published).flatten(1, 2)
        xz, xr, xn = self.split(self.from_x(inputs.x))
        hz, hr, hn = self.split(modulate(self.from_warped(warped), self.from_action, inputs.action))
        z = torch.sigmoid(xz + hz)
        r = torch.sigmoid(xr + hr)
        h = (1 - z) * functional.leaky_relu(xn + r * hn, SLOPE) + z * h
        return CellOutput(h=h, o=1 - z), (h,)
