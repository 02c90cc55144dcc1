"""Networks that are fine-tuned while they are scored: the online setting of HKO-7's benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn

from model.core.errors import InputError
from model.core.normalisation import hko7_fraction
from model.core.units import FloatArray
from model.losses import balanced_loss
from model.nets.forecast_model import FrameBatch, load_model
from model.runtime.motion import advect, estimate_motion, to_newest, trajectories
from model.runtime.onnx_predictor import OnnxPredictor, padding
from model.runtime.request import ForecastEvent
from model.runtime.tile_scheduler import ForecastTask

LEARNING_RATE: Final = 1e-3
EPSILON: Final = 1e-6
LARGEST_GRADIENT: Final = 50.0
"""HKO-7's settings for its TrajGRU and ConvGRU: AdaGrad, gradients clipped by their norm."""


class Rolling(OnnxPredictor):
    """A package on torch, which learns. What it learns is gone with this object: the package stays as it is.

    Raises
    ------
    InputError
        Its network reads exogenous fields.
    BadPackage
        See OnnxPredictor.
    """

    def __init__(self, predictor: OnnxPredictor) -> None:
        super().__init__(predictor.info)
        if predictor.info.folder is None or self.manifest.fields:
            raise InputError(
                "networks that read exogenous fields are not fine-tuned",
                where=predictor.info.reference,
                hint="Leave that model out",
            )
        self.net = load_model(predictor.info.folder)
        self.optimiser = torch.optim.Adagrad(self.net.parameters(), lr=LEARNING_RATE, eps=EPSILON)
        self.variant = "torch on CPU, fine-tuned as it goes"

    def run(self, tasks: Sequence[ForecastTask]) -> Iterator[ForecastEvent]:
        """See OnnxPredictor.run: each domain in one piece. The ceiling caps outputs, not what is fed back."""
        for index, task in enumerate(tasks):
            seen, steps = task.inputs, task.request.steps
            data, known = (torch.from_numpy(part.astype(np.float32))[None] for part in (seen.data, seen.known))
            with torch.inference_mode():
                answer = self.net(FrameBatch(data, known, torch.tensor([seen.step_minutes])), steps)
            for lead, frame in enumerate(np.minimum(answer[0, :, 0].numpy(), np.float32(seen.ceiling)), start=1):
                progress = (index + lead / steps) / len(tasks)
                yield ForecastEvent(task.request, progress, lead, task.to_rain(frame))

    def learn(self, context: FloatArray, future: FloatArray, step_minutes: float) -> float:
        """One step on frames [time, y, x] (mm h-1, NaN = does not count) that have all been seen; the loss before it.

        B-MSE + B-MAE, summed over a frame, as HKO-7's; along the context's motion where its frame is Lagrangian.
        """
        context = context[-self.info.input_frames :]
        if self.manifest.frame_of_reference == "lagrangian":
            motion = estimate_motion(context)
            goals = trajectories(-motion, len(future))
            future = np.stack([advect(frame, goal) for frame, goal in zip(future, goals, strict=True)])
            context = to_newest(context, motion)
        seen, truth = (self._frames(frames) for frames in (context, future))
        self.net.train()
        self.optimiser.zero_grad()
        answer = self.net(FrameBatch(*seen, torch.tensor([step_minutes])), len(future))
        loss = balanced_loss(answer, *truth, reduce="sum")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self.net.eval()
        return float(loss.detach())

    def _frames(self, rain: FloatArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Fractions and what is known, [1, t, 1, y, x] each, padded to the network's stride."""
        fraction = hko7_fraction(rain)
        known = np.isfinite(fraction)
        pad = padding(rain.shape[1:], self.manifest.stride)
        planes = (np.where(known, fraction, np.float32(0)), known.astype(np.float32))
        data, held = (torch.from_numpy(np.pad(plane, pad)[None, :, None]) for plane in planes)
        return data, held
