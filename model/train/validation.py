"""Scores of a network on held-out windows, and which scores are the better ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.core.manifest import DataKind
from model.core.units import FloatArray
from model.metrics import FRAME_SCORES, pixel_edge
from model.nets.forecast_model import ForecastModel
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.recipe import SCORED_MM_H, Recipe


def selection_metric(scores: dict[str, float], kind: DataKind) -> float:
    """What the best weights have most of: of rain `ratio`, of other frames the least MSE."""
    return scores["ratio"] if kind == "rain" else -scores["mse"]


def validate(
    net: ForecastModel,
    held_out: Sequence[Batch],
    recipe: Recipe,
    kind: DataKind,
    ranks: DistributedContext = SINGLE_PROCESS,
) -> dict[str, float]:
    """Scores of the forecasts of held-out batches, of which each of the `ranks` has some (see `rain_scores`,
    `frame_scores`)."""
    return (rain_scores if kind == "rain" else frame_scores)(net, held_out, recipe, ranks)


@torch.no_grad()
def forecast_of(net: ForecastModel, batch: Batch, recipe: Recipe) -> Tensor:
    """[b, leads, c, y, x]: reads the context only."""
    with torch.autocast(batch.frames.data.device.type, torch.bfloat16, enabled=recipe.bfloat16 is True):
        answers = net.rollout(batch.frames, batch.context, batch.leads).frames
    return answers[:, batch.context - 1 :].float()


def rain_scores(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, ranks: DistributedContext = SINGLE_PROCESS
) -> dict[str, float]:
    """CSI over the held-out windows (pooled, all leads) and its ratio to persistence's, by threshold.

    In Lagrangian windows persistence is extrapolation. `ratio` is the mean over the thresholds that the recipe chooses
    weights by.
    """
    counts = np.zeros((2, len(SCORED_MM_H), 3))
    for batch in held_out:
        answer, still = forecast_of(net, batch, recipe), batch.newest.expand_as(batch.target)
        known = batch.target_known.bool()
        for which, forecast in enumerate((answer, still)):
            for index, threshold in enumerate(SCORED_MM_H):
                edge = pixel_edge(threshold)
                event, seen = (batch.target >= edge) & known, (forecast >= edge) & known
                hit = (event & seen).sum().item()
                counts[which, index] += hit, event.sum().item(), seen.sum().item()
    counts = ranks.summed(counts)
    hits, events, foreseen = counts[..., 0], counts[..., 1], counts[..., 2]
    csi = hits / np.maximum(events + foreseen - hits, 1)
    ratio = csi[0] / np.maximum(csi[1], 1e-6)
    chosen = [t in recipe.selection_thresholds_mm_h and events[0, index] > 0 for index, t in enumerate(SCORED_MM_H)]
    scores = {"ratio": float(np.mean(ratio[chosen])) if any(chosen) else 0.0}
    for index, threshold in enumerate(SCORED_MM_H):
        scores[f"csi_{threshold:g}"] = float(csi[0, index])
        scores[f"ratio_{threshold:g}"] = float(ratio[index])
        scores[f"bias_{threshold:g}"] = float(foreseen[0, index] / max(events[0, index], 1))
    return scores


def frame_scores(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, ranks: DistributedContext = SINGLE_PROCESS
) -> dict[str, float]:
    """MSE, MAE (summed over a frame), PSNR and SSIM of the held-out windows, means over leads; see `model.metrics`.

    Forecasts are clipped to [0, 1] first, as MS-RNN and OpenSTL do. `ratio` is the MSE over persistence's: 1 is no
    better than the newest frame, 0 without error.
    """
    sums = dict.fromkeys([*FRAME_SCORES, "still"], 0.0)
    for batch in held_out:
        truth = batch.target.cpu().numpy()
        forecast = _where_known(batch, forecast_of(net, batch, recipe).clamp(0, 1))
        for name, score in FRAME_SCORES.items():
            sums[name] += float(score(forecast, truth).mean()) * len(truth)
        still = _where_known(batch, batch.newest.expand_as(batch.target))
        sums["still"] += float(FRAME_SCORES["mse"](still, truth).mean()) * len(truth)
    windows = sum(len(batch.target) for batch in held_out)
    *totals, number = ranks.summed(np.array([*sums.values(), windows], np.float64)).tolist()
    means = {name: total / number for name, total in zip(sums, totals, strict=True)}
    still_mse = means.pop("still")
    return {**means, "ratio": means["mse"] / max(still_mse, 1e-12)}


def _where_known(batch: Batch, forecast: Tensor) -> FloatArray:
    """The forecast, with the truth itself where that is not known: no error there."""
    return np.asarray(torch.where(batch.target_known.bool(), forecast, batch.target).cpu().numpy(), np.float32)
