"""The forecast of a network for a batch of windows, without a gradient."""

from __future__ import annotations

import torch

from model.nets.forecast_model import ForecastModel, Rollout
from model.train.batch import Batch
from model.train.recipe import Recipe


def rollout(net: ForecastModel, batch: Batch, recipe: Recipe) -> Rollout:
    """Return the forecast from the context alone: frames, and logits of exceedance if the network predicts them."""
    device = batch.frames.data.device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=recipe.bfloat16 is True):
        output = net.rollout(batch.frames, batch.context, batch.leads)
    return output._replace(frames=output.frames[:, batch.context - 1 :].float())
