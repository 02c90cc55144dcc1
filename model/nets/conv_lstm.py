"""ConvLSTM (Shi et al. 2015, arXiv 1506.04214, equation 3), without peepholes, as in OpenSTL and MS-RNN."""

from __future__ import annotations

import torch

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, modulate


class ConvLSTM(Cell):
    """Convolutional gates i, f, o and candidate g over the input and H."""

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gate_conv(in_channels, 4 * hidden)  # g i f o
        self.from_h = config.gate_conv(hidden, 4 * hidden)  # g i f o
        self.from_action = config.action_conv(actions, 4 * hidden)

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C)."""
        h, c = state
        g, i, f, o = self.split(self.from_x(inputs.x) + modulate(self.from_h(h), self.from_action, inputs.action))
        c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
        o = torch.sigmoid(o)
        h = o * torch.tanh(c)
        return CellOutput(h=h, o=o), (h, c)
