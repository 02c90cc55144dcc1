"""ConvLSTM (Shi et al. 2015, arXiv 1506.04214, equations 3), without peepholes, as all later codes have it."""

from __future__ import annotations

import torch

from model.nets.cell import Above, Below, Cell, CellConfig, State, fused


class ConvLSTM(Cell):
    """Convolutional gates i, f, o and candidate g over the input and H."""

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gates(in_channels, 4 * hidden)  # g i f o
        self.from_h = config.gates(hidden, 4 * hidden)
        self.from_action = config.gates_of_action(actions, 4 * hidden)

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step: x [b, in, y, x] and (H, C) [b, hidden, y, x] -> H, (H, C)."""
        h, c = state
        gates = self.from_x(below.x) + fused(self.from_h(h), self.from_action, below.action)
        g, i, f, o = torch.split(gates, self.hidden, dim=1)
        c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
        o = torch.sigmoid(o)
        h = o * torch.tanh(c)
        return Above(h=h, o=o), (h, c)
