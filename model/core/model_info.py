"""Description of a model version for clients, and the baselines, which exist everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, computed_field

from model.core.errors import InputError, StepsOutOfRange
from model.core.forecast_output import FIELDS, ForecastOutput
from model.core.manifest import (
    MAX_LEAD_STEPS,
    ContextMinutes,
    DataKind,
    Distribution,
    LayerProfile,
    Manifest,
    Score,
    TimeStepRange,
)
from model.core.package_digest import package_digest
from model.core.units import DRY_RAIN_RATE_MM_H

MAX_BASELINE_LEAD_MINUTES: Final = 720.0
USUAL_STEP_MINUTES: Final = 5.0


class ModelInfo(BaseModel):
    """One version of a model, with all that a client needs to choose it.

    `min_input_frames`: the fewest frames that the model accepts, where that is not `input_frames`. `grid`: the only
    (rows, columns) that the model accepts, None for any. `data`: only models of rain make nowcasts. `fields`: exogenous
    fields that the network reads. `variants`: precisions in which the package has a graph. `distribution`: of a network
    that forecasts one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    kind: Literal["baseline", "network"]
    summary: str
    input_frames: int
    min_input_frames: int | None = None
    time_step: TimeStepRange
    max_steps: int = MAX_LEAD_STEPS
    max_lead_minutes: float = MAX_BASELINE_LEAD_MINUTES
    grid: tuple[int, int] | None = None
    scores: tuple[Score, ...] = ()
    licence: str = "Apache-2.0"
    digest: str = ""
    folder: Path | None = None
    data: DataKind = "rain"
    fields: tuple[str, ...] = ()
    layers: tuple[LayerProfile, ...] = ()
    variants: tuple[str, ...] = ()
    distribution: Distribution | None = None

    @classmethod
    def from_manifest(cls, manifest: Manifest, folder: Path) -> Self:
        """Describe the package in `folder`.

        Raises
        ------
        BadPackage
            The manifest can no longer be read.
        """
        return cls(
            name=manifest.name,
            version=manifest.version,
            kind="network",
            summary=manifest.summary,
            input_frames=manifest.input_frames,
            time_step=manifest.time_step,
            max_steps=manifest.max_steps,
            max_lead_minutes=manifest.max_lead_minutes,
            grid=manifest.grid,
            scores=manifest.scores,
            licence=manifest.licence,
            digest=package_digest(folder),
            folder=folder,
            data=manifest.kind,
            fields=manifest.fields,
            layers=manifest.layers,
            variants=tuple(manifest.variants),
            distribution=manifest.distribution,
        )

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def check_output(self, output: ForecastOutput) -> None:
        """Check that the model can give what a forecast is asked to hold.

        Raises
        ------
        InputError
            The model has no such field, no probability of so little rain, or makes no members.
        """
        for error in self._missing(output):
            raise error

    def closest_output(self, output: ForecastOutput) -> tuple[ForecastOutput, str]:
        """Return what the model can give of what a forecast is asked to hold, and a note on what it cannot.

        A field that it does not have becomes its own; thresholds below its first one are left out, and so are members
        that it does not make.
        """
        missing = list(self._missing(output))
        lacking = {error.where for error in missing}
        field = None if "field" in lacking else output.field
        members = 0 if "members" in lacking else output.members
        thresholds = tuple(each for each in output.thresholds_mm_h if each >= self.first_threshold_mm_h)
        closest = replace(output, field=field, thresholds_mm_h=thresholds, members=members)
        return closest, "; ".join(error.what for error in missing)

    def _missing(self, output: ForecastOutput) -> Iterator[InputError]:
        """Yield an error, whose `where` is the option that asks for it, for each part that it cannot give."""
        if output.field is not None and self.distribution is None:
            yield InputError(
                f"{self.reference} forecasts a single field, and no {output.field} one: it has no distribution",
                where="field",
                hint="Leave field out, or choose a model with a distribution (`echocast models list`)",
            )
        if output.thresholds_mm_h and output.thresholds_mm_h[0] < self.first_threshold_mm_h:
            yield InputError(
                f"{self.reference} forecasts no probability of less than {self.first_threshold_mm_h:g} mm/h",
                where="probabilities",
                hint=f"Ask for thresholds from {self.first_threshold_mm_h:g} mm/h on, or choose another model",
            )
        if output.members and not self.makes_members:
            yield InputError(
                f"{self.reference} makes no members: it has no distribution",
                where="members",
                hint="Ask for probabilities, which it gives; or choose extrapolation, or a model with a distribution",
            )

    @property
    def first_threshold_mm_h(self) -> float:
        """The lowest threshold (mm h-1) of the model's probabilities."""
        return DRY_RAIN_RATE_MM_H if self.distribution is None else self.distribution.thresholds_mm_h[0]

    @property
    def makes_members(self) -> bool:
        """Whether the model makes members: from its distribution, or as extrapolation from an empirical one."""
        return self.distribution is not None or self.name == EXTRAPOLATION.name

    @property
    def forecast_fields(self) -> tuple[str, ...]:
        """The fields that can be asked for; none of a model without a distribution."""
        return () if self.distribution is None else FIELDS

    @property
    def scored_lead_minutes(self) -> float | None:
        """The longest lead time that the model's scores cover; None without scores.

        A score that is a mean over leads covers those of its protocol, which names them: `nowcast-60@1`.
        """
        leads = [score.lead_minutes or _protocol_minutes(score.protocol) for score in self.scores]
        return max((lead for lead in leads if lead is not None), default=None)

    @computed_field
    def context_minutes(self) -> ContextMinutes:
        """Return the time span of the input frames, from the first to the newest."""
        return self.time_step.context(self.input_frames)

    def max_steps_at(self, step_minutes: float | None = None) -> int:
        """Return the most lead steps at a time step; without one, at the shortest time step of the model."""
        step = step_minutes or self.time_step.min_minutes
        return min(self.max_steps, int(self.max_lead_minutes / step + 1e-6))

    def check_steps(self, steps: int, step_minutes: float | None = None) -> None:
        """Check the number of lead steps, at a time step where one is known.

        Raises
        ------
        StepsOutOfRange
            The model cannot forecast so many steps.
        """
        most = self.max_steps_at(step_minutes)
        if 1 <= steps <= most:
            return
        if step_minutes is not None and steps * step_minutes > self.max_lead_minutes:
            raise StepsOutOfRange(
                f"{steps} steps of {step_minutes:g} min are {steps * step_minutes:g} min, {self.reference} forecasts "
                f"up to {self.max_lead_minutes:g} min",
                where="steps",
                hint=f"Ask for at most {most} steps",
            )
        of = ""
        if step_minutes is None and most < self.max_steps:
            # The lead time is the limit, not the number of steps: name the limit at the usual time step of radars.
            usual = USUAL_STEP_MINUTES if self.time_step.contains(USUAL_STEP_MINUTES) else self.time_step.min_minutes
            most, of = self.max_steps_at(usual), f" where frames are {usual:g} min apart"
        raise StepsOutOfRange(
            f"steps is {steps}, {self.reference} forecasts 1 to {most}{of}"
            + (f", up to {self.max_lead_minutes:g} min" if of else ""),
            where="steps",
            hint=f"Ask for 1 to {most} steps{of}",
        )


def _protocol_minutes(protocol: str) -> float | None:
    named = re.match(r"nowcast-(\d+)\b", protocol)
    return None if named is None else float(named[1])


ANY_TIME_STEP: Final = TimeStepRange(min_minutes=0.5, max_minutes=60)
_baseline = partial(ModelInfo, version="1", kind="baseline", time_step=ANY_TIME_STEP)
PERSISTENCE: Final = _baseline(name="persistence", summary="The newest frame stays as it is.", input_frames=2)
EXTRAPOLATION: Final = _baseline(
    name="extrapolation",
    summary="The newest frame moves along optical flow (DIS), semi-Lagrangian.",
    input_frames=3,
    min_input_frames=2,
)
BASELINES: Final = (PERSISTENCE, EXTRAPOLATION)
