"""ST-LSTM: the cell of PredRNN and PredRNN-V2 (Wang et al., NeurIPS 2017; arXiv 2103.09504, equations 2 and 4).

A cell holds two memories. C stays in the cell from step to step. M flows through the stack: the cell takes M from the
layer below, updates it and passes it to the layer above. PredRNN-V2 has the same cell; its decoupling loss
(`model.losses.decoupling_loss`) compares the increments of C and M.
"""

from __future__ import annotations

import torch

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, modulate, required


class STLSTM(Cell):
    """Gates g, i, f of C, gates g', i', f' of M, and one output gate o for both."""

    has_memory_flow = True

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gate_conv(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = config.gate_conv(hidden, 4 * hidden)  # g i f, o
        self.from_m = config.gate_conv(hidden, 3 * hidden)  # g' i' f'
        self.from_memories = config.gate_conv(2 * hidden, hidden)  # o
        self.merge = config.pointwise_conv(2 * hidden, hidden)
        self.from_action = config.action_conv(actions, 4 * hidden)

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C)."""
        h, c = state
        m = required(inputs.m, "memory M")
        xg, xi, xf, xg_m, xi_m, xf_m, xo = self.split(self.from_x(inputs.x))
        hg, hi, hf, ho = self.split(modulate(self.from_h(h), self.from_action, inputs.action))
        mg, mi, mf = self.split(self.from_m(m))

        g = torch.tanh(xg + hg)
        i = torch.sigmoid(xi + hi)
        f = torch.sigmoid(xf + hf + self.forget_bias)
        c_increment = i * g
        c = f * c + c_increment

        g_m = torch.tanh(xg_m + mg)
        i_m = torch.sigmoid(xi_m + mi)
        f_m = torch.sigmoid(xf_m + mf + self.forget_bias)
        m_increment = i_m * g_m
        m = f_m * m + m_increment

        memories = torch.cat([c, m], dim=1)
        o = torch.sigmoid(xo + ho + self.from_memories(memories))
        h = o * torch.tanh(self.merge(memories))
        return CellOutput(h=h, o=o, m=m, increments=(c_increment, m_increment)), (h, c)
