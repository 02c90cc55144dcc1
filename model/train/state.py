"""The state of a training run: networks, optimiser and counters, which a checkpoint stores."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field

import torch

from model.core.errors import InputError, first_line
from model.nets.forecast_model import ForecastModel, build_model
from model.train.optimiser import build_optimiser
from model.train.recipe import Recipe


@dataclass
class TrainingState:
    """Everything that a checkpoint stores.

    There is no random state in it: windows, true frames and everything else that is drawn depend on the recipe's seed
    and the iteration alone (docs/decisions/012).

    Attributes
    ----------
    net, ema : ForecastModel
        The network in training, and the network with the exponential moving average of the weights.
    optimiser : torch.optim.Optimizer
        The optimiser of `net`.
    iteration : int
        Number of finished iterations.
    seconds : float
        Training time so far.
    best_metric : float
        The highest selection metric of a validation (see `model.train.validation`).
    last_validation : int
        Iteration of the last validation.
    losses : list of float
        Losses since the last validation.
    step_minutes : set of float
        Time steps of all windows that the network was trained on.
    """

    net: ForecastModel
    ema: ForecastModel
    optimiser: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    best_metric: float = -math.inf
    last_validation: int = 0
    losses: list[float] = field(default_factory=list)
    step_minutes: set[float] = field(default_factory=set)


def initial_state(recipe: Recipe, device: torch.device) -> TrainingState:
    """Return the state before the first iteration, with weights drawn from the recipe's seed.

    Raises
    ------
    InputError
        The recipe describes no network.
    """
    torch.manual_seed(recipe.seed)
    try:
        net = build_model(recipe.model).to(device)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"no network can be built from this recipe ({first_line(error)})",
            where=f"recipe {recipe.name}",
            hint="Change its model, see --show",
        ) from None
    if recipe.channels_last:
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    ema = deepcopy(net).eval()
    net.checkpoint_activations = recipe.checkpoint_activations
    return TrainingState(net=net, ema=ema, optimiser=build_optimiser(net, recipe.optimiser))
