"""MotionGRU and the motion highway: MotionRNN (Wu et al. 2021, arXiv 2103.02243, equations 2 to 6), around any cell.

Motion is taken apart into a transient variation, which a GRU follows from step to step, and a trend, which is what is
left when variations are averaged. Both make the flows along which a layer's output is warped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from model.nets.cell import Above, Below, Cell, CellConfig, Dialect, State, StateSpec, heard
from model.nets.warp import warp

SIDE = 3
FLOWS = SIDE**2
TREND_SHARE = 0.5
"""alpha: how fast the trend follows."""


class MotionGRU(nn.Module):
    """Warps a layer's output along learned flows, at half its resolution.

    Two forms. "authors": each of the 9 flows starts from its own neighbour of the pixel, and gates see 3 x 3 pixels.
    "ms-rnn": all start from the pixel itself, and gates see it alone.

    `as_published`: MS-RNN's code as it is. Its warps are not at their pixels (`model.nets.warp`), and it merges the 9
    warped images out of order: their last axis, the flows, is read as if it were their second, so that each image that
    is merged holds a ninth of the pixels of one, with all their flows.
    """

    starts: Tensor

    def __init__(self, hidden: int, kernel: int, dialect: Dialect, *, as_published: bool = False) -> None:
        super().__init__()
        self.as_published = as_published
        as_authors = dialect == "authors"
        encoded, size = hidden // 4, SIDE if as_authors else 1

        def gate(outputs: int) -> nn.Conv2d:
            return nn.Conv2d(encoded + 2 * FLOWS, outputs, size, padding=size // 2)

        coarse = (kernel, kernel // 2) if as_authors else (2, 0)
        self.encode = nn.Conv2d(hidden, encoded, coarse[0], stride=2, padding=coarse[1])
        self.update, self.reset, self.candidate = gate(2 * FLOWS), gate(2 * FLOWS), gate(2 * FLOWS)
        self.mask = nn.Conv2d(encoded, FLOWS, size, padding=size // 2)
        self.merge = nn.Conv2d(encoded * FLOWS, encoded, 1, bias=not as_authors)
        self.decode = nn.ConvTranspose2d(encoded, hidden, 4, stride=2, padding=1)
        joined = kernel if as_authors else 1
        self.gate = nn.Conv2d(2 * hidden, hidden, joined, padding=joined // 2)
        self.register_buffer("starts", _neighbours() if as_authors else torch.zeros(FLOWS, 2, 1, 1), persistent=False)

    def step(self, h: Tensor, flow: Tensor, trend: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h [b, hidden, y, x], flow and trend [b, 18, y/2, x/2] -> h warped, the new flow, the new trend.

        The 18 channels are 9 flows of (x, y), in pixels of the half resolution.
        """
        encoded = self.encode(h)
        u = torch.sigmoid(self.update(torch.cat([encoded, flow], dim=1)))
        r = torch.sigmoid(self.reset(torch.cat([encoded, flow], dim=1)))
        z = torch.tanh(self.candidate(torch.cat([encoded, r * flow], dim=1)))
        trend = trend + TREND_SHARE * (flow - trend)
        flow = u * z + (1 - u) * flow + trend
        flows = torch.unflatten(flow, 1, (FLOWS, 2)) + self.starts
        warped = warp(encoded, flows, as_published=self.as_published)
        masked = torch.sigmoid(self.mask(encoded)).unsqueeze(1) * warped
        if self.as_published:
            masked = masked.movedim(2, -1).reshape(encoded.shape[0], -1, FLOWS, *encoded.shape[2:])
        decoded = self.decode(self.merge(masked.flatten(1, 2)))
        g = torch.sigmoid(self.gate(torch.cat([decoded, h], dim=1)))
        return g * h + (1 - g) * decoded, flow, trend


class MotionCell(Cell):
    """A cell followed by a MotionGRU, with a highway past the cell so that motion is not lost in it.

    "authors": H + (1 - o) . H of the layer below before it was warped; then the MotionGRU. "ms-rnn": the MotionGRU
    first, then + (1 - o) . x, the layer's input. The last layer has the highway alone (authors) or nothing (ms-rnn).
    """

    def __init__(self, cell: Cell, config: CellConfig, *, last: bool) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = cell.hidden
        self.zigzags = cell.zigzags
        self.as_authors = config.dialect == "authors"
        motion = partial(MotionGRU, cell.hidden, config.kernel, config.dialect, as_published=config.as_published)
        self.motion = None if last else motion()

    def states(self) -> Sequence[StateSpec]:
        """Those of the cell, then flow and trend."""
        motion = [StateSpec("flow", 2 * FLOWS, 2), StateSpec("trend", 2 * FLOWS, 2)]
        return [*self.cell.states(), *(motion if self.motion else [])]

    def parts(self) -> Sequence[nn.Module]:
        """The cell, and the MotionGRU where there is one."""
        return [self.cell, *([self.motion] if self.motion else [])]

    def step(self, below: Below, state: State) -> tuple[Above, State]:
        """One time step of the cell, then of the motion; the H that the cell remembers is the warped one."""
        count = len(self.cell.states())
        above, (h, *rest) = self.cell.step(below, state[:count])
        motion = state[count:]
        highway = None
        if self.as_authors:
            h = highway = h + (1 - above.o) * heard(below.highway, "motion highway")
        if self.motion is not None:
            h, flow, trend = self.motion.step(h, *motion)
            motion = (flow, trend)
            if not self.as_authors:
                h = h + (1 - above.o) * below.x
        return above._replace(h=h, highway=highway), (h, *rest, *motion)


def _neighbours() -> Tensor:
    """(x, y) of the 3 x 3 pixels around a pixel, row by row: [9, 2, 1, 1]."""
    around = torch.arange(SIDE, dtype=torch.float32) - SIDE // 2
    y, x = torch.meshgrid(around, around, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)[:, :, None, None]
