"""What a model forecasts for one lead time, in the forms that are scored: fields, a distribution, members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.core.forecast_output import DETERMINISTIC, FIELDS
from model.core.model_info import ModelInfo
from model.core.rain_distribution import RainDistribution
from model.core.units import FloatArray
from model.runtime.request import ForecastEvent
from model.verify.steps import MembersInfo

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class LeadForecast:
    """A forecast for one lead time on [y, x], or on a list of pixels.

    Attributes
    ----------
    fields : mapping of str to array
        Rain rate (mm h-1, NaN = unknown) by name of the field, at least one; the first is the one that is published.
    distribution : RainDistribution, optional
        Probabilities of exceedance.
    members : array [realization, ..], optional
        Rain rate (mm h-1, NaN = unknown).
    """

    fields: Mapping[str, FloatArray]
    distribution: RainDistribution | None = None
    members: FloatArray | None = None

    def known(self) -> Mask:
        """Return where everything that the model forecasts is known [y, x]."""
        known = np.logical_and.reduce([np.isfinite(field) for field in self.fields.values()])
        if self.distribution is not None:
            known &= np.isfinite(self.distribution.exceedance).all(axis=0)
        if self.members is not None:
            known &= np.isfinite(self.members).all(axis=0)
        return np.asarray(known)

    def at(self, pixels: Mask | slice) -> LeadForecast:
        """Return the forecast at a list of pixels, or at a part of such a list."""
        distribution = self.distribution
        return LeadForecast(
            fields={name: field[pixels] for name, field in self.fields.items()},
            distribution=distribution and replace(distribution, exceedance=distribution.exceedance[:, pixels]),
            members=None if self.members is None else self.members[:, pixels],
        )

    def total_field(self) -> FloatArray:
        """Return the field that totals are added up from: the mean where there is one."""
        return self.fields.get("expected", next(iter(self.fields.values())))


def lead_forecast(
    event: ForecastEvent, info: ModelInfo, lead_minutes: float, thresholds_mm_h: tuple[float, ...]
) -> LeadForecast:
    """Return the forecast of an event that has a frame.

    Parameters
    ----------
    event : ForecastEvent
        With a frame.
    info : ModelInfo
        The model.
    lead_minutes : float
        Lead time.
    thresholds_mm_h : tuple of float
        Thresholds of the request.
    """
    if event.frame is None:
        raise ValueError("the event has no frame")
    if isinstance(info, MembersInfo):
        return LeadForecast(fields=_fields_of_members(event.frame, event.members), members=event.members)
    if event.probability is None:
        raise ValueError(f"{info.reference} gives no probabilities")
    if info.distribution is None:
        return LeadForecast(
            fields={DETERMINISTIC: event.frame},
            distribution=RainDistribution(thresholds_mm_h, event.probability),
            members=event.members,
        )
    distribution = RainDistribution(thresholds_mm_h, event.probability, info.distribution.tail_mm_h)
    published = event.request.output.field or info.distribution.default_field
    fields: dict[str, FloatArray] = {published: event.frame}
    for name in FIELDS:
        if name not in fields:
            cuts = distribution.best_cuts(info.distribution.cuts_at(lead_minutes))
            fields[name] = distribution.sharp(cuts) if name == "sharp" else getattr(distribution, name)()
    return LeadForecast(fields=fields, distribution=distribution, members=event.members)


def _fields_of_members(frame: FloatArray, members: FloatArray | None) -> dict[str, FloatArray]:
    """Return the mean and the median of members; the only frame without any."""
    if members is None:
        return {"expected": frame}
    return {"expected": frame, "median": np.asarray(np.median(members, axis=0), np.float32)}
