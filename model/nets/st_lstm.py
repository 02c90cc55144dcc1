"""ST-LSTM: the cell of PredRNN (Wang et al., NeurIPS 2017; arXiv 2103.09504, equations 2).

A cell holds two memories: C, its own from step to step, and M, which it takes from the layer below, changes, and
hands to the layer above.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CellState = tuple[Tensor, Tensor]
"""(H, C), each [b, hidden, y, x]."""


class STLSTM(nn.Module):
    """One ST-LSTM cell. It holds no state: `step(x, m, (h, c)) -> (h, m, (h, c))`.

    `forget_bias` is added to both forget gates before the sigmoid (1 in the authors' code, 0 in MS-RNN's).
    """

    def __init__(self, in_channels: int, hidden: int, *, kernel: int, forget_bias: float, bias: bool) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = forget_bias

        def conv(inputs: int, outputs: int, size: int = kernel) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)

        self.from_x = conv(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = conv(hidden, 4 * hidden)  # g i f, o
        self.from_m = conv(hidden, 3 * hidden)  # g' i' f'
        self.from_memories = conv(2 * hidden, hidden)  # o
        self.merge = conv(2 * hidden, hidden, 1)

    def step(self, x: Tensor, m: Tensor, state: CellState) -> tuple[Tensor, Tensor, CellState]:
        """One time step: x [b, in, y, x], M from the layer below and (H, C) from the step before.

        Returns H (the layer's output), the new M, and the new (H, C), all [b, hidden, y, x].
        """
        h, c = state
        xg, xi, xf, xg_m, xi_m, xf_m, xo = self.from_x(x).split(self.hidden, dim=1)
        hg, hi, hf, ho = self.from_h(h).split(self.hidden, dim=1)
        mg, mi, mf = self.from_m(m).split(self.hidden, dim=1)

        g = torch.tanh(xg + hg)
        i = torch.sigmoid(xi + hi)
        f = torch.sigmoid(xf + hf + self.forget_bias)
        c = f * c + i * g

        g_m = torch.tanh(xg_m + mg)
        i_m = torch.sigmoid(xi_m + mi)
        f_m = torch.sigmoid(xf_m + mf + self.forget_bias)
        m = f_m * m + i_m * g_m

        memories = torch.cat([c, m], dim=1)
        o = torch.sigmoid(xo + ho + self.from_memories(memories))
        h = o * torch.tanh(self.merge(memories))
        return h, m, (h, c)
