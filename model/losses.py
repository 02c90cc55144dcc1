"""Losses, apart from the networks.

Frames are [b, lead, y, x] or [b, lead, c, y, x], numbers in [0, 1]: of rain the HKO-7 pixel fraction p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.metrics import BALANCED_EDGES_MM_H, BALANCED_WEIGHTS, pixel_edge

WEIGHT_EDGES_MM_H: Final = BALANCED_EDGES_MM_H[1:]
HKO7_WEIGHTS: Final = BALANCED_WEIGHTS[1:]
"""Of the scores' weights, those that differ: below 0.5 mm h-1 and from there on they are one."""

Total = Callable[[Tensor], Tensor]
"""The sum over the processes that share a batch, of what each has of it; differentiable."""


def alone(part: Tensor) -> Tensor:
    """The total where one process has the whole batch."""
    return part


def pixel_weights(truth: Tensor, weights: tuple[float, ...] = HKO7_WEIGHTS) -> Tensor:
    """One of five `weights` for truth below 2, 5, 10, 30 mm h-1 and above; HKO-7's by default (Shi et al. 2017).

    `truth` is in fractions, any shape.
    """
    edges = torch.tensor([pixel_edge(rain) for rain in WEIGHT_EDGES_MM_H], device=truth.device)
    return torch.tensor(weights, device=truth.device)[torch.bucketize(truth.contiguous(), edges, right=True)]


def balanced_loss(
    forecast: Tensor,
    truth: Tensor,
    known: Tensor,
    weights: tuple[float, ...] = HKO7_WEIGHTS,
    *,
    reduce: Literal["mean", "sum"] = "mean",
    total: Total = alone,
) -> Tensor:
    """B-MSE + B-MAE (HKO-7, or with other weights) of known pixels; frames all of one shape.

    `reduce`: the mean over known pixels; or, as in HKO-7 (arXiv 1706.03458), the sum over a frame's known pixels, the
    mean over frames and sequences. Of the whole batch, where these frames are the part of it that `total` adds up.
    """
    weight = pixel_weights(truth, weights) * known
    difference = forecast - truth
    summed = (weight * (difference.abs() + difference.square())).sum()
    frames = summed.new_tensor(truth.shape[0] * truth.shape[1])
    return total(summed) / (total(known.sum()).clamp(min=1) if reduce == "mean" else total(frames))


def soft_csi_loss(
    forecast: Tensor,
    truth: Tensor,
    known: Tensor,
    *,
    thresholds_mm_h: tuple[float, ...],
    softness: float,
    total: Total = alone,
) -> Tensor:
    """1 - CSI, mean over thresholds and leads, with the forecast's exceedance as a sigmoid of width `softness`.

    Hits, misses and false alarms are pooled over the batch and the pixels of each lead; leads where a threshold is
    (almost) never exceeded say nothing and are left out. Frames all of one shape; `total`: as in `balanced_loss`.
    """
    losses, weights = [], []
    for threshold in thresholds_mm_h:
        edge = pixel_edge(threshold)
        event = (truth >= edge).to(forecast.dtype) * known
        foreseen = torch.sigmoid((forecast - edge) / softness) * known
        pooled = total(torch.stack([_by_lead(each) for each in (event * foreseen, event, foreseen)]))
        hits, events, alarms = pooled.unbind()
        csi = hits / (events + alarms - hits).clamp(min=1)
        losses.append(1 - csi)
        weights.append((events >= 50).to(forecast.dtype))
    loss, weight = torch.stack(losses), torch.stack(weights)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def _by_lead(pixels: Tensor) -> Tensor:
    """Sums over all but the second dimension."""
    return pixels.sum(dim=(0, *range(2, pixels.ndim)))


def mean_squared_error(forecast: Tensor, truth: Tensor) -> Tensor:
    """The mean over everything, as predrnn-pytorch and OpenSTL train."""
    return (forecast - truth).square().mean()


def frame_loss(forecast: Tensor, truth: Tensor) -> Tensor:
    """MSE + MAE in MS-RNN's form: summed over a frame's channels and pixels, averaged over frames and sequences."""
    difference = forecast - truth
    return (difference.square() + difference.abs()).sum() / (truth.shape[0] * truth.shape[1])


def decoupling_loss(
    increments: Sequence[Sequence[tuple[Tensor, Tensor]]],
    projection: nn.Module,
    *,
    reduce: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """|cosine| of what was written to C and to M (PredRNN-V2, arXiv 2103.09504, equation 8), both through W.

    `increments`: per step and layer, [b, channels, y, x] each; layers may have different grids. `projection`: W, a 1x1
    convolution that all layers share. The cosine is taken channel by channel, over rows and columns. `reduce`: the mean
    over steps, samples, layers and channels (predrnn-pytorch); or the sum over layers and channels, the mean over steps
    and samples (MS-RNN).

    Raises
    ------
    ValueError
        Nothing was written to C and M: the network has no two memories.
    """
    if not increments or not increments[0]:
        raise ValueError("a network without the two memories C and M has nothing to decouple")
    cosines = [_cosines([step[layer] for step in increments], projection) for layer in range(len(increments[0]))]
    summed = torch.stack([cosine.sum(dim=1).mean() for cosine in cosines]).sum()
    return summed if reduce == "sum" else summed / sum(cosine.shape[1] for cosine in cosines)


def _cosines(steps: Sequence[tuple[Tensor, Tensor]], projection: nn.Module) -> Tensor:
    """|cosine| [steps * b, channels] of one layer's increments; all steps go through the projection at once."""
    written_c, written_m = (
        functional.normalize(projection(torch.cat(written)).float().flatten(2), dim=2)
        for written in zip(*steps, strict=True)
    )
    return (written_c * written_m).sum(dim=2).abs()


def differential_divergence(forecast: Tensor, truth: Tensor, tau: float = 0.1) -> Tensor:
    """KL(softmax of the forecast's changes || softmax of the truth's) (TAU, arXiv 2206.12126, equations 9 to 11).

    A change is a frame minus the one before it; its softmax, at temperature `tau`, is over all channels and pixels of
    the frame. As in OpenSTL the mean is over everything, pixels too: a frame's divergence over the number of its
    pixels. One frame has no change: 0.
    """
    if forecast.shape[1] < 2:
        return forecast.new_zeros(())
    ours, true = ((frames.diff(dim=1).flatten(2) / tau).log_softmax(dim=2) for frames in (forecast, truth))
    return (ours.exp() * (ours - true)).mean()
