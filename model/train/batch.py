"""Windows as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.core.units import FloatArray
from model.data.windows import Window
from model.nets.forecaster import Frames


@dataclass(frozen=True, eq=False)
class Batch:
    """Context and target frames of a batch in one sequence: 0 where nothing is known; the first `context` are read.

    What a frame holds is `frames.known`; where an answer is held to it is `scored`.
    """

    frames: Frames
    context: int

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


def collate(windows: Sequence[Window], device: torch.device) -> Batch:
    """Windows as one batch; leads after the last one that a window reaches are left out."""
    context = np.stack([window.context for window in windows])
    target = np.stack([window.target for window in windows])
    reached = np.flatnonzero(np.isfinite(target).any(axis=(0, 2, 3, 4)))
    leads = int(reached[-1]) + 1 if reached.size else 1
    data = np.concatenate([context, target[:, :leads]], axis=1)
    held = np.isfinite(data).all(axis=2, keepdims=True)

    def tensor(array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(device)

    frames = Frames(
        data=tensor(np.where(held, data, np.float32(0))),
        known=tensor(held.astype(np.float32)),
        step_minutes=tensor(np.array([window.step_minutes for window in windows], np.float32)),
        fields=_fields(windows, device),
    )
    return Batch(frames=frames, context=context.shape[1])


def _fields(windows: Sequence[Window], device: torch.device) -> Tensor | None:
    """[b, t + lead, n, y, x], 0 where a field has no value."""
    fields = [window.fields for window in windows if window.fields is not None]
    return torch.from_numpy(np.nan_to_num(np.stack(fields))).to(device) if fields else None
