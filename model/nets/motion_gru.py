"""MotionGRU and the motion highway: MotionRNN (Wu et al. 2021, arXiv 2103.02243, equations 2 to 6), around any cell.

Motion is a transient variation, which a GRU tracks from step to step, plus a trend, the running mean of the variation.
Both make the flows along which the output of a layer is warped. MotionRNN's official code and MS-RNN's differ, so there
are two classes of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.nets.cell import Cell, CellConfig, CellInput, CellOutput, State, StateSpec, required
from model.nets.warp import warp

SIDE = 3
FLOWS = SIDE**2
ALPHA = 0.5
"""Share of the newest flow in the trend; the official code and MS-RNN's have the same."""


class MotionGRU(nn.Module):
    """Base of the two forms: a layer's output warped along learned flows, at half the resolution of the layer."""

    as_published = False

    def __init__(
        self, hidden: int, *, encoder: nn.Conv2d, flow_kernel: int, merge_bias: bool, output_kernel: int
    ) -> None:
        super().__init__()
        encoded = hidden // 4

        def flow_gate() -> nn.Conv2d:
            return nn.Conv2d(encoded + 2 * FLOWS, 2 * FLOWS, flow_kernel, padding=flow_kernel // 2)

        self.encode = encoder
        self.update, self.reset, self.candidate = flow_gate(), flow_gate(), flow_gate()
        self.mask = nn.Conv2d(encoded, FLOWS, flow_kernel, padding=flow_kernel // 2)
        self.merge = nn.Conv2d(encoded * FLOWS, encoded, 1, bias=merge_bias)
        self.decode = nn.ConvTranspose2d(encoded, hidden, 4, stride=2, padding=1)
        self.gate = nn.Conv2d(2 * hidden, hidden, output_kernel, padding=output_kernel // 2)

    def step(self, h: Tensor, flow: Tensor, trend: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one time step.

        Parameters
        ----------
        h : [b, hidden, y, x]
            Output of the layer.
        flow, trend : [b, 18, y / 2, x / 2]
            9 flows of (x, y), in pixels of half the resolution.

        Returns
        -------
        tuple
            The warped h, the new flow and the new trend.
        """
        encoded = self.encode(h)
        u = torch.sigmoid(self.update(torch.cat([encoded, flow], dim=1)))  # transient variation: a GRU over the flows
        r = torch.sigmoid(self.reset(torch.cat([encoded, flow], dim=1)))
        z = torch.tanh(self.candidate(torch.cat([encoded, r * flow], dim=1)))
        trend = trend + ALPHA * (flow - trend)  # trending momentum
        flow = u * z + (1 - u) * flow + trend  # variation plus trend
        images = self.warped(encoded, torch.unflatten(flow, 1, (FLOWS, 2)))
        decoded = self.decode(self.merge(images.flatten(1, 2)))
        g = torch.sigmoid(self.gate(torch.cat([decoded, h], dim=1)))
        return g * h + (1 - g) * decoded, flow, trend

    def warped(self, encoded: Tensor, flows: Tensor) -> Tensor:
        """Return the image [b, c, y, x] warped along flows [b, 9, 2, y, x], times the mask: [b, c, 9, y, x]."""
        images = warp(encoded, flows, as_published=self.as_published)
        return torch.sigmoid(self.mask(encoded)).unsqueeze(1) * images


class OfficialMotionGRU(MotionGRU):
    """The authors' code: each of the 9 flows starts from its own neighbour of the pixel; gates see 3 x 3 pixels."""

    neighbours: Tensor

    def __init__(self, hidden: int, kernel: int) -> None:
        encoder = nn.Conv2d(hidden, hidden // 4, kernel, stride=2, padding=kernel // 2)
        super().__init__(hidden, encoder=encoder, flow_kernel=SIDE, merge_bias=False, output_kernel=kernel)
        around = torch.arange(SIDE, dtype=torch.float32) - SIDE // 2
        y, x = torch.meshgrid(around, around, indexing="ij")
        offsets = torch.stack([x.flatten(), y.flatten()], dim=1)[:, :, None, None]
        self.register_buffer("neighbours", offsets, persistent=False)

    def warped(self, encoded: Tensor, flows: Tensor) -> Tensor:
        """See MotionGRU.warped."""
        return super().warped(encoded, flows + self.neighbours)


class MSRNNMotionGRU(MotionGRU):
    """MS-RNN's code: all flows start from the pixel itself, and gates see that pixel alone.

    With `as_published`, warps sample beside their pixels (`model.nets.warp`), and the 9 warped images are merged out of
    order: a reshape reads the last axis of [b, c, y, x, 9] as if it were the second one, so that each merged image has
    a ninth of the pixels of an image, with all their flows.
    """

    def __init__(self, hidden: int, *, as_published: bool = False) -> None:
        encoder = nn.Conv2d(hidden, hidden // 4, 2, stride=2)
        super().__init__(hidden, encoder=encoder, flow_kernel=1, merge_bias=True, output_kernel=1)
        self.as_published = as_published

    def warped(self, encoded: Tensor, flows: Tensor) -> Tensor:
        """See MotionGRU.warped."""
        images = super().warped(encoded, flows)
        if self.as_published:
            images = images.movedim(2, -1).reshape(encoded.shape[0], -1, FLOWS, *encoded.shape[2:])
        return images


class MotionCell(Cell):
    """Base of the two forms: a cell and a MotionGRU, which the last layer of a stack lacks.

    The motion highway bypasses the cell, so that motion is not lost in the transition of its state.
    """

    def __init__(self, cell: Cell, motion: MotionGRU | None) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = cell.hidden
        self.has_memory_flow = cell.has_memory_flow
        self.motion = motion

    @property
    def kind(self) -> str:
        """See Cell.kind."""
        return f"{self.cell.kind} + MotionGRU" if self.motion else self.cell.kind

    def states(self) -> Sequence[StateSpec]:
        """Return the states of the cell, then flow and trend."""
        motion = [StateSpec("flow", 2 * FLOWS, 2), StateSpec("trend", 2 * FLOWS, 2)]
        return [*self.cell.states(), *(motion if self.motion else [])]

    def step_cell(self, inputs: CellInput, state: State) -> tuple[CellOutput, State, State]:
        """Return the output of the cell, the new state of the cell without H, and the old flow and trend."""
        count = len(self.cell.states())
        output, (_, *others) = self.cell.step(inputs, state[:count])
        return output, tuple(others), state[count:]


class OfficialMotionCell(MotionCell):
    """The authors' code: H + (1 - o) . highway, then MotionGRU; the highway is that sum of the layer below."""

    def __init__(self, cell: Cell, config: CellConfig, *, last: bool) -> None:
        super().__init__(cell, None if last else OfficialMotionGRU(cell.hidden, config.kernel))

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the H that the cell keeps is the warped one."""
        output, others, motion = self.step_cell(inputs, state)
        h = highway = output.h + (1 - output.o) * required(inputs.highway, "motion highway")
        if self.motion is not None:
            h, *new_motion = self.motion.step(h, *motion)
            motion = tuple(new_motion)
        return output._replace(h=h, highway=highway), (h, *others, *motion)


class MSRNNMotionCell(MotionCell):
    """MS-RNN's code: MotionGRU first, then + (1 - o) . x with the input x of the layer."""

    def __init__(self, cell: Cell, config: CellConfig, *, last: bool) -> None:
        super().__init__(cell, None if last else MSRNNMotionGRU(cell.hidden, as_published=config.as_published))

    def step(self, inputs: CellInput, state: State) -> tuple[CellOutput, State]:
        """Run one time step; the H that the cell keeps is the warped one."""
        output, others, motion = self.step_cell(inputs, state)
        h = output.h
        if self.motion is not None:
            h, *new_motion = self.motion.step(h, *motion)
            motion = tuple(new_motion)
            h = h + (1 - output.o) * inputs.x
        return output._replace(h=h), (h, *others, *motion)
