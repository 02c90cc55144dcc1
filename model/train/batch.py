"""Windows as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from model.core.units import FloatArray
from model.data.windows import Window
from model.nets.forecast_model import FrameBatch


@dataclass(frozen=True, eq=False)
class Batch:
    """Context and target frames of a batch in one sequence: 0 where nothing is known; the first `context` are read.

    What a frame holds is `frames.known`; where an answer is held to it is `scored`. `rows`: which windows of the batch
    that was drawn, of `drawn` windows, these are.
    """

    frames: FrameBatch
    context: int
    rows: tuple[int, ...]
    drawn: int

    @property
    def leads(self) -> int:
        """How many frames are to be forecast."""
        return self.frames.data.shape[1] - self.context

    @property
    def target(self) -> Tensor:
        """[b, leads, c, y, x]."""
        return self.frames.data[:, self.context :]

    @property
    def scored(self) -> Tensor:
        """[b, t, 1, y, x]: 1 where an answer is held to a frame."""
        # A target pixel counts only where the newest frame holds data: elsewhere a forecast of ours says "not known".
        known = self.frames.known
        return torch.cat([known[:, : self.context], known[:, self.context :] * known[:, self.context - 1, None]], dim=1)

    @property
    def target_known(self) -> Tensor:
        """[b, leads, 1, y, x]: 1 where a forecast is held to the target."""
        return self.scored[:, self.context :]

    @property
    def newest(self) -> Tensor:
        """[b, 1, c, y, x]: the last frame of the context, which persistence repeats."""
        return self.frames.data[:, self.context - 1 : self.context]

    def parts(self, number: int) -> list[Batch]:
        """The batch in so many equal parts."""
        size = len(self.rows) // number
        return [
            replace(
                self,
                frames=map_frames(self.frames, itemgetter(slice(first, first + size))),
                rows=self.rows[first : first + size],
            )
            for first in range(0, len(self.rows), size)
        ]


def map_frames(frames: FrameBatch, change: Callable[[Tensor], Tensor]) -> FrameBatch:
    """Frames with all that they hold changed in one way."""
    fields = None if frames.fields is None else change(frames.fields)
    return FrameBatch(change(frames.data), change(frames.known), change(frames.step_minutes), fields)


def collate(windows: Sequence[Window], device: torch.device, rows: Sequence[int] | None = None) -> Batch:
    """Windows as one batch, or `rows` of them; leads after the last one that any window reaches are left out."""
    reached = [np.flatnonzero(np.isfinite(window.target).any(axis=(1, 2, 3))) for window in windows]
    leads = max(int(each[-1]) + 1 if each.size else 1 for each in reached)
    drawn, rows = len(windows), tuple(range(len(windows)) if rows is None else rows)
    windows = [windows[row] for row in rows]
    context = np.stack([window.context for window in windows])
    data = np.concatenate([context, np.stack([window.target[:leads] for window in windows])], axis=1)
    held = np.isfinite(data).all(axis=2, keepdims=True)

    def tensor(array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(device)

    frames = FrameBatch(
        data=tensor(np.where(held, data, np.float32(0))),
        known=tensor(held.astype(np.float32)),
        step_minutes=tensor(np.array([window.step_minutes for window in windows], np.float32)),
        fields=_fields(windows, device),
    )
    return Batch(frames=frames, context=context.shape[1], rows=rows, drawn=drawn)


def _fields(windows: Sequence[Window], device: torch.device) -> Tensor | None:
    """[b, t + lead, n, y, x], 0 where a field has no value."""
    fields = [window.fields for window in windows if window.fields is not None]
    return torch.from_numpy(np.nan_to_num(np.stack(fields))).to(device) if fields else None
