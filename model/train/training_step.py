"""One iteration: the loss of a batch, its gradient, and the weights after it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.core.errors import InputError, first_line
from model.nets.forecast_model import ForecastModel, RecurrentModel
from model.train.batch import Batch
from model.train.checkpoint import Run
from model.train.distributed import DistributedContext
from model.train.lr_schedule import learning_rate
from model.train.objective import batch_loss, teacher_forcing_mask
from model.train.recipe import Recipe


class Step(NamedTuple):
    """What an iteration tells of itself; the norm of its gradient is that before clipping."""

    loss: float
    learning_rate: float
    gradient_norm: float


class NonFiniteLoss(Exception):
    """Loss or gradient is no number; the weights are as they were."""

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(step)


def step(run: Run, batch: Batch, recipe: Recipe, progress: float, ranks: DistributedContext) -> Step:
    """Learn from a batch.

    Raises
    ------
    NonFiniteLoss
        It cannot be learned from.
    InputError
        The network cannot be compiled.
    """
    rate = learning_rate(recipe.optimiser, run.iteration, progress)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.net.train()
    run.optimiser.zero_grad(set_to_none=True)
    loss = 0.0
    for part in batch.parts(recipe.gradient_accumulation_steps):
        loss += _backward(run.net, part, recipe, teacher_forcing_mask(recipe, part, run.iteration, progress), ranks)
    ranks.sum_gradients(run.net)
    parameters = [each for each in run.net.parameters() if each.grad is not None]
    norm = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    taken = Step(loss, rate, float(norm))
    if not (math.isfinite(taken.loss) and math.isfinite(taken.gradient_norm)):
        raise NonFiniteLoss(taken)
    if recipe.optimiser.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, recipe.optimiser.clip_norm, norm)
    run.optimiser.step()
    ranks.average_buffers(run.net)
    _follow(run, min(recipe.optimiser.ema_decay, (run.iteration + 1) / (run.iteration + 10)))
    run.iteration += 1
    run.steps |= {round(minutes, 6) for minutes in batch.frames.step_minutes.tolist()}
    return taken


def _backward(
    net: ForecastModel, part: Batch, recipe: Recipe, truth: Tensor | None, ranks: DistributedContext
) -> float:
    """The part's share of the loss; its gradient is added to those of the parameters."""
    try:
        loss = batch_loss(net, part, recipe, truth, ranks) / recipe.gradient_accumulation_steps
        loss.backward()  # type: ignore[no-untyped-call]
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = first_line(error)
        raise InputError(
            f"torch.compile cannot compile the network ({reason})",
            where=f"recipe {recipe.name}",
            hint="Install a C++ compiler, or leave it out: --set compile=false",
        ) from None
    return float(loss.detach())


def compiled(net: ForecastModel) -> None:
    """Have torch.compile compile what a network does again and again: a recurrent one's step, another's whole."""
    name = "step" if isinstance(net, RecurrentModel) else "next_frames"
    setattr(net, name, torch.compile(getattr(net, name)))


@torch.no_grad()
def _follow(run: Run, decay: float) -> None:
    """Move the exponential mean towards the weights; what a batch norm has counted is already a mean, and is copied."""
    for mean, current in zip(run.ema.parameters(), run.net.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)
    for kept, counted in zip(run.ema.buffers(), run.net.buffers(), strict=True):
        kept.copy_(counted)
