"""Losses of rain nowcasts, apart from the networks. Fractions are HKO-7 pixel fractions p in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.core.units import hko7_fraction

WEIGHT_EDGES_MM_H = (2.0, 5.0, 10.0, 30.0)
HKO7_WEIGHTS = (1.0, 2.0, 5.0, 10.0, 30.0)


def fraction_of(rain_rate_mm_h: float) -> float:
    """p of a rain rate (mm h-1)."""
    return float(hko7_fraction(np.array([rain_rate_mm_h], np.float32))[0])


def pixel_weights(truth: Tensor, weights: tuple[float, ...] = HKO7_WEIGHTS) -> Tensor:
    """One of five `weights` for truth below 2, 5, 10, 30 mm h-1 and above; HKO-7's by default (Shi et al. 2017).

    `truth` is in fractions, any shape.
    """
    edges = torch.tensor([fraction_of(rain) for rain in WEIGHT_EDGES_MM_H], device=truth.device)
    return torch.tensor(weights, device=truth.device)[torch.bucketize(truth, edges, right=True)]


def balanced_loss(forecast: Tensor, truth: Tensor, known: Tensor, weights: tuple[float, ...] = HKO7_WEIGHTS) -> Tensor:
    """B-MSE + B-MAE (HKO-7, or with other weights), the mean over known pixels; all [b, lead, y, x]."""
    weight = pixel_weights(truth, weights) * known
    difference = forecast - truth
    return (weight * (difference.abs() + difference.square())).sum() / known.sum().clamp(min=1)


def soft_csi_loss(
    forecast: Tensor, truth: Tensor, known: Tensor, *, thresholds_mm_h: tuple[float, ...], softness: float
) -> Tensor:
    """1 - CSI, mean over thresholds and leads, with the forecast's exceedance as a sigmoid of width `softness`.

    Hits, misses and false alarms are pooled over the batch and the pixels of each lead; leads where a threshold is
    (almost) never exceeded say nothing and are left out. All [b, lead, y, x].
    """
    losses, weights = [], []
    for threshold in thresholds_mm_h:
        edge = fraction_of(threshold)
        event = (truth >= edge).to(forecast.dtype) * known
        foreseen = torch.sigmoid((forecast - edge) / softness) * known
        hits = (event * foreseen).sum(dim=(0, 2, 3))
        events = event.sum(dim=(0, 2, 3))
        csi = hits / (events + foreseen.sum(dim=(0, 2, 3)) - hits).clamp(min=1)
        losses.append(1 - csi)
        weights.append((events >= 50).to(forecast.dtype))
    loss, weight = torch.stack(losses), torch.stack(weights)
    return (loss * weight).sum() / weight.sum().clamp(min=1)
