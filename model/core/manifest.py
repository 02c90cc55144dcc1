"""The manifest of a model package: a folder with `manifest.json`, weights, ONNX graphs and a card.

A version of a package never changes. `model.core.package_digest` checks the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.core.errors import BadPackage
from model.core.forecast_output import ForecastField
from model.core.probability_calibration import ProbabilityCalibration
from model.core.rain_distribution import TAIL_MM_H
from model.core.stored import upgrade_manifest

SCHEMA: Final = 2
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
MAX_LEAD_STEPS = 120

DataKind = Literal["rain", "frames"]
"""`rain`: HKO-7 fractions. `frames`: brightness in [0, 1] of any other video."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
RESERVED_NAMES: Final = frozenset({"auto", "champion", "challenger", "persistence", "extrapolation"})
"""Names of baselines and aliases, which no package may have."""


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"the name {name} is reserved")
    return name


Version = Annotated[str, Field(pattern=r"^\d+(\.\d+){0,2}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name without folders: no path leads out of the package."""


class Frozen(BaseModel):
    """Base of immutable models that refuse unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MinuteRange(Frozen):
    """A range of minutes, both ends included."""

    min_minutes: float
    max_minutes: float

    def __str__(self) -> str:
        """Return `2 to 15`, or `6` where both ends are the same."""
        low, high = f"{self.min_minutes:g}", f"{self.max_minutes:g}"
        return low if low == high else f"{low} to {high}"


class TimeStepRange(MinuteRange):
    """Time steps (minutes) of the training of a model, both ends included."""

    min_minutes: float = Field(gt=0)
    max_minutes: float = Field(gt=0)

    def contains(self, minutes: float) -> bool:
        """Whether a time step lies in the range."""
        return self.min_minutes - 1e-6 <= minutes <= self.max_minutes + 1e-6

    def context(self, frames: int) -> ContextMinutes:
        """Return the time span of so many frames, from the first to the newest."""
        return ContextMinutes(min_minutes=(frames - 1) * self.min_minutes, max_minutes=(frames - 1) * self.max_minutes)


class ContextMinutes(MinuteRange):
    """Time span of the input frames of a model, from the first to the newest, at the shortest and longest time step."""


class Normalisation(Frozen):
    """Scale of the network's input; `hko7-fraction` is `model.core.normalisation.hko7_fraction`."""

    kind: Literal["hko7-fraction"] = "hko7-fraction"


Area = tuple[float, float, float, float]
"""West, south, east, north (degrees); west may be below -180, and east above 180."""


@dataclass(frozen=True, kw_only=True)
class TrainingArchive:
    """Days (YYYY-MM-DD) of an archive that weights were trained on.

    `held_out_days`: days whose scores selected the weights. `area`: None where it is unknown, or the storms are
    synthetic.
    """

    name: str
    source: str
    area: Area | None = None
    days: tuple[str, ...] = ()
    held_out_days: tuple[str, ...] = ()


class Training(Frozen):
    """Origin of weights that Echocast trained.

    `held_out`: scores on the held-out part, which selected the weights: on `held_out_days` where whole days were held
    out, else on a part of `days`. `archives`: every archive that the weights were trained on, those of the weights that
    training started from (`--init`) included; `provenance_gaps`: what is not known of these archives. `step_minutes`:
    time steps of the training windows. Older versions recorded none of the last three.
    """

    data_digest: str
    days: tuple[str, ...]
    sources: tuple[str, ...]
    iterations: int
    recipe: dict[str, Any]
    software: str
    held_out: dict[str, float] = {}
    held_out_days: tuple[str, ...] = ()
    archives: tuple[TrainingArchive, ...] = ()
    step_minutes: tuple[float, ...] = ()
    provenance_gaps: str = ""


Form = Literal["as-published", "paper"]
"""Of two forms of a network that imported weights compute, where the authors' code departs from the paper."""


class Imported(Frozen):
    """Origin of weights from a checkpoint of somebody else.

    `form`: whether the network computes what the authors' code does, faults included, or what the paper says;
    `faults`: the differences between the two. `remarks`: further facts. Both are clauses without a full stop.
    """

    family: str
    network: str
    checkpoint_sha256: str
    form: Form
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class LayerProfile(Frozen):
    """One layer of a network. `scale`: pixels of a frame per pixel of the layer, along a side.

    Multiply-adds and state are per pixel of a frame, because they grow with the grid. Multiply-adds count one time step
    of a recurrent model, or one run of a recurrent-free one.
    """

    name: str
    kind: str
    scale: int
    parameters: int
    macs_per_pixel: float
    state_values_per_pixel: float


class Score(Frozen):
    """One score, with the protocol and the data of its measurement."""

    protocol: str
    data: str
    metric: str
    threshold_mm_h: float | None = None
    lead_minutes: float | None = None
    value: float


class VariantGate(Frozen):
    """Comparison of a variant with float32 that let it into the package: mean CSI over leads, on an archive.

    Of a network with a distribution also the mean Brier score: such a gate has `brier_fp32` and `brier` instead.
    `change` is relative and must be smaller than `limit` in both directions. `passed` None: the archive holds too few
    events to decide.
    """

    variant: str
    protocol: str
    archive: str
    archive_digest: str
    threshold_mm_h: float
    passed: bool | None
    csi_fp32: float | None = None
    csi: float | None = None
    brier_fp32: float | None = None
    brier: float | None = None
    change: float | None = None
    limit: float
    note: str = ""
    score: Literal["CSI", "Brier score"] = "CSI"

    @property
    def figures(self) -> tuple[float, float, float] | None:
        """The score in float32 and of the variant, and the relative change; None where there is none."""
        fp32, value = (self.csi_fp32, self.csi) if self.score == "CSI" else (self.brier_fp32, self.brier)
        if fp32 is None or value is None or self.change is None:
            return None
        return fp32, value, self.change


class SharpCuts(Frozen):
    """Probabilities above which the `sharp` field reaches each threshold, at one lead time."""

    lead_minutes: float
    probabilities: tuple[float, ...]


class Distribution(Frozen):
    """The predictive distribution of a network of rain (`model.core.rain_distribution`).

    `thresholds_mm_h`: of the exceedance probabilities that its graphs return. `tail_mm_h`: mean excess above the last
    one. `default_field`: what `rainfall_rate` is unless another field is asked for. `sharp_cuts`: in ascending order of
    lead time, chosen on held-out data, for thresholds that a nowcast hardly expects to be reached.
    """

    thresholds_mm_h: tuple[float, ...]
    tail_mm_h: float = TAIL_MM_H
    default_field: ForecastField = "sharp"
    sharp_cuts: tuple[SharpCuts, ...]

    @model_validator(mode="after")
    def _cuts_fit_the_thresholds(self) -> Self:
        if not self.sharp_cuts or any(len(cuts.probabilities) != len(self.thresholds_mm_h) for cuts in self.sharp_cuts):
            raise ValueError(f"sharp_cuts must hold {len(self.thresholds_mm_h)} probabilities for each lead time")
        leads = tuple(cuts.lead_minutes for cuts in self.sharp_cuts)
        for name, axis in (("thresholds_mm_h", self.thresholds_mm_h), ("lead_minutes of sharp_cuts", leads)):
            if any(above <= below for below, above in pairwise(axis)):
                raise ValueError(f"{name} must ascend")
        return self

    def cuts_at(self, lead_minutes: float) -> tuple[float, ...]:
        """Return the cut of each threshold at a lead time, interpolated between those that are given."""
        leads = [cuts.lead_minutes for cuts in self.sharp_cuts]
        columns = zip(*(cuts.probabilities for cuts in self.sharp_cuts), strict=True)
        return tuple(float(np.interp(lead_minutes, leads, column)) for column in columns)


class Manifest(Frozen):
    """Content of `manifest.json`.

    `frame_of_reference`: `eulerian`, the network reads frames as they are; `lagrangian`, the runtime first warps them
    along the motion field to the newest frame and advects the output of the network.
    `stride`: the network needs grids whose sides are multiples of this number; the runtime pads and crops.
    `kind`: the data of the frames; only models of rain make nowcasts.
    `grid`: (rows, columns) of the only grid that the network accepts, None for any. `channels`: of a frame. `fields`:
    names of the exogenous fields that the network reads, in order (`model.runtime.exogenous_fields`). `layers`: profile
    of the network. `distribution`: of a network that forecasts one; None for a network of a single field.
    `calibration`: of the neighbourhood probabilities of such a network.
    `training`: of weights that Echocast trained; `imported`: of weights trained elsewhere.
    `files`: SHA-256 (hex) of every other file of the package by name, weights and graphs included; `variants`: ONNX
    file by precision; `variant_gates`: comparison of the variants with fp32.
    """

    schema_version: Literal[2] = SCHEMA
    name: Annotated[Name, AfterValidator(_not_reserved)]
    version: Version
    summary: str
    architecture: str
    config: dict[str, Any]
    input_frames: int = Field(ge=1)
    time_step: TimeStepRange
    max_steps: int = Field(default=MAX_LEAD_STEPS, ge=1)
    max_lead_minutes: float = Field(default=180.0, gt=0)
    unit: Literal["mm h-1"] = "mm h-1"
    normalisation: Normalisation = Normalisation()
    kind: DataKind = "rain"
    frame_of_reference: Literal["eulerian", "lagrangian"] = "eulerian"
    stride: int = Field(ge=1)
    grid: tuple[int, int] | None = None
    channels: int = Field(default=1, ge=1)
    fields: tuple[Name, ...] = ()
    layers: tuple[LayerProfile, ...] = ()
    training: Training | None = None
    imported: Imported | None = None
    scores: tuple[Score, ...] = ()
    distribution: Distribution | None = None
    calibration: ProbabilityCalibration | None = None
    licence: str
    variants: dict[str, str] = {}
    variant_gates: tuple[VariantGate, ...] = ()
    files: dict[FileName, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, content: object) -> object:
        return upgrade_manifest(content) if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _what_is_loaded_has_a_digest(self) -> Self:
        without = [name for name in (WEIGHTS, *self.variants.values()) if name not in self.files]
        if without:
            raise ValueError(f"files does not list {', '.join(without)}")
        return self

    @model_validator(mode="after")
    def _calibration_or_distribution(self) -> Self:
        if self.calibration is not None and self.distribution is not None:
            raise ValueError("calibration is of networks without a distribution")
        return self

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def context_minutes(self) -> ContextMinutes:
        """Time span of the input frames, from the first to the newest."""
        return self.time_step.context(self.input_frames)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the package in `folder` without a check of the files (see `verify_package`).

    Raises
    ------
    BadPackage
        The manifest is absent, cannot be read, is not JSON, or does not fit the schema.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadPackage("no manifest.json", where=str(folder), hint="Name a model package's folder") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValidationError as error:
        raise BadPackage(
            first_problem(error), where=str(path), hint="Export the package again, or fetch it again"
        ) from None


def first_problem(error: ValidationError) -> str:
    """Return `FIELD: PROBLEM` of the first error in a JSON file."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json`, the last file of a package."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def unreadable(path: Path, error: OSError) -> BadPackage:
    """Return the error for a file of a package that cannot be read."""
    return BadPackage(
        f"{path.name} cannot be read ({error.strerror})",
        where=str(path),
        hint="Make it readable, or fetch the package again",
    )
