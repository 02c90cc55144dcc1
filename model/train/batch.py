"""A batch of windows as tensors."""

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
    """Context and target frames of windows, in one sequence; pixels without data are 0.

    Attributes
    ----------
    frames : FrameBatch
        All frames [b, t, c, y, x]; `frames.known` is 1 where a pixel has data.
    context : int
        Number of frames that the network reads; the others are the target.
    rows : tuple of int
        Indices of these windows in the batch of the iteration, which several processes and micro-batches share.
    batch_size : int
        Number of windows in the batch of the iteration.
    """

    frames: FrameBatch
    context: int
    rows: tuple[int, ...]
    batch_size: int

    @property
    def leads(self) -> int:
        """Number of lead steps."""
        return self.frames.data.shape[1] - self.context

    @property
    def target(self) -> Tensor:
        """Frames to forecast [b, leads, c, y, x]."""
        return self.frames.data[:, self.context :]

    @property
    def scored(self) -> Tensor:
        """Mask [b, t, 1, y, x]: 1 where a pixel counts in losses and scores."""
        # A target pixel counts only where the newest frame has data, because a forecast has no value elsewhere.
        known = self.frames.known
        return torch.cat([known[:, : self.context], known[:, self.context :] * known[:, self.context - 1, None]], dim=1)

    @property
    def target_known(self) -> Tensor:
        """Mask [b, leads, 1, y, x]: 1 where a target pixel counts in losses and scores."""
        return self.scored[:, self.context :]

    @property
    def newest(self) -> Tensor:
        """The last context frame [b, 1, c, y, x], which persistence repeats."""
        return self.frames.data[:, self.context - 1 : self.context]

    def split(self, parts: int) -> list[Batch]:
        """Return equal micro-batches."""
        size = len(self.rows) // parts
        slices = [slice(first, first + size) for first in range(0, len(self.rows), size)]
        return [replace(self, frames=map_frames(self.frames, itemgetter(s)), rows=self.rows[s]) for s in slices]


def map_frames(frames: FrameBatch, function: Callable[[Tensor], Tensor]) -> FrameBatch:
    """Return frames with a function applied to each tensor."""
    fields = None if frames.fields is None else function(frames.fields)
    return FrameBatch(function(frames.data), function(frames.known), function(frames.step_minutes), fields)


def collate(windows: Sequence[Window], device: torch.device, rows: Sequence[int] | None = None) -> Batch:
    """Stack windows into a batch.

    Parameters
    ----------
    windows : sequence of Window
        All windows of the iteration. Lead steps at the end that no window has are cut off, for all processes alike.
    device : torch.device
        Where the tensors go.
    rows : sequence of int, optional
        Indices of the windows to keep; all by default.

    Returns
    -------
    Batch
        The kept windows.
    """
    with_data = [np.flatnonzero(np.isfinite(window.target).any(axis=(1, 2, 3))) for window in windows]
    leads = max(int(steps[-1]) + 1 if steps.size else 1 for steps in with_data)
    batch_size, rows = len(windows), tuple(range(len(windows)) if rows is None else rows)
    windows = [windows[row] for row in rows]
    context = np.stack([window.context for window in windows])
    data = np.concatenate([context, np.stack([window.target[:leads] for window in windows])], axis=1)
    known = np.isfinite(data).all(axis=2, keepdims=True)
    fields = [window.fields for window in windows if window.fields is not None]

    def tensor(array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(device)

    frames = FrameBatch(
        data=tensor(np.where(known, data, np.float32(0))),
        known=tensor(known.astype(np.float32)),
        step_minutes=tensor(np.array([window.step_minutes for window in windows], np.float32)),
        fields=tensor(np.nan_to_num(np.stack(fields))) if fields else None,
    )
    return Batch(frames=frames, context=context.shape[1], rows=rows, batch_size=batch_size)
