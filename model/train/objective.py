"""A recipe's loss of one batch, and the true frames that it reads on the way."""

from __future__ import annotations

import torch
from torch import Tensor

from model.losses import (
    balanced_loss,
    decoupling_loss,
    differential_divergence,
    frame_loss,
    mean_squared_error,
    soft_csi_loss,
)
from model.nets.forecast_model import ForecastModel, RecurrentModel, Rollout
from model.sampling import ReverseScheduledSampling, reverse_scheduled_sampling, scheduled_sampling
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.recipe import AuxiliaryLosses, FrameLoss, RainLoss, Recipe


def teacher_forcing_mask(recipe: Recipe, batch: Batch, iteration: int, progress: float) -> Tensor | None:
    """Where a network reads true frames in this iteration, Bool [b, context + leads - 1]; None: in the context.

    Drawn for the whole batch, of which these are the windows of `batch.rows`.

    The schedule goes by `progress` of the run (0 to 1), so that a shorter run has all of it. Chances depend on the
    recipe's seed and the iteration alone: a resumed run draws what the uninterrupted one would.
    """
    if recipe.sampling is None:
        return None
    step = progress * recipe.sampling.of + 1
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + iteration)
    shape = {"batch": batch.drawn, "context": batch.context, "leads": batch.leads}
    if isinstance(recipe.sampling, ReverseScheduledSampling):
        drawn = reverse_scheduled_sampling(recipe.sampling, step, **shape, generator=generator)
    else:
        drawn = scheduled_sampling(recipe.sampling, step, **shape, generator=generator)
    # A frame without data is never read as if it were true.
    held = batch.frames.known[:, :-1].flatten(2).any(dim=2)
    return drawn[list(batch.rows)].to(held.device) & held


def batch_loss(
    net: ForecastModel,
    batch: Batch,
    recipe: Recipe,
    truth: Tensor | None = None,
    ranks: DistributedContext = SINGLE_PROCESS,
) -> Tensor:
    """The recipe's loss of one batch, of which each of the `ranks` has an equal share.

    `truth` [b, context + leads - 1]: where true frames are read.
    """
    with torch.autocast(batch.frames.data.device.type, torch.bfloat16, enabled=recipe.bfloat16 is True):
        rollout = net.rollout(batch.frames, batch.context, batch.leads, truth)
        rollout = Rollout(rollout.frames.float(), rollout.increments)
        if isinstance(recipe.loss, RainLoss):
            total = _rain_loss(rollout, batch, recipe.loss, ranks)
        else:
            total = ranks.mean(_frame_loss(rollout, batch, recipe.loss))
        if recipe.loss.decoupling or recipe.loss.divergence:
            total = total + ranks.mean(_added(net, rollout, batch, recipe.loss))
        return total


def _rain_loss(rollout: Rollout, batch: Batch, loss: RainLoss, ranks: DistributedContext) -> Tensor:
    forecast = rollout.frames[:, batch.context - 1 :]
    total = balanced_loss(
        forecast, batch.target, batch.target_known, loss.pixel_weights, reduce=loss.reduce, total=ranks.total
    )
    if loss.csi_weight:
        total = total + loss.csi_weight * soft_csi_loss(
            forecast,
            batch.target,
            batch.target_known,
            thresholds_mm_h=loss.csi_thresholds_mm_h,
            softness=loss.csi_softness,
            total=ranks.total,
        )
    return loss.scale * total


def _frame_loss(rollout: Rollout, batch: Batch, loss: FrameLoss) -> Tensor:
    """Of these windows: a mean over windows, so that of equal shares the mean is that of all."""
    answers, true = _held_to_truth(rollout, batch, 1 if loss.over == "all" else batch.context)
    return mean_squared_error(answers, true) if loss.error == "mse" else frame_loss(answers, true)


def _held_to_truth(rollout: Rollout, batch: Batch, first: int) -> tuple[Tensor, Tensor]:
    """Answers for the frames from `first` on, and the truth, which takes their place where it is not known: no error
    there."""
    true, scored = batch.frames.data[:, first:], batch.scored[:, first:]
    return torch.where(scored.bool(), rollout.frames[:, first - 1 :], true), true


def _added(net: ForecastModel, rollout: Rollout, batch: Batch, loss: AuxiliaryLosses) -> Tensor:
    """Of these windows, means over windows."""
    total = batch.frames.data.new_zeros(())
    if loss.decoupling and isinstance(net, RecurrentModel) and net.stack.decouple is not None:
        cosine = decoupling_loss(rollout.increments, net.stack.decouple, reduce=loss.decoupling_reduce)
        total = total + loss.decoupling * cosine
    if loss.divergence:
        forecast, target = _held_to_truth(rollout, batch, batch.context)
        total = total + loss.divergence * differential_divergence(forecast, target, loss.divergence_tau)
    return total
