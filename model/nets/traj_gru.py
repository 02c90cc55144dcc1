"""TrajGRU (Shi et al. 2017, arXiv 1706.03458, equations 3): a convolutional GRU whose recurrent links follow flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from model.nets.cell import Above, Below, Cell, CellConfig, State, StateSpec, fused
from model.nets.warp import warp

SLOPE = 0.2
"""Of the leaky ReLU that is the paper's activation."""


class TrajGRU(Cell):
    """L learned flow fields say from where each pixel's past comes: H is warped along each, then enters the gates."""

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.links = config.links
        self.as_published = config.as_published
        self.from_x = config.gates(in_channels, 3 * hidden)  # z r candidate
        self.flow_from_x = config.gates(in_channels, hidden)
        self.flow_from_h = config.gates(hidden, hidden)
        self.to_flow = config.gates(hidden, 2 * config.links)
        self.from_warped = config.pointwise(hidden * config.links, 3 * hidden)  # z r candidate, of all links of H
        self.from_action = config.gates_of_action(actions, 3 * hidden)

    def states(self) -> Sequence[StateSpec]:
        """H alone."""
        return [StateSpec("h", self.hidden)]

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step: x [b, in, y, x] and H [b, hidden, y, x] -> H, (H,)."""
        (h,) = state
        structure = functional.leaky_relu(self.flow_from_x(below.x) + self.flow_from_h(h), SLOPE)
        flows = torch.unflatten(self.to_flow(structure), 1, (self.links, 2))
        warped = warp(h, -flows, as_published=self.as_published).flatten(1, 2)
        xz, xr, xn = torch.split(self.from_x(below.x), self.hidden, dim=1)
        hz, hr, hn = torch.split(fused(self.from_warped(warped), self.from_action, below.action), self.hidden, dim=1)
        z = torch.sigmoid(xz + hz)
        r = torch.sigmoid(xr + hr)
        h = (1 - z) * functional.leaky_relu(xn + r * hn, SLOPE) + z * h
        return Above(h=h, o=1 - z), (h,)
