"""Causal LSTM and Gradient Highway Unit: PredRNN++ (Wang et al. 2018, arXiv 1804.06300, equations 3 and 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.cell import Above, Below, Cell, CellConfig, State, fused, heard


class CausalLSTM(Cell):
    """C is written first, and the gates of M look at the C just written: two memories in cascade.

    Two forms. "ms-rnn" is the paper's equation 3. "authors" is the authors' code: there H also opens o, the candidate
    g' does not look at M, and M passes through a convolution as wide as the others.
    """

    zigzags = True

    def __init__(
        self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0, memory_in: int | None = None
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.as_authors = config.dialect == "authors"
        memory_in = hidden if memory_in is None else memory_in
        self.from_x = config.gates(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = config.gates(hidden, (4 if self.as_authors else 3) * hidden)  # g i f (o)
        self.from_c = config.gates(hidden, 3 * hidden)  # g i f
        self.from_m = config.gates(memory_in, 3 * hidden)  # authors: i' f', M itself; else g' i' f'
        self.through = None if self.as_authors else config.pointwise(memory_in, hidden)  # M itself
        self.from_new_c = config.gates(hidden, 4 * hidden)  # g' i' f' o
        self.from_new_m = config.gates(hidden, hidden)  # o
        self.merge = config.pointwise(2 * hidden, hidden)
        self.from_action = config.gates_of_action(actions, (4 if self.as_authors else 3) * hidden)

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step: x [b, in, y, x], M from below and (H, C) of the step before, each [b, hidden, y, x]."""
        h, c = state
        m = heard(below.m, "memory M")
        xg, xi, xf, xg_m, xi_m, xf_m, xo = torch.split(self.from_x(below.x), self.hidden, dim=1)
        hg, hi, hf, *ho = torch.split(fused(self.from_h(h), self.from_action, below.action), self.hidden, dim=1)
        cg, ci, cf = torch.split(self.from_c(c), self.hidden, dim=1)
        written_c = torch.sigmoid(xi + hi + ci) * torch.tanh(xg + hg + cg)
        c = torch.sigmoid(xf + hf + cf + self.forget_bias) * c + written_c

        ng, ni, nf, no = torch.split(self.from_new_c(c), self.hidden, dim=1)
        mg, mi, mf, kept = self._of_memory(m)
        written_m = torch.sigmoid(xi_m + mi + ni) * torch.tanh(xg_m + ng if mg is None else xg_m + mg + ng)
        m = torch.sigmoid(xf_m + mf + nf + self.forget_bias) * torch.tanh(kept) + written_m

        o = torch.tanh(sum(ho, xo + no + self.from_new_m(m)))
        h = o * torch.tanh(self.merge(torch.cat([c, m], dim=1)))
        return Above(h=h, o=o, m=m, increments=(written_c, written_m)), (h, c)

    def _of_memory(self, m: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """M's part of g', i' and f', and what of M itself is kept."""
        first, second, third = torch.split(self.from_m(m), self.hidden, dim=1)
        if self.through is None:
            return None, first, second, third
        return first, second, third, self.through(m)


class GradientHighwayUnit(nn.Module):
    """A gated shortcut Z through time, between the first layer and the second (equation 5)."""

    def __init__(self, hidden: int, config: CellConfig) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_x = config.gates(hidden, 2 * hidden)  # p s
        self.from_z = config.gates(hidden, 2 * hidden)

    def step(self, x: Tensor, z: Tensor) -> Tensor:
        """x, Z [b, hidden, y, x] -> the new Z, which is also what the second layer reads."""
        p, s = torch.split(self.from_x(x) + self.from_z(z), self.hidden, dim=1)
        s = torch.sigmoid(s)
        return s * torch.tanh(p) + (1 - s) * z
