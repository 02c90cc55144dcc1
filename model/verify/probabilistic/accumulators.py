"""Sums over the start times of a probabilistic verification, from which all scores follow; so memory stays flat.

The first axis of every sum is blocks of time, which the intervals resample (`model.core.bootstrap`); sums without an
interval have a single row there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.probability_scores import BIN_SUMS, bin_sums, members_crps
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.verify.frames import MaskedFrame
from model.verify.probabilistic.crps import distribution_crps, fair_energy_score
from model.verify.probabilistic.forecast import LeadForecast, Mask
from model.verify.probabilistic.protocol import ProbabilisticProtocol
from model.verify.spectrum import rapsd, wavenumbers

Array = NDArray[np.float64]
Sums = dict[str, Array]

PROBABILITIES: Final = "probabilities"
MEMBERS: Final = "members"
"""The two sources of probabilities: a distribution or a neighbourhood; and the shares of members."""

PIXELS_AT_ONCE: Final = 2**18
"""Scores of members take some hundred bytes for each pixel: of a large domain, more pixels follow."""


@dataclass(kw_only=True)
class Accumulators:
    """The sums of one model.

    Attributes
    ----------
    protocol : ProbabilisticProtocol
        Thresholds, bins and members.
    lead_minutes : tuple of float
        Lead times.
    blocks : int
        Number of blocks of time.
    shape : tuple of int
        Rows and columns of what is scored.
    sums : dict of str to array
        By name; they appear with the first forecast that has what they count.
    kinds : tuple, optional
        Names of the model's fields, in the order of the sums; and whether it makes members. None before the first
        forecast.
    """

    protocol: ProbabilisticProtocol
    lead_minutes: tuple[float, ...]
    blocks: int
    shape: tuple[int, int]
    sums: Sums = field(default_factory=dict)
    kinds: tuple[tuple[str, ...], bool] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the model's fields; the first is the one that it publishes."""
        return self.kinds[0] if self.kinds else ()

    @property
    def spectrum_leads(self) -> tuple[int, ...]:
        """Return the indices of the leads whose spectra are computed."""
        wanted = self.protocol.spectrum_lead_minutes
        return tuple(index for index, minutes in enumerate(self.lead_minutes) if minutes in wanted)

    def add(
        self, block: int, lead: int, forecast: LeadForecast, truth: FloatArray, scored: Mask, start: np.datetime64
    ) -> None:
        """Add the forecast of one lead time [y, x], at the pixels `scored`."""
        kinds = (tuple(forecast.fields), forecast.members is not None)
        if self.kinds not in (None, kinds):
            raise RuntimeError(f"a model forecasts {kinds} at {start}, and {self.kinds} before")
        self.kinds = kinds
        self._sum("pixels", (len(self.lead_minutes),))[block, lead] += np.count_nonzero(scored)
        listed, truths = forecast.at(scored), truth[scored]
        seed = (self.protocol.seed, int(start.astype("datetime64[s]").astype(np.int64)), lead)
        generator = np.random.default_rng(seed)
        for first in range(0, truths.size, PIXELS_AT_ONCE):
            part = slice(first, first + PIXELS_AT_ONCE)
            pixels, rain = listed.at(part), truths[part]
            self._add_probabilities(block, lead, pixels, rain)
            self._add_fields(block, lead, pixels, rain)
            if pixels.members is not None:
                self._add_members(block, lead, pixels.members, rain, generator)
        if lead in self.spectrum_leads:
            self._add_spectra(lead, forecast, truth, scored)

    def _add_probabilities(self, block: int, lead: int, forecast: LeadForecast, rain: FloatArray) -> None:
        """Add to the bins of probability, and to the CRPS."""
        thresholds = self.protocol.thresholds_mm_h
        sources: dict[str, tuple[FloatArray, Array]] = {}
        if forecast.distribution is not None:
            probability = forecast.distribution.probability_of_exceedance(thresholds)
            sources[PROBABILITIES] = (probability, distribution_crps(forecast.distribution, rain))
        if forecast.members is not None:
            shares = np.stack([(forecast.members >= threshold).mean(axis=0) for threshold in thresholds])
            shares = shares.astype(np.float32)
            sources[MEMBERS] = (shares, members_crps(forecast.members, rain))
        for source, (shares, errors) in sources.items():
            bins = self._sum(f"{source}_bins", (len(thresholds), *self._bin_shape, len(self.lead_minutes)))
            for row, threshold in enumerate(thresholds):
                bins[block, row, ..., lead] += bin_sums(shares[row], rain >= threshold, self.protocol.probability_edges)
            self._sum(f"{source}_crps", (len(self.lead_minutes),))[block, lead] += errors.sum()

    @property
    def _bin_shape(self) -> tuple[int, int]:
        return len(self.protocol.probability_edges), len(BIN_SUMS)

    def _add_fields(self, block: int, lead: int, forecast: LeadForecast, rain: FloatArray) -> None:
        """Add hits, misses and false alarms, and the absolute and squared error, of each field."""
        thresholds, leads = self.protocol.thresholds_mm_h, len(self.lead_minutes)
        contingency = self._sum("contingency", (len(self.fields), len(thresholds), 3, leads))
        errors = self._sum("errors", (len(self.fields), 2, leads))
        for number, name in enumerate(self.fields):
            error = np.asarray(forecast.fields[name], np.float64) - rain
            errors[block, number, :, lead] += (np.abs(error).sum(), np.vdot(error, error))
            for row, threshold in enumerate(thresholds):
                said, seen = forecast.fields[name] >= threshold, rain >= threshold
                counts = (said & seen, ~said & seen, said & ~seen)
                contingency[block, number, row, :, lead] += [np.count_nonzero(count) for count in counts]

    def _add_members(
        self, block: int, lead: int, members: FloatArray, rain: FloatArray, generator: np.random.Generator
    ) -> None:
        """Add spread and error of the members, and the ranks of the truth."""
        values = np.asarray(members, np.float64)
        error = values.mean(axis=0) - rain
        spread = self._sum("spread", (2, len(self.lead_minutes)))
        spread[block, :, lead] += (values.var(axis=0, ddof=1).sum(), np.vdot(error, error))
        ranks = truth_ranks(members, rain, generator)
        wet = (rain >= DRY_RAIN_RATE_MM_H) | (members >= DRY_RAIN_RATE_MM_H).any(axis=0)
        size = len(members) + 1
        histograms = self._sum("ranks", (2, size, len(self.lead_minutes)), resampled=False)
        histograms[0, 0, :, lead] += np.bincount(ranks, minlength=size)
        histograms[0, 1, :, lead] += np.bincount(ranks[wet], minlength=size)

    def _add_spectra(self, lead: int, forecast: LeadForecast, truth: FloatArray, scored: Mask) -> None:
        """Add the power of the truth, of each field, and the mean power of the members."""

        def spectrum(rain: FloatArray) -> Array:
            return rapsd(MaskedFrame.from_rain_rate(rain, scored).fraction)

        power = [spectrum(truth), *(spectrum(forecast.fields[name]) for name in self.fields)]
        if forecast.members is not None:
            power.append(np.mean([spectrum(member) for member in forecast.members], axis=0))
        rows = (len(power), wavenumbers(self.shape).size, len(self.lead_minutes))
        self._sum("power", rows, resampled=False)[0, ..., lead] += power

    def add_areas(self, block: int, forecast: AreaTotals, truth: FloatArray, start: np.datetime64) -> None:
        """Add the totals of a start time over areas; `truth` [area] in mm."""
        if not truth.size:
            return
        self._sum("area_counts", (2,))[block] += (truth.size, 1)
        self._sum("area_errors", ())[block] += np.abs(np.asarray(forecast.field, np.float64) - truth).sum()
        if forecast.members is None:
            self._sum("area_energy", ())[block] += fair_energy_score(forecast.field[None], truth)
            return
        generator = np.random.default_rng((self.protocol.seed, int(start.astype("datetime64[s]").astype(np.int64))))
        self._sum("area_crps", ())[block] += members_crps(forecast.members, truth).sum()
        self._sum("area_energy", ())[block] += fair_energy_score(forecast.members, truth)
        size = len(forecast.members) + 1
        ranks = truth_ranks(forecast.members, truth, generator, dry=AREA_DRY_MM)
        self._sum("area_ranks", (size,), resampled=False)[0] += np.bincount(ranks, minlength=size)

    def _sum(self, name: str, shape: tuple[int, ...], *, resampled: bool = True) -> Array:
        """Return the sum of that name [block, ..], zero at first."""
        if name not in self.sums:
            self.sums[name] = np.zeros((self.blocks if resampled else 1, *shape))
        return self.sums[name]


