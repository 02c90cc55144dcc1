"""The optimiser of a recipe: Adam or AdamW over the parameters of a network."""

from __future__ import annotations

import torch
from torch import nn

from model.train.recipe import Optimiser


def build_optimiser(net: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Return an optimiser; weight decay applies to the weights of convolutions and linear layers only.

    Biases, norms and peepholes are not decayed, as in nanoGPT's `configure_optimizers`.
    """
    betas = (settings.beta1, 0.999)
    if settings.kind == "adam":
        return torch.optim.Adam(net.parameters(), lr=settings.learning_rate, betas=betas)
    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    decayed = {id(layer.weight) for layer in net.modules() if isinstance(layer, layers)}
    groups = [
        {
            "params": [parameter for parameter in net.parameters() if (id(parameter) in decayed) == decays],
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas)
