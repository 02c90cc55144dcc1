"""One iteration: forward and backward pass with gradient accumulation, clipping, optimiser step and moving average."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.core.errors import InputError, first_line
from model.nets.forecast_model import ForecastModel, RecurrentModel
from model.train.batch import Batch
from model.train.distributed import DistributedContext
from model.train.lr_schedule import learning_rate
from model.train.objective import batch_loss, teacher_forcing_mask
from model.train.recipe import Recipe
from model.train.state import TrainingState


class StepResult(NamedTuple):
    """Figures of one iteration; `gradient_norm` is the norm before clipping."""

    loss: float
    learning_rate: float
    gradient_norm: float


class NonFiniteLoss(Exception):
    """The loss or its gradient is NaN or infinite; the weights are unchanged."""

    def __init__(self, result: StepResult) -> None:
        self.result = result
        super().__init__(result)


def training_step(
    state: TrainingState, batch: Batch, recipe: Recipe, progress: float, distributed: DistributedContext
) -> StepResult:
    """Take one optimiser step, and update the moving average of the weights.

    Parameters
    ----------
    state : TrainingState
        Changed in place.
    batch : Batch
        The share of this process.
    recipe : Recipe
        Loss, optimiser and number of micro-batches.
    progress : float
        Progress of the run, from 0 to 1.
    distributed : DistributedContext
        The processes that share the batch.

    Returns
    -------
    StepResult
        Loss of the whole batch, learning rate and norm of the gradient.

    Raises
    ------
    NonFiniteLoss
        The loss or its gradient is not finite.
    InputError
        `torch.compile` cannot compile the network.
    """
    rate = learning_rate(recipe.optimiser, state.iteration, progress)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.net.train()
    state.optimiser.zero_grad(set_to_none=True)
    loss = 0.0
    for micro_batch in batch.split(recipe.gradient_accumulation_steps):
        true_frames = teacher_forcing_mask(recipe, micro_batch, state.iteration, progress)
        loss += _backward(state.net, micro_batch, recipe, true_frames, distributed)
    distributed.sum_gradients(state.net)
    parameters = [parameter for parameter in state.net.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    result = StepResult(loss, rate, float(norm))
    if not (math.isfinite(result.loss) and math.isfinite(result.gradient_norm)):
        raise NonFiniteLoss(result)
    if recipe.optimiser.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, recipe.optimiser.clip_norm, norm)
    state.optimiser.step()
    distributed.average_buffers(state.net)
    # A young average would remember the random initial weights: its decay rises with the iterations, as in TensorFlow's
    # ExponentialMovingAverage with num_updates.
    _update_ema(state, min(recipe.optimiser.ema_decay, (state.iteration + 1) / (state.iteration + 10)))
    state.iteration += 1
    state.step_minutes |= {round(minutes, 6) for minutes in batch.frames.step_minutes.tolist()}
    return result


def _backward(
    net: ForecastModel, batch: Batch, recipe: Recipe, true_frames: Tensor | None, distributed: DistributedContext
) -> float:
    """Add the gradient of a micro-batch to that of the parameters, and return its part of the loss."""
    try:
        loss = batch_loss(net, batch, recipe, true_frames, distributed) / recipe.gradient_accumulation_steps
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
    except torch._dynamo.exc.TorchDynamoException as error:
        raise InputError(
            f"torch.compile cannot compile the network ({first_line(error)})",
            where=f"recipe {recipe.name}",
            hint="Install a C++ compiler, or leave it out: --set compile=false",
        ) from None
    return float(loss.detach())


def compile_network(net: ForecastModel) -> None:
    """Compile the time step of a recurrent network, or the whole of another, with `torch.compile`."""
    name = "step" if isinstance(net, RecurrentModel) else "next_frames"
    setattr(net, name, torch.compile(getattr(net, name)))


@torch.no_grad()
def _update_ema(state: TrainingState, decay: float) -> None:
    """Move the averaged weights towards the current ones; running statistics of batch norms are copied."""
    for average, current in zip(state.ema.parameters(), state.net.parameters(), strict=True):
        average.lerp_(current, 1 - decay)
    for copied, statistic in zip(state.ema.buffers(), state.net.buffers(), strict=True):
        copied.copy_(statistic)
