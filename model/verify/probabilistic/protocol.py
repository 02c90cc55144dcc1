"""The protocol of probabilistic verification as data: starts, window, thresholds, bins, and areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.core.forecast_output import DEFAULT_THRESHOLDS_MM_H
from model.data.archive import Archive
from model.verify.cases import RegularStarts


@dataclass(frozen=True, kw_only=True)
class ProbabilisticProtocol:
    """A named, versioned way to score probabilities and members.

    Attributes
    ----------
    name : str
        NAME@VERSION, and the options that differ from their default; a change to the meaning of a score is a new
        version.
    description : str
        The definition as text, for reports.
    selection : RegularStarts
        Which start times are forecast.
    thresholds_mm_h : tuple of float
        An event is rain at or above a threshold.
    distribution_thresholds_mm_h : tuple of float
        Thresholds of the probabilities from which the CRPS of a model without a distribution is computed. A model with
        one is asked for probabilities at its own thresholds.
    probability_edges : tuple of float
        Lower edges of the bins of forecast probability, ascending from 0.
    reliability_edges : tuple of float
        Lower edges of the bins of the reliability diagram, a part of `probability_edges`.
    fewest_pixels : int
        Pixels that a bin of the reliability diagram must have to count in its deviation.
    area_km : float
        Side of the squares over which totals are scored.
    area_share : float
        Share of the pixels of a square that must be scored at every lead.
    window_px : int
        Side of the window that is scored: the wettest of each start time by the truth; 0: the domain.
    margin_km : float
        Width of the frame around the window that models read, too, as far as the domain has it: rain that enters the
        window within the hour.
    members : int
        Members that each model that makes some is asked for; 0: none.
    seed : int
        Seed of the members, and of the ranks of ties.
    spectrum_lead_minutes : tuple of float
        Lead times of the power spectra.
    """

    name: str
    description: str
    selection: RegularStarts
    thresholds_mm_h: tuple[float, ...] = DEFAULT_THRESHOLDS_MM_H
    distribution_thresholds_mm_h: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0)
    probability_edges: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)))
    reliability_edges: tuple[float, ...] = (0.0, *(round(0.1 * step, 1) for step in range(1, 10)))
    fewest_pixels: int = 1000
    area_km: float = 16.0
    area_share: float = 0.75
    window_px: int = 0
    margin_km: float = 128.0
    members: int = 20
    seed: int = 0
    spectrum_lead_minutes: tuple[float, ...] = (30.0, 60.0)

    def with_options(
        self, *, members: int | None = None, window_px: int | None = None, stride_minutes: float | None = None
    ) -> ProbabilisticProtocol:
        """Return the protocol with other options, which its name then states: their scores must not mix.

        Raises
        ------
        InputError
            An option is out of its range.
        """
        changed: ProbabilisticProtocol = self
        if members is not None and members != self.members:
            if members < 0 or members == 1:
                raise InputError(f"members is {members}", where="members", hint="Ask for 2 members or more, or for 0")
            changed = replace(changed, members=members, name=f"{changed.name} members={members}")
        if window_px is not None and window_px != self.window_px:
            if window_px < 32:
                raise InputError(f"window is {window_px}", where="window", hint="Give a side of 32 pixels or more")
            changed = replace(changed, window_px=window_px, name=f"{changed.name} window={window_px}")
        if stride_minutes is not None and stride_minutes != self.selection.stride_minutes:
            if not stride_minutes > 0:
                raise InputError(
                    f"stride is {stride_minutes:g} min", where="stride-minutes", hint="Give a positive number"
                )
            selection = replace(self.selection, stride_minutes=stride_minutes)
            changed = replace(changed, selection=selection, name=f"{changed.name} stride={stride_minutes:g}")
        return changed

    def margin_px(self, archive: Archive) -> int:
        """Return the width of the margin in pixels."""
        return round(1000 * self.margin_km / float(np.mean(archive.grid.pixel_size_m)))

    def case_size(self, archive: Archive, required: int) -> tuple[int, int]:
        """Return the numbers of input frames and of forecast frames of a case; see `Protocol.case_size`."""
        return self.selection.context_length(required), self.selection.lead_count(archive.step_minutes)


NOWCAST_60_PROB: Final = ProbabilisticProtocol(
    name="nowcast-60-prob@1",
    selection=RegularStarts(horizon_minutes=60, stride_minutes=30),
    description=(
        "start times every 30 min unless the name says otherwise (stride, in minutes); leads at the time step of the "
        "archive to 60 min; with a window, only the wettest square of that many pixels by the truth of the hour is "
        "scored, and all models read it and 128 km around it; a pixel is scored where the truth and every compared "
        "forecast hold data; an event is rain >= threshold; scores of members are those of infinitely many of them "
        "(fair)"
    ),
)
PROBABILISTIC_PROTOCOLS: Final[Mapping[str, ProbabilisticProtocol]] = MappingProxyType(
    {"nowcast-60-prob": NOWCAST_60_PROB}
)
