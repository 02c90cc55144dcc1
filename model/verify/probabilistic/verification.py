"""The result of a probabilistic verification: scores and intervals of the sums of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.core import probability_scores as scores
from model.core.bootstrap import Interval, IntervalArrays, block_weights, confidence_intervals
from model.core.contingency import contingency_score, mean_over_leads, ratio
from model.data.archive import Archive
from model.verify.probabilistic.accumulators import MEMBERS, PROBABILITIES, Accumulators
from model.verify.probabilistic.protocol import ProbabilisticProtocol
from model.verify.verification import interval_note

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbabilisticVerification:
    """Scores of several models under one probabilistic protocol, on the same pixels.

    Attributes
    ----------
    protocol, archive
        What was scored.
    lead_minutes : tuple of float
        Lead times.
    days : tuple of str
        UTC days of the start times.
    blocks : int
        Number of blocks of time: days or, if `short_blocks`, intervals of three hours.
    starts : int
        Number of start times.
    accumulators : mapping
        Sums by model (NAME@VERSION).
    methods : mapping
        Where the probabilities of each model come from.
    variants, weights, seconds_per_nowcast, damaged : mapping
        See `model.verify.verification.Verification`.
    """

    protocol: ProbabilisticProtocol
    lead_minutes: tuple[float, ...]
    days: tuple[str, ...]
    blocks: int
    short_blocks: bool
    starts: int
    archive: Archive
    accumulators: Mapping[str, Accumulators]
    methods: Mapping[str, str]
    variants: Mapping[str, str]
    weights: Mapping[str, str]
    seconds_per_nowcast: Mapping[str, float]
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Return NAME@VERSION of each model."""
        return tuple(self.accumulators)

    def sources(self, model: str) -> tuple[str, ...]:
        """Return the sources of probabilities that a model has: `probabilities`, `members`, or both."""
        return tuple(source for source in (PROBABILITIES, MEMBERS) if f"{source}_crps" in self._sums(model))

    def main_source(self, model: str) -> str:
        """Return the source that a model is compared by: its members only where it has nothing else."""
        return MEMBERS if self.methods[model] == MEMBERS else PROBABILITIES

    def pixels(self, model: str) -> Array:
        """Return the number of scored pixels [lead]."""
        return np.asarray(self._sums(model)["pixels"].sum(axis=0))

    def events(self, model: str) -> Array:
        """Return the number of observed pixels at or above each threshold, over all leads [block, threshold]."""
        bins = self._bins(model, self.main_source(model))
        return np.asarray(bins[..., scores.EVENTS, :].sum(axis=(-1, -2)))

    def brier(self, model: str, source: str) -> IntervalArrays:
        """Return the Brier score [threshold, lead]; of members, the fair one."""
        return confidence_intervals(self._brier_samples(model, source))

    def mean_brier(self, model: str, source: str) -> IntervalArrays:
        """Return the mean of the Brier score over the leads [threshold]."""
        return confidence_intervals(mean_over_leads(self._brier_samples(model, source)))

    def crps(self, model: str, source: str) -> IntervalArrays:
        """Return the CRPS [lead] (mm h-1); of members, the fair one."""
        return confidence_intervals(self._crps_samples(model, source))

    def mean_crps(self, model: str, source: str) -> IntervalArrays:
        """Return the mean of the CRPS over the leads (mm h-1)."""
        return confidence_intervals(mean_over_leads(self._crps_samples(model, source)))

    def brier_difference(self, model: str, other: str, threshold_mm_h: float) -> Interval:
        """Return the Brier score, mean over leads, of `model` minus that of `other`, on paired resamples."""
        row = self.protocol.thresholds_mm_h.index(threshold_mm_h)
        return self._brier_differences(model, other).at(row)

    def crps_difference(self, model: str, other: str) -> Interval:
        """Return the CRPS, mean over leads, of `model` minus that of `other` (mm h-1), on paired resamples."""
        first, second = (mean_over_leads(self._crps_samples(each, self.main_source(each))) for each in (model, other))
        return confidence_intervals(first - second).at()

    def _brier_differences(self, model: str, other: str) -> IntervalArrays:
        first, second = (mean_over_leads(self._brier_samples(each, self.main_source(each))) for each in (model, other))
        return confidence_intervals(first - second)

    def decomposition(self, model: str, source: str) -> Array:
        """Return the terms of scores.DECOMPOSITION [term, threshold, lead] of the Brier score of all shares.

        Of members, they add up to the score with the penalty for their number.
        """
        return np.moveaxis(scores.decomposition(self._bins(model, source).sum(axis=0)), -2, 0)

    def decomposition_means(self, model: str, source: str) -> IntervalArrays:
        """Return the terms of scores.DECOMPOSITION, mean over leads [threshold, term]."""
        terms = scores.decomposition(self._resampled(self._bins(model, source)))
        return confidence_intervals(mean_over_leads(terms))

    def roc_area(self, model: str, source: str) -> Array:
        """Return the area below the ROC curve [threshold, lead]."""
        return scores.roc_area(self._bins(model, source).sum(axis=0))

    def mean_roc_area(self, model: str, source: str) -> IntervalArrays:
        """Return the area below the ROC curve, mean over leads [threshold]."""
        return confidence_intervals(mean_over_leads(scores.roc_area(self._resampled(self._bins(model, source)))))

    def reliability_curve(self, model: str, source: str) -> scores.ReliabilityCurve:
        """Return the reliability diagram over all leads [threshold, bin]."""
        return scores.reliability_curve(self._reliability_bins(model, source).sum(axis=-1))

    def observed_share_intervals(self, model: str, source: str) -> IntervalArrays:
        """Return the observed share of each bin of the reliability diagram, over all leads [threshold, bin]."""
        bins = self._merged(self._bins(model, source).sum(axis=-1), axis=-2)
        return confidence_intervals(scores.reliability_curve(self._resampled(bins)).observed)

    def largest_deviation(self, model: str, source: str) -> tuple[Array, Array]:
        """Return the largest deviation of the reliability diagram [threshold], and at each lead [threshold, lead]."""
        bins = self._reliability_bins(model, source)
        fewest = self.protocol.fewest_pixels
        by_lead = scores.largest_deviation(np.moveaxis(bins, -1, 1), fewest)
        return scores.largest_deviation(bins.sum(axis=-1), fewest), by_lead

    def spread_error(self, model: str) -> IntervalArrays:
        """Return the spread of the members over the error of their mean [lead]."""
        return confidence_intervals(self._spread_samples(model))

    def mean_spread_error(self, model: str) -> IntervalArrays:
        """Return the spread of the members over the error of their mean, mean over leads."""
        return confidence_intervals(mean_over_leads(self._spread_samples(model)))

    def ranks(self, model: str) -> tuple[Array, Array]:
        """Return the rank histograms [rank, lead]: of all pixels, and of those with rain in truth or a member."""
        every, wet = self._sums(model)["ranks"][0]
        return every, wet

    def fields(self, model: str) -> tuple[str, ...]:
        """Return the names of the fields of a model; the first is the one that it publishes."""
        return self.accumulators[model].fields

    def field_scores(self, model: str, name: str) -> Mapping[str, IntervalArrays]:
        """Return scores of a field, mean over leads: `mae`, `rmse` (mm h-1); `csi`, `bias`, `brier` [threshold]."""
        row = self.fields(model).index(name)
        pixels = self._resampled(self._sums(model)["pixels"])
        errors = ratio(self._resampled(self._sums(model)["errors"][:, row]), pixels[:, None])
        hits, misses, alarms = np.moveaxis(self._resampled(self._sums(model)["contingency"][:, row]), 2, 0)
        rest = pixels[:, None] - hits - misses - alarms
        tables = {"tp_count": hits, "fn_count": misses, "fp_count": alarms, "tn_count": rest}
        found = {
            "mae": errors[:, 0],
            "rmse": np.sqrt(errors[:, 1]),
            "csi": contingency_score(tables, "csi"),
            "bias": contingency_score(tables, "bias"),
            "brier": ratio(misses + alarms, pixels[:, None]),
        }
        return {score: confidence_intervals(mean_over_leads(samples)) for score, samples in found.items()}

    def area_scores(self, model: str) -> Mapping[str, IntervalArrays]:
        """Return scores of totals over areas (mm): `mae`, `energy` and, of members, `crps`."""
        sums = self._sums(model)
        if "area_counts" not in sums:
            return {}
        areas, starts = np.moveaxis(self._resampled(sums["area_counts"]), -1, 0)
        found = {"mae": ratio(self._resampled(sums["area_errors"]), areas)}
        if "area_crps" in sums:
            found["crps"] = ratio(self._resampled(sums["area_crps"]), areas)
        found["energy"] = ratio(self._resampled(sums["area_energy"]), starts)
        return {score: confidence_intervals(samples) for score, samples in found.items()}

    def area_difference(self, model: str, other: str) -> Interval | None:
        """Return the CRPS of totals over areas of `model` minus that of `other` (mm); None without areas."""
        first, second = (self._area_samples(each) for each in (model, other))
        if first is None or second is None:
            return None
        return confidence_intervals(first - second).at()

    def area_counts(self, model: str) -> tuple[int, int]:
        """Return the number of totals over areas, and of start times that have some."""
        counts = self._sums(model).get("area_counts")
        return (0, 0) if counts is None else (int(counts[:, 0].sum()), int(counts[:, 1].sum()))

    def area_ranks(self, model: str) -> Array:
        """Return the rank histogram of totals over areas [rank]."""
        ranks: Array = self._sums(model)["area_ranks"][0]
        return ranks

    def power(self, model: str) -> tuple[tuple[str, ...], Array]:
        """Return the names of the spectra (truth, fields, members), and their mean power [name, ring, lead]."""
        names = ("truth", *self.fields(model), *((MEMBERS,) if "ranks" in self._sums(model) else ()))
        return names, self._sums(model)["power"][0] / self.starts

    @property
    def interval_note(self) -> str:
        """Return how the intervals were computed, or why there are none."""
        return interval_note(self.blocks, len(self.days), short_blocks=self.short_blocks)

    def _sums(self, model: str) -> dict[str, Array]:
        return self.accumulators[model].sums

    def _bins(self, model: str, source: str) -> Array:
        """Return the sums of bins [block, threshold, bin, sum, lead]."""
        return self._sums(model)[f"{source}_bins"]

    def _merged(self, bins: Array, axis: int) -> Array:
        protocol = self.protocol
        return scores.merged_bins(bins, protocol.probability_edges, protocol.reliability_edges, axis)

    def _reliability_bins(self, model: str, source: str) -> Array:
        """Return the sums of the bins of the reliability diagram [threshold, bin, sum, lead]."""
        return self._merged(self._bins(model, source).sum(axis=0), axis=-3)

    def _brier_samples(self, model: str, source: str) -> Array:
        """Return the Brier score under each resample [1 + RESAMPLES, threshold, lead]."""
        # The score is a function of the sums over all bins, which are far fewer to resample.
        totals = self._resampled(self._bins(model, source).sum(axis=2, keepdims=True))
        return scores.brier(totals, self.protocol.members if source == MEMBERS else None)

    def _crps_samples(self, model: str, source: str) -> Array:
        pixels = self._resampled(self._sums(model)["pixels"])
        return ratio(self._resampled(self._sums(model)[f"{source}_crps"]), pixels)

    def _spread_samples(self, model: str) -> Array:
        return scores.spread_error_ratio(self._resampled(self._sums(model)["spread"]), self.protocol.members)

    def _area_samples(self, model: str) -> Array | None:
        sums = self._sums(model)
        if "area_counts" not in sums:
            return None
        errors = sums.get("area_crps", sums["area_errors"])
        return ratio(self._resampled(errors), self._resampled(sums["area_counts"][:, 0]))

    @cached_property
    def _block_weights(self) -> Array:
        return block_weights(self.blocks)

    def _resampled(self, sums: Array) -> Array:
        """Return sums [block, ..] under each resample [1 + RESAMPLES, ..]."""
        return (self._block_weights @ sums.reshape(self.blocks, -1)).reshape(-1, *sums.shape[1:])
