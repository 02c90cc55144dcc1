"""Packages that are fine-tuned while they are scored: the online setting of the HKO-7 benchmark."""

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
from model.runtime.forecast_task import ForecastTask
from model.runtime.motion import advect, estimate_motion, to_newest, trajectories
from model.runtime.onnx_predictor import OnnxPredictor, padding
from model.runtime.request import ForecastEvent

LEARNING_RATE: Final = 1e-3
EPSILON: Final = 1e-6
MAX_GRADIENT_NORM: Final = 50.0
"""Settings of the benchmark's TrajGRU and ConvGRU (Shi et al. 2017): AdaGrad, gradients clipped by their norm."""


class FineTunedPredictor(OnnxPredictor):
    """A package that runs on PyTorch and is fine-tuned in memory; the package itself stays as it is.

    Raises
    ------
    InputError
        The network reads exogenous fields.
    BadPackage
        See `OnnxPredictor`.
    """

    def __init__(self, predictor: OnnxPredictor) -> None:
        super().__init__(predictor.info)
        if predictor.info.folder is None or self.manifest.fields:
            what = "a network that reads exogenous fields cannot be fine-tuned"
            raise InputError(what, where=predictor.info.reference, hint="Leave that model out")
        if self.manifest.distribution is not None:
            what = "a network with a distribution cannot be fine-tuned: the protocol's loss is of a single field"
            raise InputError(what, where=predictor.info.reference, hint="Leave that model out")
        self.net = load_model(predictor.info.folder)
        self.optimiser = torch.optim.Adagrad(self.net.parameters(), lr=LEARNING_RATE, eps=EPSILON)
        self.variant = "torch on CPU, fine-tuned online"

    def run(self, tasks: Sequence[ForecastTask]) -> Iterator[ForecastEvent]:
        """See `OnnxPredictor.run`; each domain runs in one piece.

        The ceiling limits the forecast frames only, not the frames that the network reads back.
        """
        for index, task in enumerate(tasks):
            inputs, steps = task.inputs, task.request.steps
            data, known = (torch.from_numpy(part.astype(np.float32))[None] for part in (inputs.data, inputs.known))
            with torch.inference_mode():
                output = self.net(FrameBatch(data, known, torch.tensor([inputs.step_minutes])), steps)
            for lead, frame in enumerate(np.minimum(output[0, :, 0].numpy(), np.float32(inputs.ceiling)), start=1):
                progress = (index + lead / steps) / len(tasks)
                yield ForecastEvent(task.request, progress, lead, task.to_fields(frame[None]).frame)

    def fine_tune(self, context: FloatArray, future: FloatArray, step_minutes: float) -> float:
        """Take one optimiser step, and return the loss before it.

        The loss is B-MSE + B-MAE, summed over a frame, as in the benchmark. For a network in the Lagrangian frame of
        reference, context and future are moved along the motion of the context.

        Parameters
        ----------
        context, future : array [time, y, x]
            Observed frames (mm h-1); NaN pixels do not count.
        step_minutes : float
            Time step of the frames.
        """
        context = context[-self.info.input_frames :]
        if self.manifest.frame_of_reference == "lagrangian":
            motion = estimate_motion(context)
            targets = trajectories(-motion, len(future))
            future = np.stack([advect(frame, target) for frame, target in zip(future, targets, strict=True)])
            context = to_newest(context, motion)
        inputs, truth = (self._planes(frames) for frames in (context, future))
        self.net.train()
        self.optimiser.zero_grad()
        output = self.net(FrameBatch(*inputs, torch.tensor([step_minutes])), len(future))
        loss = balanced_loss(output, *truth, reduce="sum")
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation
        nn.utils.clip_grad_norm_(self.net.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.net.eval()
        return float(loss.detach())

    def _planes(self, rain: FloatArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pixel fractions and the mask of known pixels [1, t, 1, y, x], padded to the network's stride."""
        fraction = hko7_fraction(rain)
        known = np.isfinite(fraction)
        pad = padding(rain.shape[1:], self.manifest.stride)
        planes = (np.where(known, fraction, np.float32(0)), known.astype(np.float32))
        data, mask = (torch.from_numpy(np.pad(plane, pad)[None, :, None]) for plane in planes)
        return data, mask
