"""ST-LSTM: the cell of PredRNN and PredRNN-V2 (Wang et al., NeurIPS 2017; arXiv 2103.09504, equations 2 and 4).

A cell holds two memories: C, its own from step to step, and M, which it takes from the layer below, changes, and
hands to the layer above. PredRNN-V2 is this cell too: its decoupling loss (`model.losses.decoupling_loss`) looks at
what each step writes to C and to M. With actions it is the action-conditioned cell.
"""

from __future__ import annotations

import torch

from model.nets.cell import Above, Below, Cell, CellConfig, State, fused, heard


class STLSTM(Cell):
    """Gates g, i, f of C; g', i', f' of M; one output gate o of both."""

    zigzags = True

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gates(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = config.gates(hidden, 4 * hidden)  # g i f, o
        self.from_m = config.gates(hidden, 3 * hidden)  # g' i' f'
        self.from_memories = config.gates(2 * hidden, hidden)  # o
        self.merge = config.pointwise(2 * hidden, hidden)
        self.from_action = config.gates_of_action(actions, 4 * hidden)

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step: x [b, in, y, x], M from below and (H, C) of the step before, each [b, hidden, y, x]."""
        h, c = state
        m = heard(below.m, "memory M")
        xg, xi, xf, xg_m, xi_m, xf_m, xo = torch.split(self.from_x(below.x), self.hidden, dim=1)
        hg, hi, hf, ho = torch.split(fused(self.from_h(h), self.from_action, below.action), self.hidden, dim=1)
        mg, mi, mf = torch.split(self.from_m(m), self.hidden, dim=1)

        g = torch.tanh(xg + hg)
        i = torch.sigmoid(xi + hi)
        f = torch.sigmoid(xf + hf + self.forget_bias)
        written_c = i * g
        c = f * c + written_c

        g_m = torch.tanh(xg_m + mg)
        i_m = torch.sigmoid(xi_m + mi)
        f_m = torch.sigmoid(xf_m + mf + self.forget_bias)
        written_m = i_m * g_m
        m = f_m * m + written_m

        memories = torch.cat([c, m], dim=1)
        o = torch.sigmoid(xo + ho + self.from_memories(memories))
        h = o * torch.tanh(self.merge(memories))
        return Above(h=h, o=o, m=m, increments=(written_c, written_m)), (h, c)
