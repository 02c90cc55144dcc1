"""Validation: scores on held-out windows, and the metric that selects the best weights.

There is no early stopping: a run goes through its whole schedule, and `best.pt` holds the weights that scored best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model import losses
from model.core.manifest import DataKind
from model.core.units import FloatArray
from model.metrics import FRAME_SCORES, float32_pixel_threshold
from model.nets.forecast_model import ForecastModel, Rollout
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.recipe import SCORED_MM_H, Recipe


def selection_metric(scores: dict[str, float], kind: DataKind) -> float:
    """Return the figure that the best weights maximise: for rain the `ratio`, for other frames the negative MSE."""
    return scores["ratio"] if kind == "rain" else -scores["mse"]


def validate(
    net: ForecastModel,
    held_out: Sequence[Batch],
    recipe: Recipe,
    kind: DataKind,
    distributed: DistributedContext = SINGLE_PROCESS,
) -> dict[str, float]:
    """Return the scores of the forecasts for held-out batches.

    Parameters
    ----------
    net : ForecastModel
        A network in evaluation mode.
    held_out : sequence of Batch
        The batches of this process.
    recipe : Recipe
        Mixed precision and, for rain, the selection thresholds.
    kind : {"rain", "frames"}
        Which scores to compute: see `rain_scores` and `frame_scores`.
    distributed : DistributedContext
        The processes that share the held-out windows.

    Returns
    -------
    dict of str to float
        Scores over the batches of all processes.
    """
    if kind == "frames":
        return frame_scores(net, held_out, recipe, distributed)
    return (exceedance_scores if recipe.model.thresholds_mm_h else rain_scores)(net, held_out, recipe, distributed)


def rollout(net: ForecastModel, batch: Batch, recipe: Recipe) -> Rollout:
    """Return the forecast from the context alone: frames, and logits of exceedance if the network predicts them."""
    with (
        torch.no_grad(),
        torch.autocast(batch.frames.data.device.type, torch.bfloat16, enabled=recipe.bfloat16 is True),
    ):
        output = net.rollout(batch.frames, batch.context, batch.leads)
    return output._replace(frames=output.frames[:, batch.context - 1 :].float())


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


CALIBRATION_BINS = 10
CUTS = (0.2, 0.3, 0.4, 0.5)


def exceedance_scores(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, distributed: DistributedContext = SINGLE_PROCESS
) -> dict[str, float]:
    """Return scores of exceedance probabilities, pooled over all windows and lead steps.

    By threshold: `brier_` and `ratio_`, the Brier score and its skill over persistence's (in Lagrangian windows,
    extrapolation's), plus 1; `reliability_`, the mean difference between forecast and observed shares in ten bins,
    weighted by pixels; `bias_`, the mean probability over the share observed; `csi_`, of the best of four cuts.
    `ratio` is the mean over the recipe's selection thresholds. `entropy`: the mean cross-entropy of all thresholds.
    """
    thresholds = recipe.model.thresholds_mm_h
    scored = [index for index, threshold in enumerate(thresholds) if threshold in SCORED_MM_H]
    sums = np.zeros((len(scored), 5 + 3 * CALIBRATION_BINS + 2 * len(CUTS)))
    entropy = np.zeros(2)
    for batch in held_out:
        logits, known = rollout(net, batch, recipe).exceedance, batch.target_known.bool()
        if logits is None:
            raise TypeError("the network predicts no probabilities")
        equal = (1.0,) * len(thresholds)
        loss = losses.exceedance_loss(
            logits, batch.target, batch.target_known, thresholds_mm_h=thresholds, threshold_weights=equal
        )
        pixels = float(known.sum())
        entropy += float(loss) * pixels, pixels
        for row, index in enumerate(scored):
            edge = float32_pixel_threshold(thresholds[index])
            chance = torch.sigmoid(logits[:, :, index, None])[known].double().cpu().numpy()
            event = (batch.target >= edge)[known].cpu().numpy()
            persisted = (batch.newest.expand_as(batch.target) >= edge)[known].cpu().numpy()
            bins = np.minimum((chance * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
            by_bin = [np.bincount(bins, each, CALIBRATION_BINS) for each in (None, chance, event)]
            cuts = [((chance >= cut) & event, chance >= cut) for cut in CUTS]
            sums[row] += np.concatenate(
                [
                    [np.square(chance - event).sum(), (persisted != event).sum()],
                    [event.sum(), chance.sum(), chance.size],
                    *by_bin,
                    np.ravel([[hits.sum(), area.sum()] for hits, area in cuts]),
                ]
            )
    sums, entropy = distributed.sum_array(sums), distributed.sum_array(entropy)
    scores = {"entropy": float(entropy[0] / max(entropy[1], 1))}
    ratios = []
    for row, index in enumerate(scored):
        squared, reference, events, chances, pixels = sums[row, :5]
        number, forecast_sum, observed_sum = sums[row, 5 : 5 + 3 * CALIBRATION_BINS].reshape(3, -1)
        hits, areas = sums[row, 5 + 3 * CALIBRATION_BINS :].reshape(-1, 2).T
        name = f"{thresholds[index]:g}"
        scores[f"brier_{name}"] = float(squared / max(pixels, 1))
        scores[f"ratio_{name}"] = float(2 - squared / max(reference, 1))
        scores[f"reliability_{name}"] = float(np.abs(forecast_sum - observed_sum).sum() / max(number.sum(), 1))
        scores[f"bias_{name}"] = float(chances / max(events, 1))
        scores[f"csi_{name}"] = float(np.max(hits / np.maximum(areas + events - hits, 1)))
        if thresholds[index] in recipe.selection_thresholds_mm_h and events:
            ratios.append(scores[f"ratio_{name}"])
    return {"ratio": float(np.mean(ratios)) if ratios else 0.0, **scores}


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
