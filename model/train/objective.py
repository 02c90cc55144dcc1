"""The training objective: the loss of a batch, and the scheduled sampling of true frames."""

from __future__ import annotations

import torch
from torch import Tensor

from model import losses
from model.nets.forecast_model import ForecastModel, RecurrentModel, Rollout
from model.sampling import ReverseScheduledSampling, reverse_scheduled_sampling, scheduled_sampling
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.recipe import AuxiliaryLosses, ExceedanceLoss, FrameLoss, RainLoss, Recipe


def teacher_forcing_mask(recipe: Recipe, batch: Batch, iteration: int, progress: float) -> Tensor | None:
    """Draw the time steps at which a recurrent network reads the true frame instead of its own output.

    Parameters
    ----------
    recipe : Recipe
        `sampling` is the schedule.
    batch : Batch
        Windows of the iteration. The mask is drawn for the whole batch, so that it does not depend on how the batch is
        shared.
    iteration : int
        With the recipe's seed, the seed of the draw: a resumed run draws what an uninterrupted one would.
    progress : float
        Progress of the run from 0 to 1, by which the schedule goes: a shorter run goes through all of it.

    Returns
    -------
    Tensor or None
        Bool [b, context + leads - 1]; None without a schedule: the context is read, and no frame after it.
    """
    if recipe.sampling is None:
        return None
    step = progress * recipe.sampling.total_steps + 1
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + iteration)
    shape = {"batch": batch.batch_size, "context": batch.context, "leads": batch.leads}
    if isinstance(recipe.sampling, ReverseScheduledSampling):
        mask = reverse_scheduled_sampling(recipe.sampling, step, **shape, generator=generator)
    else:
        mask = scheduled_sampling(recipe.sampling, step, **shape, generator=generator)
    # A frame without data is never read: the network would take its zeros for a dry frame.
    has_data = batch.frames.known[:, :-1].flatten(2).any(dim=2)
    return mask[list(batch.rows)].to(has_data.device) & has_data


def batch_loss(
    net: ForecastModel,
    batch: Batch,
    recipe: Recipe,
    true_frames: Tensor | None = None,
    distributed: DistributedContext = SINGLE_PROCESS,
) -> Tensor:
    """Return the loss of a batch.

    Parameters
    ----------
    net : ForecastModel
        The network, in training or evaluation mode.
    batch : Batch
        The share of this process, equal to that of the others.
    recipe : Recipe
        Loss and mixed precision.
    true_frames : Tensor, optional
        Bool [b, context + leads - 1], see `teacher_forcing_mask`.
    distributed : DistributedContext
        The processes that share the batch.

    Returns
    -------
    Tensor
        The scalar loss of the whole batch; the gradient is that of this process's share.
    """
    with torch.autocast(batch.frames.data.device.type, torch.bfloat16, enabled=recipe.bfloat16 is True):
        rollout = net.rollout(batch.frames, batch.context, batch.leads, true_frames)
        rollout = rollout._replace(frames=rollout.frames.float())
        if isinstance(recipe.loss, RainLoss):
            loss = _rain_loss(rollout, batch, recipe.loss, distributed)
        elif isinstance(recipe.loss, ExceedanceLoss):
            loss = _exceedance_loss(rollout, batch, recipe.loss, recipe.model.thresholds_mm_h, distributed)
        else:
            loss = distributed.mean(_frame_loss(rollout, batch, recipe.loss))
        if recipe.loss.decoupling or recipe.loss.divergence:
            loss = loss + distributed.mean(_auxiliary_losses(net, rollout, batch, recipe.loss))
        return loss


def _rain_loss(rollout: Rollout, batch: Batch, settings: RainLoss, distributed: DistributedContext) -> Tensor:
    frames = rollout.frames[:, batch.context - 1 :], batch.target, batch.target_known
    loss = losses.balanced_loss(*frames, settings.pixel_weights, reduce=settings.reduce, all_reduce=distributed.sum)
    if settings.csi_weight:
        thresholds, softness = settings.csi_thresholds_mm_h, settings.csi_softness
        csi_loss = losses.soft_csi_loss(
            *frames, thresholds_mm_h=thresholds, softness=softness, all_reduce=distributed.sum
        )
        loss = loss + settings.csi_weight * csi_loss
    return settings.scale * loss


def _exceedance_loss(
    rollout: Rollout,
    batch: Batch,
    settings: ExceedanceLoss,
    thresholds_mm_h: tuple[float, ...],
    distributed: DistributedContext,
) -> Tensor:
    if rollout.exceedance is None:
        raise TypeError("the network predicts no probabilities")
    known = batch.target_known
    loss = losses.exceedance_loss(
        rollout.exceedance,
        batch.target,
        known,
        thresholds_mm_h=thresholds_mm_h,
        threshold_weights=settings.threshold_weights or (1.0,) * len(thresholds_mm_h),
        all_reduce=distributed.sum,
    )
    if settings.frame_weight:
        error = ((rollout.frames[:, batch.context - 1 :] - batch.target).abs() * known).sum()
        mae = distributed.sum(error) / distributed.sum(known.sum()).clamp(min=1)
        loss = loss + settings.frame_weight * mae
    return loss


def _frame_loss(rollout: Rollout, batch: Batch, settings: FrameLoss) -> Tensor:
    """Return the mean over these windows; the mean over equal shares is that over the whole batch."""
    forecast, target = _forecast_and_target(rollout, batch, 1 if settings.over == "all" else batch.context)
    if settings.error == "mse":
        return losses.mean_squared_error(forecast, target)
    return losses.mse_plus_mae(forecast, target)


def _forecast_and_target(rollout: Rollout, batch: Batch, first: int) -> tuple[Tensor, Tensor]:
    """Return output and truth from frame `first` on, equal where a pixel does not count, so that it has no error."""
    target, scored = batch.frames.data[:, first:], batch.scored[:, first:]
    return torch.where(scored.bool(), rollout.frames[:, first - 1 :], target), target


def _auxiliary_losses(net: ForecastModel, rollout: Rollout, batch: Batch, settings: AuxiliaryLosses) -> Tensor:
    """Return the weighted auxiliary losses, means over these windows."""
    loss = batch.frames.data.new_zeros(())
    if settings.decoupling and isinstance(net, RecurrentModel) and net.stack.decouple is not None:
        cosine = losses.decoupling_loss(rollout.increments, net.stack.decouple, reduce=settings.decoupling_reduce)
        loss = loss + settings.decoupling * cosine
    if settings.divergence:
        forecast, target = _forecast_and_target(rollout, batch, batch.context)
        loss = loss + settings.divergence * losses.differential_divergence(forecast, target, settings.divergence_tau)
    return loss
