"""Causal LSTM and Gradient Highway Unit: PredRNN++ (Wang et al. 2018, arXiv 1804.06300, equations 3 and 5).

Causal LSTM updates C first, and the gates of M then see the new C: two memories in a cascade. The paper and the
official code (Yunbo426/predrnn-pp, OpenSTL) differ in three places, so there are two classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, modulate, required


class CausalLSTM(Cell):
    """Base of the two forms: the update of C, which they share."""

    has_memory_flow = True
    from_c: nn.Module
    kind = "CausalLSTM"

    def __init__(self, hidden: int, config: CellConfig) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_bias = config.forget_bias

    def update_c(self, c: Tensor, g: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new C and the increment of C; g, i and f are the parts of the gates from x and H."""
        cg, ci, cf = self.split(self.from_c(c))
        increment = torch.sigmoid(i + ci) * torch.tanh(g + cg)
        return torch.sigmoid(f + cf + self.forget_bias) * c + increment, increment


class PaperCausalLSTM(CausalLSTM):
    """Equation 3 of the paper, which MS-RNN implements."""

    def __init__(
        self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0, memory_channels: int | None = None
    ) -> None:
        super().__init__(hidden, config)
        memory_channels = memory_channels or hidden
        self.from_x = config.gate_conv(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = config.gate_conv(hidden, 3 * hidden)  # g i f
        self.from_c = config.gate_conv(hidden, 3 * hidden)  # g i f
        self.from_m = config.gate_conv(memory_channels, 3 * hidden)  # g' i' f'
        self.through = config.pointwise_conv(memory_channels, hidden)  # W_3 of equation 3
        self.from_new_c = config.gate_conv(hidden, 4 * hidden)  # g' i' f', o
        self.from_new_m = config.gate_conv(hidden, hidden)  # o
        self.merge = config.pointwise_conv(2 * hidden, hidden)  # W_5
        self.from_action = config.action_conv(actions, 3 * hidden)

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C)."""
        h, c = state
        m = required(inputs.m, "memory M")
        xg, xi, xf, xg_m, xi_m, xf_m, xo = self.split(self.from_x(inputs.x))
        hg, hi, hf = self.split(modulate(self.from_h(h), self.from_action, inputs.action))
        c, c_increment = self.update_c(c, xg + hg, xi + hi, xf + hf)

        cg, ci, cf, co = self.split(self.from_new_c(c))
        mg, mi, mf = self.split(self.from_m(m))
        m_increment = torch.sigmoid(xi_m + mi + ci) * torch.tanh(xg_m + mg + cg)
        m = torch.sigmoid(xf_m + mf + cf + self.forget_bias) * torch.tanh(self.through(m)) + m_increment

        o = torch.tanh(xo + co + self.from_new_m(m))
        h = o * torch.tanh(self.merge(torch.cat([c, m], dim=1)))
        return CellOutput(h=h, o=o, m=m, increments=(c_increment, m_increment)), (h, c)


class OfficialCausalLSTM(CausalLSTM):
    """The authors' code: o also sees H, g' does not see M, and M passes through a convolution of the full kernel."""

    def __init__(
        self, in_channels: int, hidden: int, config: CellConfig, *, actions: int = 0, memory_channels: int | None = None
    ) -> None:
        super().__init__(hidden, config)
        self.from_x = config.gate_conv(in_channels, 7 * hidden)  # g i f, g' i' f', o
        self.from_h = config.gate_conv(hidden, 4 * hidden)  # g i f, o
        self.from_c = config.gate_conv(hidden, 3 * hidden)  # g i f
        self.from_m = config.gate_conv(memory_channels or hidden, 3 * hidden)  # i' f', M itself
        self.from_new_c = config.gate_conv(hidden, 4 * hidden)  # g' i' f', o
        self.from_new_m = config.gate_conv(hidden, hidden)  # o
        self.merge = config.pointwise_conv(2 * hidden, hidden)
        self.from_action = config.action_conv(actions, 4 * hidden)

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the state is (H, C)."""
        h, c = state
        xg, xi, xf, xg_m, xi_m, xf_m, xo = self.split(self.from_x(inputs.x))
        hg, hi, hf, ho = self.split(modulate(self.from_h(h), self.from_action, inputs.action))
        c, c_increment = self.update_c(c, xg + hg, xi + hi, xf + hf)

        cg, ci, cf, co = self.split(self.from_new_c(c))
        mi, mf, m = self.split(self.from_m(required(inputs.m, "memory M")))
        m_increment = torch.sigmoid(xi_m + mi + ci) * torch.tanh(xg_m + cg)
        m = torch.sigmoid(xf_m + mf + cf + self.forget_bias) * torch.tanh(m) + m_increment

        o = torch.tanh(xo + co + self.from_new_m(m) + ho)
        h = o * torch.tanh(self.merge(torch.cat([c, m], dim=1)))
        return CellOutput(h=h, o=o, m=m, increments=(c_increment, m_increment)), (h, c)


class GradientHighwayUnit(nn.Module):
    """A gated shortcut Z through time, between the first layer and the second (equation 5).

    The stack of Causal LSTMs makes the path of a gradient through time longer than in PredRNN; Z is a path with one
    gate per time step, along which gradients vanish more slowly.
    """

    def __init__(self, hidden: int, config: CellConfig) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_x = config.gate_conv(hidden, 2 * hidden)  # p s
        self.from_z = config.gate_conv(hidden, 2 * hidden)  # p s

    def step(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the new Z, which is also the input of the second layer; all are [b, hidden, y, x]."""
        p, s = torch.split(self.from_x(x) + self.from_z(z), self.hidden, dim=1)
        s = torch.sigmoid(s)
        return s * torch.tanh(p) + (1 - s) * z
