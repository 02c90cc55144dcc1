"""Losses of forecast frames, [b, lead, y, x] or [b, lead, c, y, x] in [0, 1]; rain is the HKO-7 pixel fraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.metrics import BALANCED_EDGES_MM_H, BALANCED_WEIGHTS, float32_pixel_threshold

WEIGHT_EDGES_MM_H: Final = BALANCED_EDGES_MM_H[1:]
HKO7_WEIGHTS: Final = BALANCED_WEIGHTS[1:]
"""Weights of the balanced scores without the first class, whose weight equals that of the second."""
MIN_EVENTS: Final = 50
"""Observed pixels of a lead time below which a soft CSI is left out."""

AllReduce = Callable[[Tensor], Tensor]
"""Differentiable sum of a tensor over the processes that share a batch."""


def single_process(part: Tensor) -> Tensor:
    """Return the tensor: the sum over one process."""
    return part


def pixel_weights(truth: Tensor, weights: tuple[float, ...] = HKO7_WEIGHTS) -> Tensor:
    """Return the weight of each pixel by its true rain rate.

    Parameters
    ----------
    truth : any shape
        HKO-7 pixel fractions.
    weights
        Weights below 2 mm h-1, from 2, 5 and 10 mm h-1, and from 30 mm h-1 on; HKO-7's by default (Shi et al. 2017,
        arXiv 1706.03458).
    """
    edges = torch.tensor([float32_pixel_threshold(rain) for rain in WEIGHT_EDGES_MM_H], device=truth.device)
    return torch.tensor(weights, device=truth.device)[torch.bucketize(truth.contiguous(), edges, right=True)]


def balanced_loss(
    forecast: Tensor,
    truth: Tensor,
    known: Tensor,
    weights: tuple[float, ...] = HKO7_WEIGHTS,
    *,
    reduce: Literal["mean", "sum"] = "mean",
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return B-MSE + B-MAE of known pixels (HKO-7, Shi et al. 2017, arXiv 1706.03458).

    Parameters
    ----------
    forecast, truth, known : one shape
        Frames, and 1 where a pixel of the truth holds data, else 0.
    weights
        See `pixel_weights`.
    reduce
        "mean" over known pixels; or "sum" over the known pixels of a frame and mean over frames, as in HKO-7.
    all_reduce
        Sum over the processes that share a batch, so that the loss is that of the whole batch.
    """
    weight = pixel_weights(truth, weights) * known
    difference = forecast - truth
    summed = (weight * (difference.abs() + difference.square())).sum()
    frames = summed.new_tensor(truth.shape[0] * truth.shape[1])
    return all_reduce(summed) / (all_reduce(known.sum()).clamp(min=1) if reduce == "mean" else all_reduce(frames))


def soft_csi_loss(
    forecast: Tensor,
    truth: Tensor,
    known: Tensor,
    *,
    thresholds_mm_h: tuple[float, ...],
    softness: float,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return 1 - soft CSI, the mean over thresholds and lead times.

    The soft CSI replaces the step at a threshold by a sigmoid, so that a gradient exists. Hits, misses and false alarms
    are pooled over the batch and the pixels of each lead time. Lead times with fewer than 50 events are left out: their
    CSI is noise.

    Parameters
    ----------
    forecast, truth, known : one shape
        Frames, and 1 where a pixel of the truth holds data, else 0.
    thresholds_mm_h
        Rain rates that make an event.
    softness
        Width of the sigmoid, as a pixel fraction.
    all_reduce
        See `balanced_loss`.
    """
    losses, weights = [], []
    for threshold in thresholds_mm_h:
        edge = float32_pixel_threshold(threshold)
        observed = (truth >= edge).to(forecast.dtype) * known
        predicted = torch.sigmoid((forecast - edge) / softness) * known
        pooled = all_reduce(torch.stack([_sum_by_lead(part) for part in (observed * predicted, observed, predicted)]))
        hits, observations, predictions = pooled.unbind()
        csi = hits / (observations + predictions - hits).clamp(min=1)
        losses.append(1 - csi)
        weights.append((observations >= MIN_EVENTS).to(forecast.dtype))
    loss, weight = torch.stack(losses), torch.stack(weights)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def exceedance_loss(
    logits: Tensor,
    truth: Tensor,
    known: Tensor,
    *,
    thresholds_mm_h: Sequence[float],
    threshold_weights: Sequence[float],
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return the logarithmic score of exceedance probabilities, a weighted mean over thresholds.

    The cross-entropy at each threshold is a proper score (Gneiting and Raftery 2007, doi 10.1198/016214506000001437),
    and so is any sum of them with weights that do not depend on the truth: heavy rain may weigh more, and the best
    forecast is still the true probability.

    Parameters
    ----------
    logits : [b, lead, threshold, y, x]
        Logits of P(rain >= threshold).
    truth, known : [b, lead, 1, y, x]
        Frames, and 1 where a pixel of the truth holds data, else 0.
    thresholds_mm_h, threshold_weights
        The thresholds (mm h-1), and the weight of each.
    all_reduce
        See `balanced_loss`.
    """
    edges = torch.tensor([float32_pixel_threshold(rain) for rain in thresholds_mm_h], device=truth.device)
    weights = torch.tensor(threshold_weights, device=truth.device)
    exceeds = (truth >= edges[:, None, None]).to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, exceeds, reduction="none") * known
    by_threshold = entropy.sum(dim=(0, 1, 3, 4))
    summed, number = all_reduce((by_threshold * weights).sum()), all_reduce(known.sum())
    return summed / (weights.sum() * number.clamp(min=1))


