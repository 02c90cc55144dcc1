"""Memory In Memory (Wang et al. 2019, arXiv 1811.07490, equations 3 to 5).

Two cascaded memories replace the forget gate of C. MIM-N reads the difference between the inputs of two time steps
(non-stationary) and outputs D; MIM-S reads D and the old C (stationary) and outputs T, which takes the place of f . C.
The paper and the official code (Yunbo426/MIM, OpenSTL) differ, so there are two classes of each. The first layer of the
network is an ST-LSTM.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, StateSpec, modulate, required


class MemoryUnit(nn.Module):
    """Base of MIM-N and MIM-S: an LSTM over a memory s, with an input x and a recurrent input r.

    `recurrent_gates` is 3 where r does not enter the output gate, else 4.
    """

    def __init__(self, hidden: int, config: CellConfig, *, in_channels: int, recurrent_gates: int = 4) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias
        self.from_x = config.gate_conv(in_channels, 4 * hidden)  # g i f, o
        self.from_r = config.gate_conv(hidden, recurrent_gates * hidden)  # g i f, (o)

    def gates(self, x: Tensor, r: Tensor) -> tuple[Tensor, ...]:
        """Return the parts of g, i, f and o from x [b, in, y, x] and r [b, hidden, y, x]."""
        g, i, f, o = torch.split(self.from_x(x), self.hidden, dim=1)
        rg, ri, rf, *ro = torch.split(self.from_r(r), self.hidden, dim=1)
        return g + rg, i + ri, f + rf, sum(ro, o)


class PaperMemoryUnit(MemoryUnit):
    """Equations 3 and 4: a convolution of the new s enters the output gate."""

    def __init__(self, hidden: int, config: CellConfig, *, in_channels: int, recurrent_gates: int = 4) -> None:
        super().__init__(hidden, config, in_channels=in_channels, recurrent_gates=recurrent_gates)
        self.from_s = config.gate_conv(hidden, hidden)  # o

    def step(self, x: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output (D or T) and the new s, each [b, hidden, y, x]."""
        g, i, f, o = self.gates(x, r)
        s = torch.sigmoid(f + self.forget_bias) * s + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o + self.from_s(s)) * torch.tanh(s), s


