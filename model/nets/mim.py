"""Memory In Memory (Wang et al. 2019, arXiv 1811.07490, equations 3 to 5).

The forget gate of C is replaced by two cascaded memories: MIM-N reads the difference of its input from a step before
(non-stationary) and answers D; MIM-S reads D and the old C (stationary) and answers T, which stands where f . C stood.
The first layer of the network is an ST-LSTM.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nets.cell import Above, Below, Cell, CellConfig, State, StateSpec, fused, heard


class MemoryUnit(nn.Module):
    """An LSTM over a memory s, of an input x and a recurrent input r: MIM-N and MIM-S are both this.

    The new s opens the output gate by a convolution (paper), or by a weight per channel that opens i and f too
    (authors). `recurrent_gates`: 4, or 3 where r does not open the output gate.
    """

    def __init__(self, hidden: int, config: CellConfig, *, in_channels: int, recurrent_gates: int = 4) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gates(in_channels, 4 * hidden)  # g i f o
        self.from_r = config.gates(hidden, recurrent_gates * hidden)  # g i f (o)
        as_authors = config.dialect == "authors"
        self.peephole = config.weight(3 * hidden, 0.0) if as_authors else None  # i f o
        self.from_s = nn.Identity() if as_authors else config.gates(hidden, hidden)  # o

    def step(self, x: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """x [b, in, y, x], r and s [b, hidden, y, x] -> the answer, and the new s."""
        g, i, f, o = torch.split(self.from_x(x), self.hidden, dim=1)
        rg, ri, rf, *ro = torch.split(self.from_r(r), self.hidden, dim=1)
        i, f, o = i + ri, f + rf + self.forget_bias, sum(ro, o)
        if self.peephole is None:
            s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(g + rg)
            return torch.sigmoid(o + self.from_s(s)) * torch.tanh(s), s
        of_i, of_f, of_o = self.peephole.chunk(3)
        s = torch.sigmoid(f + of_f * s) * s + torch.sigmoid(i + of_i * s) * torch.tanh(g + rg)
        return torch.sigmoid(o + of_o * s) * torch.tanh(s), s


class MIM(Cell):
    """An ST-LSTM whose C is T + i . g.

    Two forms. "ms-rnn" is the paper's: MIM-N reads the difference of the layer's own input and remembers by N; M has
    gates of its own. "authors" is the authors' code: above the first, a MIM-N reads the D of the layer below and
    remembers by D; C and M share the gates of x; nothing is different at the first step, so that D is 0 there.
    """

    zigzags = True

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.as_authors = config.dialect == "authors"
        self.non_stationary = MemoryUnit(
            hidden, config, in_channels=in_channels, recurrent_gates=4 if self.as_authors else 3
        )
        self.stationary = MemoryUnit(hidden, config, in_channels=hidden)
        self.from_x = config.gates(in_channels, (4 if self.as_authors else 6) * hidden)  # g i, (g' i') f', o
        self.from_h = config.gates(hidden, 3 * hidden)  # g i o
        self.from_m = config.gates(hidden, (4 if self.as_authors else 3) * hidden)  # g' i' f' (o)
        self.from_memories = None if self.as_authors else config.gates(2 * hidden, hidden)  # o
        self.merge = config.pointwise(2 * hidden, hidden)
        self.from_action = config.gates_of_action(actions, 3 * hidden)

    def states(self) -> Sequence[StateSpec]:
        """H, C, N of MIM-N and S of MIM-S; as the authors have it also D, and 1 where a step went before."""
        names = ["h", "c", "n", "s", *(["d"] if self.as_authors else [])]
        begun = [StateSpec("begun", 1)] if self.as_authors else []
        return [*(StateSpec(name, self.hidden) for name in names), *begun]

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step: x now and a step before [b, in, y, x], M (and D) from below, each [b, hidden, y, x]."""
        h, c, n, s, *older = state
        d, n, older = self._difference(below, n, older)
        t, s = self.stationary.step(d, c, s)

        m = heard(below.m, "memory M")
        xg, xi, xg_m, xi_m, xf_m, xo = self._of_input(below.x)
        hg, hi, ho = torch.split(fused(self.from_h(h), self.from_action, below.action), self.hidden, dim=1)
        mg, mi, mf, *mo = torch.split(self.from_m(m), self.hidden, dim=1)
        written_c = torch.sigmoid(xi + hi) * torch.tanh(xg + hg)
        c = t + written_c
        written_m = torch.sigmoid(xi_m + mi) * torch.tanh(xg_m + mg)
        m = torch.sigmoid(xf_m + mf + self.forget_bias) * m + written_m

        memories = torch.cat([c, m], dim=1)
        o = sum(mo, xo + ho) if self.from_memories is None else xo + ho + self.from_memories(memories)
        o = torch.sigmoid(o)
        h = o * torch.tanh(self.merge(memories))
        return Above(h=h, o=o, m=m, d=d, increments=(written_c, written_m)), (h, c, n, s, *older)

    def _difference(self, below: Below, n: Tensor, older: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """MIM-N: D, the new N, and what else is kept for the next step."""
        change = below.x - heard(below.x_before, "input of the step before")
        if not self.as_authors:
            d, n = self.non_stationary.step(change, n, n)
            return d, n, []
        d, begun = older
        d, n = self.non_stationary.step(change if below.d is None else below.d, d, n)
        d, n = begun * d, begun * n
        return d, n, [d, torch.ones_like(begun)]

    def _of_input(self, x: Tensor) -> tuple[Tensor, ...]:
        """x's part of g, i, g', i', f', o."""
        gates = torch.split(self.from_x(x), self.hidden, dim=1)
        if not self.as_authors:
            return gates
        g, i, f_m, o = gates
        return g, i, g, i, f_m, o
