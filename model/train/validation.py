"""Validation: scores on held-out windows, and the metric that selects the best weights.

There is no early stopping: a run goes through its whole schedule, and `best.pt` holds the weights that scored best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.core.manifest import DataKind
from model.core.units import FloatArray
from model.metrics import FRAME_SCORES, float32_pixel_threshold
from model.nets.forecast_model import ForecastModel
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.exceedance_validation import exceedance_counts, exceedance_scores, sharp_cuts
from model.train.recipe import SCORED_MM_H, Recipe
from model.train.rollout import rollout


class Validation(NamedTuple):
    """Scores of a network; of one with a distribution also the cuts of its `sharp` field."""

    scores: dict[str, float]
    sharp_cuts: list[dict[str, Any]] | None = None


def selection_metric(scores: dict[str, float], kind: DataKind) -> float:
    """Return the figure that the best weights maximise: for rain the `ratio`, for other frames the negative MSE."""
    return scores["ratio"] if kind == "rain" else -scores["mse"]


def validate(
    net: ForecastModel,
    held_out: Sequence[Batch],
    recipe: Recipe,
    kind: DataKind,
    distributed: DistributedContext = SINGLE_PROCESS,
) -> Validation:
    """Score the forecasts for held-out batches.

    Parameters
    ----------
    net : ForecastModel
        A network in evaluation mode.
    held_out : sequence of Batch
        The batches of this process.
    recipe : Recipe
        Mixed precision and, for rain, the selection thresholds.
    kind : {"rain", "frames"}
        Which scores to compute: see `rain_scores`, `exceedance_scores` and `frame_scores`.
    distributed : DistributedContext
        The processes that share the held-out windows.

    Returns
    -------
    Validation
        Scores over the batches of all processes.
    """
    if kind == "rain" and recipe.model.thresholds_mm_h:
        counts = exceedance_counts(net, held_out, recipe, distributed)
        return Validation(exceedance_scores(counts, recipe), sharp_cuts(counts))
    return Validation((rain_scores if kind == "rain" else frame_scores)(net, held_out, recipe, distributed))


def forecast(net: ForecastModel, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the forecast [b, leads, c, y, x] from the context alone."""
    return rollout(net, batch, recipe).frames


def rain_scores(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, distributed: DistributedContext = SINGLE_PROCESS
) -> dict[str, float]:
    """Return CSI and frequency bias by threshold, pooled over all windows and lead steps, and CSI over persistence's.

    `ratio` is the mean over the recipe's selection thresholds. In Lagrangian windows persistence is extrapolation.
    """
    counts = np.zeros((2, len(SCORED_MM_H), 3))
    for batch in held_out:
        forecasts = forecast(net, batch, recipe), batch.newest.expand_as(batch.target)
        known = batch.target_known.bool()
        for index, threshold in enumerate(SCORED_MM_H):
            edge = float32_pixel_threshold(threshold)
            observed = (batch.target >= edge) & known
            for source, frames in enumerate(forecasts):
                predicted = (frames >= edge) & known
                hits = (observed & predicted).sum().item()
                counts[source, index] += hits, observed.sum().item(), predicted.sum().item()
    counts = distributed.sum_array(counts)
    hit_count, event_count, forecast_count = counts[..., 0], counts[..., 1], counts[..., 2]
    csi = hit_count / np.maximum(event_count + forecast_count - hit_count, 1)
    ratio = csi[0] / np.maximum(csi[1], 1e-6)
    selected = np.isin(SCORED_MM_H, recipe.selection_thresholds_mm_h) & (event_count[0] > 0)
    scores = {"ratio": float(np.mean(ratio[selected])) if selected.any() else 0.0}
    for index, threshold in enumerate(SCORED_MM_H):
        scores[f"csi_{threshold:g}"] = float(csi[0, index])
        scores[f"ratio_{threshold:g}"] = float(ratio[index])
        scores[f"bias_{threshold:g}"] = float(forecast_count[0, index] / max(event_count[0, index], 1))
    return scores


def frame_scores(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, distributed: DistributedContext = SINGLE_PROCESS
) -> dict[str, float]:
    """Return MSE and MAE (sums over a frame), PSNR and SSIM, means over windows and lead steps (see `model.metrics`).

    Forecasts are clipped to [0, 1] first, as in MS-RNN and OpenSTL. `ratio` is the MSE over that of persistence: 1 is
    no better than the newest frame, 0 is a perfect forecast.
    """
    sums = dict.fromkeys([*FRAME_SCORES, "persistence"], 0.0)
    for batch in held_out:
        target = batch.target.cpu().numpy()
        frames = _fill_unknown(forecast(net, batch, recipe).clamp(0, 1), batch)
        for name, score in FRAME_SCORES.items():
            sums[name] += float(score(frames, target).mean()) * len(target)
        persistence = _fill_unknown(batch.newest.expand_as(batch.target), batch)
        sums["persistence"] += float(FRAME_SCORES["mse"](persistence, target).mean()) * len(target)
    windows = sum(len(batch.target) for batch in held_out)
    *totals, number = distributed.sum_array(np.array([*sums.values(), windows], np.float64)).tolist()
    means = {name: total / number for name, total in zip(sums, totals, strict=True)}
    persistence_mse = means.pop("persistence")
    return {**means, "ratio": means["mse"] / max(persistence_mse, 1e-12)}


def _fill_unknown(frames: Tensor, batch: Batch) -> FloatArray:
    """Return a forecast with the truth where a pixel does not count, so that it has no error there."""
    return np.asarray(torch.where(batch.target_known.bool(), frames, batch.target).cpu().numpy(), np.float32)