AREA_DRY_MM: Final = 0.01
"""Totals over an area below this are dry (mm): they share their rank at random."""


def truth_ranks(
    members: FloatArray, truth: FloatArray, generator: np.random.Generator, dry: float = DRY_RAIN_RATE_MM_H
) -> NDArray[np.intp]:
    """Return the rank of the truth among the members [..], 0 to their number; ties are broken at random.

    Values below `dry` are equal (Hamill 2001, doi 10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2).

    Parameters
    ----------
    members : array [realization, ..]
        Without NaN.
    truth : array [..]
        Without NaN.
    generator : numpy.random.Generator
        Breaks the ties.
    dry : float
        Values below it count as 0.
    """
    forecast = np.where(members >= dry, members, 0)
    observed = np.where(truth >= dry, truth, 0)
    below = np.count_nonzero(forecast < observed, axis=0)
    ties = np.count_nonzero(forecast == observed, axis=0)
    return np.asarray(below + generator.integers(0, ties, endpoint=True), np.intp)


@dataclass(frozen=True, kw_only=True, eq=False)
class AreaTotals:
    """Totals over areas (mm): of a field [area], and of members [realization, area]."""

    field: FloatArray
    members: FloatArray | None = None


@dataclass(kw_only=True)
class HourTotals:
    """Rain rates of one start time, added up over its leads at the pixels that are scored at each of them.

    Attributes
    ----------
    side_px : int
        Side of an area in pixels.
    share : float
        Share of the pixels of an area that must be scored.
    hours : float
        Length of a time step.
    """

    side_px: int
    share: float
    hours: float
    scored: Mask | None = None
    truth: FloatArray | None = None
    fields: dict[str, FloatArray] = field(default_factory=dict)
    members: dict[str, FloatArray] = field(default_factory=dict)

    def add(self, forecasts: Mapping[str, LeadForecast], truth: FloatArray, scored: Mask) -> None:
        """Add one lead time [y, x] of the truth and of each model."""
        self.scored = scored if self.scored is None else self.scored & scored
        self.truth = _added(self.truth, truth)
        for model, forecast in forecasts.items():
            self.fields[model] = _added(self.fields.get(model), forecast.total_field())
            if forecast.members is not None:
                self.members[model] = _added(self.members.get(model), forecast.members)

    def areas(self) -> tuple[FloatArray, Mapping[str, AreaTotals]]:
        """Return the totals over the areas (mm) that have enough pixels: of the truth [area], and of each model."""
        if self.scored is None or self.truth is None:
            raise ValueError("no lead time was added")
        totals = {
            model: AreaTotals(
                field=self._over_areas(total),
                members=self._over_areas(self.members[model]) if model in self.members else None,
            )
            for model, total in self.fields.items()
        }
        return self._over_areas(self.truth), totals

    def _over_areas(self, total: FloatArray) -> FloatArray:
        """Return the mean total [.., area] (mm) over the scored pixels of each area with enough of them."""
        if self.scored is None:
            raise ValueError("no lead time was added")
        pixels = _squares(self.scored.astype(np.float64), self.side_px)
        enough = pixels >= max(self.share * self.side_px**2, 1)
        sums = _squares(np.where(self.scored, total, 0), self.side_px)
        return np.asarray(sums[..., enough] / pixels[enough] * self.hours, np.float32)


def _added(total: FloatArray | None, rain: FloatArray) -> FloatArray:
    return np.array(rain, np.float32) if total is None else total + rain


def _squares(values: NDArray[np.floating], side: int) -> Array:
    """Return the sums over whole squares [.., row, column]; pixels beyond the last whole square are left out."""
    rows, columns = values.shape[-2] // side, values.shape[-1] // side
    cut = values[..., : rows * side, : columns * side]
    return np.asarray(cut.reshape(*values.shape[:-2], rows, side, columns, side).sum(axis=(-3, -1)), np.float64)


def area_side_px(area_km: float, pixel_size_m: tuple[float, float]) -> int:
    """Return the side of an area in pixels, at least 1."""
    return max(1, round(1000 * area_km / float(np.mean(pixel_size_m))))
