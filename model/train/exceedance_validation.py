"""Validation of networks with a distribution: scores of their probabilities, and the cuts of the `sharp` field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from model import losses
from model.core.rain_distribution import BINS, MAX_BIAS
from model.metrics import float32_pixel_threshold
from model.nets.forecast_model import ForecastModel
from model.train.batch import Batch
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.recipe import SCORED_MM_H, Recipe
from model.train.rollout import rollout

LEAD_MINUTES: Final = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
"""Lead times for which cuts are chosen; each lead step counts for the nearest."""
FEWEST_EVENTS: Final = 500
"""Pixels with an event below which a cut is that of all lead times, or of the threshold before."""
DEFAULT_CUT: Final = 0.4

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ExceedanceCounts:
    """Sums over held-out windows, from which all scores follow.

    Attributes
    ----------
    histogram : ndarray
        Pixels [lead time, threshold, bin of probability, event].
    probability : ndarray
        Sum of the probabilities [threshold, bin].
    squared : ndarray
        Sum of (probability - event)^2 [threshold].
    persisted : ndarray
        Pixels [threshold] where persistence (in Lagrangian windows, extrapolation) is on the other side.
    entropy : ndarray
        Sum of the cross-entropy, mean over thresholds, and the number of pixels.
    """

    histogram: Array
    probability: Array
    squared: Array
    persisted: Array
    entropy: Array


def exceedance_counts(
    net: ForecastModel, held_out: Sequence[Batch], recipe: Recipe, distributed: DistributedContext = SINGLE_PROCESS
) -> ExceedanceCounts:
    """Forecast held-out windows, and count; the arguments are those of `model.train.validation.validate`."""
    thresholds = recipe.model.thresholds_mm_h
    sums = ExceedanceCounts(
        histogram=np.zeros((len(LEAD_MINUTES), len(thresholds), BINS, 2)),
        probability=np.zeros((len(thresholds), BINS)),
        squared=np.zeros(len(thresholds)),
        persisted=np.zeros(len(thresholds)),
        entropy=np.zeros(2),
    )
    for batch in held_out:
        logits, known = rollout(net, batch, recipe).exceedance, batch.target_known
        if logits is None:
            raise TypeError("the network predicts no probabilities")
        equal = (1.0,) * len(thresholds)
        loss = losses.exceedance_loss(logits, batch.target, known, thresholds_mm_h=thresholds, threshold_weights=equal)
        pixels = float(known.sum())
        sums.entropy[:] += float(loss) * pixels, pixels
        minutes = batch.frames.step_minutes.cpu().numpy()[:, None] * np.arange(1, batch.leads + 1)
        nearest = np.abs(minutes[..., None] - np.array(LEAD_MINUTES)).argmin(axis=2)
        scored = known[:, :, 0].bool().cpu().numpy()
        lead = np.broadcast_to(nearest[..., None, None], scored.shape)[scored]
        for row, threshold in enumerate(thresholds):
            edge = float32_pixel_threshold(threshold)
            chance = torch.sigmoid(logits[:, :, row]).cpu().numpy()[scored].astype(np.float64)
            event = (batch.target[:, :, 0] >= edge).cpu().numpy()[scored]
            persisted = np.broadcast_to((batch.newest[:, :, 0] >= edge).cpu().numpy(), scored.shape)[scored]
            index = np.minimum((chance * BINS).astype(np.intp), BINS - 1)
            cell = (lead * BINS + index) * 2 + event
            sums.histogram[:, row] += np.bincount(cell, minlength=len(LEAD_MINUTES) * BINS * 2).reshape(-1, BINS, 2)
            sums.probability[row] += np.bincount(index, chance, BINS)
            sums.squared[row] += np.square(chance - event).sum()
            sums.persisted[row] += np.count_nonzero(persisted != event)
    return ExceedanceCounts(**{name: distributed.sum_array(value) for name, value in vars(sums).items()})


def exceedance_scores(counts: ExceedanceCounts, recipe: Recipe) -> dict[str, float]:
    """Return scores pooled over windows and lead steps.

    By threshold: `brier_`, the Brier score; `ratio_`, 1 plus its skill over persistence's (in Lagrangian windows,
    extrapolation's); `reliability_`, the mean difference between forecast and observed shares of the bins, weighted by
    pixels; `bias_`, the mean probability over the observed share; `csi_`, that of the best cut. `ratio`: the mean over
    the recipe's selection thresholds. `entropy`: the mean cross-entropy of all thresholds.
    """
    scores = {"entropy": float(counts.entropy[0] / max(counts.entropy[1], 1))}
    ratios = []
    for row, threshold in enumerate(recipe.model.thresholds_mm_h):
        if threshold not in SCORED_MM_H:
            continue
        without, events = counts.histogram[:, row].sum(axis=0).T
        pixels, name = float((without + events).sum()), f"{threshold:g}"
        scores[f"brier_{name}"] = float(counts.squared[row] / max(pixels, 1))
        scores[f"ratio_{name}"] = float(2 - counts.squared[row] / max(counts.persisted[row], 1))
        scores[f"reliability_{name}"] = float(np.abs(counts.probability[row] - events).sum() / max(pixels, 1))
        scores[f"bias_{name}"] = float(counts.probability[row].sum() / max(events.sum(), 1))
        scores[f"csi_{name}"] = float(_csi_and_bias(counts.histogram[:, row].sum(axis=0))[0].max())
        if threshold in recipe.selection_thresholds_mm_h and events.sum():
            ratios.append(scores[f"ratio_{name}"])
    return {"ratio": float(np.mean(ratios)) if ratios else 0.0, **scores}


def sharp_cuts(counts: ExceedanceCounts) -> list[dict[str, Any]]:
    """Return the cuts of the `sharp` field as `model.core.manifest.SharpCuts`: the highest CSI without overforecasting.

    With calibrated probabilities the region that maximises the CSI is that of the probabilities above a cut. A cut may
    not rise with the threshold where it would leave heavy rain outside of lighter rain: `RainDistribution.sharp` takes
    care of that.
    """
    rows = []
    overall = counts.histogram.sum(axis=0)
    for index, minutes in enumerate(LEAD_MINUTES):
        cuts: list[float] = []
        for row, of_all_leads in enumerate(overall):
            found = _best_cut(counts.histogram[index, row]) or _best_cut(of_all_leads)
            cuts.append(found or (cuts[-1] if cuts else DEFAULT_CUT))
        rows.append({"lead_minutes": minutes, "probabilities": cuts})
    return rows


def _best_cut(histogram: Array) -> float | None:
    """Return the cut with the highest CSI among those with a bias up to the limit; None with too few events."""
    if histogram[:, 1].sum() < FEWEST_EVENTS:
        return None
    csi, bias = _csi_and_bias(histogram)
    return float(np.argmax(np.where(bias <= MAX_BIAS, csi, -1)) / BINS)


def _csi_and_bias(histogram: Array) -> tuple[Array, Array]:
    """Return CSI and frequency bias of the region above each cut, from a histogram [bin, event]."""
    without, events = np.cumsum(histogram[::-1], axis=0)[::-1].T
    observed = max(float(histogram[:, 1].sum()), 1.0)
    return events / np.maximum(without + observed, 1), (without + events) / observed