class OfficialMemoryUnit(MemoryUnit):
    """The authors' code: peepholes (`ct_weight`, `oc_weight`) of s in i, f and o."""

    def __init__(self, hidden: int, config: CellConfig, *, in_channels: int) -> None:
        super().__init__(hidden, config, in_channels=in_channels)
        self.peephole = config.peephole(3 * hidden)  # i f o

    def step(self, x: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output (D or T) and the new s, each [b, hidden, y, x]."""
        g, i, f, o = self.gates(x, r)
        w_i, w_f, w_o = self.peephole.chunk(3)
        s = torch.sigmoid(f + self.forget_bias + w_f * s) * s + torch.sigmoid(i + w_i * s) * torch.tanh(g)
        return torch.sigmoid(o + w_o * s) * torch.tanh(s), s


class MIM(Cell):
    """Base of the two forms: an ST-LSTM in which C is T + i . g."""

    has_memory_flow = True
    kind = "MIM"

    def __init__(self, hidden: int, config: CellConfig) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias


class PaperMIM(MIM):
    """Equation 5 of the paper, which MS-RNN implements.

    MIM-N reads the difference of the inputs of this layer, and the gates of M have weights of their own.
    """

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__(hidden, config)
        self.non_stationary = PaperMemoryUnit(hidden, config, in_channels=in_channels, recurrent_gates=3)
        self.stationary = PaperMemoryUnit(hidden, config, in_channels=hidden)
        self.from_x = config.gate_conv(in_channels, 6 * hidden)  # g i, g' i' f', o
        self.from_h = config.gate_conv(hidden, 3 * hidden)  # g i, o
        self.from_m = config.gate_conv(hidden, 3 * hidden)  # g' i' f'
        self.from_memories = config.gate_conv(2 * hidden, hidden)  # o
        self.merge = config.pointwise_conv(2 * hidden, hidden)
        self.from_action = config.action_conv(actions, 3 * hidden)

    def states(self) -> Sequence[StateSpec]:
        """Return H, C, N of MIM-N and S of MIM-S."""
        return [StateSpec(name, self.hidden) for name in ("h", "c", "n", "s")]

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C, N, S)."""
        h, c, n, s = state
        m = required(inputs.m, "memory M")
        d, n = self.non_stationary.step(inputs.x - required(inputs.x_previous, "previous output"), n, n)
        t, s = self.stationary.step(d, c, s)

        xg, xi, xg_m, xi_m, xf_m, xo = self.split(self.from_x(inputs.x))
        hg, hi, ho = self.split(modulate(self.from_h(h), self.from_action, inputs.action))
        mg, mi, mf = self.split(self.from_m(m))
        c_increment = torch.sigmoid(xi + hi) * torch.tanh(xg + hg)
        c = t + c_increment
        m_increment = torch.sigmoid(xi_m + mi) * torch.tanh(xg_m + mg)
        m = torch.sigmoid(xf_m + mf + self.forget_bias) * m + m_increment

        memories = torch.cat([c, m], dim=1)
        o = torch.sigmoid(xo + ho + self.from_memories(memories))
        h = o * torch.tanh(self.merge(memories))
        return CellOutput(h=h, o=o, m=m, d=d, increments=(c_increment, m_increment)), (h, c, n, s)


class OfficialMIM(MIM):
    """The authors' code.

    Above the first MIM-N, a MIM-N reads the D of the layer below, and its recurrent input is D; C and M share the gates
    of x; o sees M instead of both memories. At the first time step there is no difference, and D and N stay 0.
    """

    def __init__(self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0) -> None:
        super().__init__(hidden, config)
        self.non_stationary = OfficialMemoryUnit(hidden, config, in_channels=in_channels)
        self.stationary = OfficialMemoryUnit(hidden, config, in_channels=hidden)
        self.from_x = config.gate_conv(in_channels, 4 * hidden)  # g and g', i and i', f', o
        self.from_h = config.gate_conv(hidden, 3 * hidden)  # g i, o
        self.from_m = config.gate_conv(hidden, 4 * hidden)  # g' i' f', o
        self.merge = config.pointwise_conv(2 * hidden, hidden)
        self.from_action = config.action_conv(actions, 3 * hidden)

    def states(self) -> Sequence[StateSpec]:
        """Return H, C, N of MIM-N, S of MIM-S, D, and a plane of ones from the second time step on."""
        return [*(StateSpec(name, self.hidden) for name in ("h", "c", "n", "s", "d")), StateSpec("started", 1)]

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C, N, S, D, started)."""
        h, c, n, s, d, started = state
        m = required(inputs.m, "memory M")
        change = inputs.x - required(inputs.x_previous, "previous output") if inputs.d is None else inputs.d
        d, n = self.non_stationary.step(change, d, n)
        d, n = started * d, started * n
        t, s = self.stationary.step(d, c, s)

        xg, xi, xf_m, xo = self.split(self.from_x(inputs.x))
        hg, hi, ho = self.split(modulate(self.from_h(h), self.from_action, inputs.action))
        mg, mi, mf, mo = self.split(self.from_m(m))
        c_increment = torch.sigmoid(xi + hi) * torch.tanh(xg + hg)
        c = t + c_increment
        m_increment = torch.sigmoid(xi + mi) * torch.tanh(xg + mg)
        m = torch.sigmoid(xf_m + mf + self.forget_bias) * m + m_increment

        o = torch.sigmoid(xo + ho + mo)
        h = o * torch.tanh(self.merge(torch.cat([c, m], dim=1)))
        new_state = (h, c, n, s, d, torch.ones_like(started))
        return CellOutput(h=h, o=o, m=m, d=d, increments=(c_increment, m_increment)), new_state