def _sum_by_lead(pixels: Tensor) -> Tensor:
    """Return the sum over all dimensions but the second."""
    return pixels.sum(dim=(0, *range(2, pixels.ndim)))


def mean_squared_error(forecast: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error, averaged over all dimensions, as in predrnn-pytorch and OpenSTL."""
    return (forecast - truth).square().mean()


def mse_plus_mae(forecast: Tensor, truth: Tensor) -> Tensor:
    """Return MS-RNN's MSE + MAE: summed over channels and pixels of a frame, averaged over frames and sequences."""
    difference = forecast - truth
    return (difference.square() + difference.abs()).sum() / (truth.shape[0] * truth.shape[1])


def decoupling_loss(
    increments: Sequence[Sequence[tuple[Tensor, Tensor]]],
    projection: nn.Module,
    *,
    reduce: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return the decoupling loss of PredRNN-V2 (arXiv 2103.09504, equation 8): |cosine| of the increments of C and M.

    The two memories of an ST-LSTM tend to learn the same features; the loss pushes their increments towards orthogonal
    ones, so that C holds long-term and M short-term changes. The cosine is over the pixels of each channel.

    Parameters
    ----------
    increments
        Increments of C and of M per step and layer, [b, channels, y, x] each; the grids of layers may differ.
    projection
        W, a 1x1 convolution that all layers share: increments need to be orthogonal after W only.
    reduce
        "mean" over steps, samples, layers and channels (predrnn-pytorch); or "sum" over layers and channels and mean
        over steps and samples (MS-RNN).

    Raises
    ------
    ValueError
        There are no increments, because the network lacks one of the memories.
    """
    if not increments or not increments[0]:
        raise ValueError("a network without the two memories C and M has nothing to decouple")
    cosines = [_cosines([step[layer] for step in increments], projection) for layer in range(len(increments[0]))]
    summed = torch.stack([cosine.sum(dim=1).mean() for cosine in cosines]).sum()
    return summed if reduce == "sum" else summed / sum(cosine.shape[1] for cosine in cosines)


def _cosines(steps: Sequence[tuple[Tensor, Tensor]], projection: nn.Module) -> Tensor:
    """Return |cosine| [steps * b, channels] of the increments of one layer; one call projects all steps."""
    of_c, of_m = (
        functional.normalize(projection(torch.cat(increments)).float().flatten(2), dim=2)
        for increments in zip(*steps, strict=True)
    )
    return (of_c * of_m).sum(dim=2).abs()


def differential_divergence(forecast: Tensor, truth: Tensor, tau: float = 0.1) -> Tensor:
    """Return the differential divergence regularisation of TAU (arXiv 2206.12126, equations 9 to 11).

    It is KL(softmax of the forecast's changes || softmax of the true changes), where a change is a frame minus the
    frame before, and the softmax is over channels and pixels. As in OpenSTL the mean is over pixels, too, so that the
    value is the divergence of a frame divided by the number of pixels. It is 0 for a single frame, which has no change.

    Parameters
    ----------
    forecast, truth : [b, lead, ...]
        Frames.
    tau
        Temperature of the softmax.
    """
    if forecast.shape[1] < 2:
        return forecast.new_zeros(())
    log_p, log_q = ((frames.diff(dim=1).flatten(2) / tau).log_softmax(dim=2) for frames in (forecast, truth))
    return (log_p.exp() * (log_p - log_q)).mean()
