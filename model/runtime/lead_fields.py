"""From what a graph returns at a lead step to what the forecast holds: one field, probabilities, members."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model.core.forecast_output import ForecastOutput
from model.core.manifest import Distribution
from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.rain_distribution import RainDistribution
from model.core.units import FloatArray
from model.runtime.advection import DeparturePoints, advect, advect_planes
from model.runtime.members import MemberGenerator
from model.runtime.request import LeadFields

BAND = 256
"""Rows that are converted at a time. A frame of a continent is 100 MB, and so is each temporary of the conversion."""


class DeterministicFields:
    """The single field of a network without a distribution.

    Parameters
    ----------
    known : ndarray of bool
        Where the newest frame holds data [y, x].
    arrivals : iterator of DeparturePoints, optional
        For each lead step, where what arrives at a pixel comes from; None: fields stay in place.
    """

    planes = 1

    def __init__(self, known: NDArray[np.bool_], arrivals: Iterator[DeparturePoints] | None) -> None:
        self._known = known
        self._arrivals = arrivals

    def reduce(self, step: int, planes: FloatArray) -> FloatArray:
        """See ForecastTask.reduce."""
        return planes

    def __call__(self, planes: FloatArray) -> LeadFields:
        """See ForecastTask.to_fields."""
        ny, nx = self._known.shape
        rain = to_rain_rate(planes[0, :ny, :nx], self._known)
        return LeadFields(rain if self._arrivals is None else advect(rain, next(self._arrivals)))


class DistributionFields:
    """The fields of a network with a distribution.

    Field and probabilities are made where the network forecasts, in its frame of reference, and are moved afterwards.
    Without members each tile is reduced to what was asked for before tiles are blended. Members are made from the
    moved distributions, so that interpolation does not smooth their rain.

    Parameters
    ----------
    distribution : Distribution
        Of the package.
    output : ForecastOutput
        What was asked for.
    known, arrivals
        See `DeterministicFields`.
    step_minutes : float
        Time step.
    ceiling_mm_h : float
        Largest rain rate of the field.
    members : MemberGenerator, optional
        Makes the members; needed if `output` asks for them.
    member_arrivals : iterator of DeparturePoints, optional
        The same for members of a network whose fields stay in place.
    """

    def __init__(
        self,
        distribution: Distribution,
        output: ForecastOutput,
        *,
        known: NDArray[np.bool_],
        arrivals: Iterator[DeparturePoints] | None,
        step_minutes: float,
        ceiling_mm_h: float,
        members: MemberGenerator | None = None,
        member_arrivals: Iterator[DeparturePoints] | None = None,
    ) -> None:
        self._distribution = distribution
        self._output = output
        self._known = known
        self._arrivals = arrivals
        self._step_minutes = step_minutes
        self._ceiling = np.float32(ceiling_mm_h)
        self._members = members
        self._member_arrivals = member_arrivals
        self._step = 0
        self.planes = len(distribution.thresholds_mm_h) if members is not None else 1 + len(output.thresholds_mm_h)

    def reduce(self, step: int, planes: FloatArray) -> FloatArray:
        """See ForecastTask.reduce: the field as a fraction, then the probabilities; all that there is for members."""
        return planes if self._members is not None else self._field_and_probabilities(step, planes)

    def __call__(self, planes: FloatArray) -> LeadFields:
        """See ForecastTask.to_fields."""
        self._step += 1
        ny, nx = self._known.shape
        planes = planes[:, :ny, :nx]
        origins = None if self._arrivals is None else next(self._arrivals)
        made = planes if self._members is None else self._field_and_probabilities(self._step, planes)
        made[0] = to_rain_rate(made[0], self._known)
        np.copyto(made[1:], np.float32(np.nan), where=~self._known)
        if origins is not None:
            advect_planes(made, origins)
        field, probability = made[0], made[1:] if len(made) > 1 else None
        if self._members is None:
            return LeadFields(field, probability)
        # Tiles that are not computed, far from any rain, and pixels without data have no rain in any member.
        exceedance = self._with_gaps(planes)
        if origins is not None:
            exceedance = advect_planes(exceedance, origins)
        elif self._member_arrivals is not None:
            origins = next(self._member_arrivals)
        return LeadFields(field, probability, self._members.all_at_next_lead(exceedance, origins))

    def _with_gaps(self, planes: FloatArray) -> FloatArray:
        """Return planes [plane, y, x], NaN where there is no data."""
        return np.where(self._known, planes, np.float32(np.nan))

    def _field_and_probabilities(self, step: int, exceedance: FloatArray) -> FloatArray:
        """Return the field as an HKO-7 fraction and the probabilities that were asked for [1 + threshold, y, x]."""
        settings, output = self._distribution, self._output
        made = np.empty((1 + len(output.thresholds_mm_h), *exceedance.shape[1:]), np.float32)
        of_field = output.field or settings.default_field
        cuts = settings.cuts_at(step * self._step_minutes)
        if of_field == "sharp":
            cuts = RainDistribution(settings.thresholds_mm_h, exceedance, settings.tail_mm_h).best_cuts(cuts)
        for top in range(0, exceedance.shape[1], BAND):
            rows = slice(top, top + BAND)
            rain = RainDistribution(settings.thresholds_mm_h, exceedance[:, rows], settings.tail_mm_h)
            match of_field:
                case "expected":
                    field = rain.expected()
                case "median":
                    field = rain.median()
                case "sharp":
                    field = rain.sharp(cuts)
            made[0, rows] = hko7_fraction(np.minimum(field, self._ceiling))
            made[1:, rows] = rain.probability_of_exceedance(output.thresholds_mm_h)
        return made


def to_rain_rate(fraction: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """Return the rain rate [y, x] (mm h-1) of fractions; NaN where `known` is false."""
    rain = np.full(fraction.shape, np.nan, np.float32)
    for top in range(0, len(rain), BAND):
        rows = slice(top, top + BAND)
        np.copyto(rain[rows], hko7_rain_rate_mm_h(fraction[rows]), where=known[rows])
    return rain
