"""The model package: a folder with `manifest.json`, weights, ONNX variants and a card. Versions never change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.core.errors import BadPackage

SCHEMA: Final = 2
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
MAX_LEAD_STEPS = 120

DataKind = Literal["rain", "frames"]
"""`rain`: HKO-7 fractions. `frames`: brightness in [0, 1] of any other video."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
RESERVED_NAMES: Final = frozenset({"auto", "champion", "challenger", "persistence", "extrapolation"})
"""Names that mean something else than a package."""


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"the name {name} is reserved")
    return name


Version = Annotated[str, Field(pattern=r"^\d+(\.\d+){0,2}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Of a file beside the manifest: no path leads out of the package."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TimeStepRange(Frozen):
    """Time steps (minutes) that the model was trained for, both ends included."""

    min_minutes: float = Field(gt=0)
    max_minutes: float = Field(gt=0)

    def contains(self, minutes: float) -> bool:
        return self.min_minutes - 1e-6 <= minutes <= self.max_minutes + 1e-6

    def context(self, frames: int) -> ContextMinutes:
        """How long so many frames at these steps last, from the first to the newest."""
        return ContextMinutes(min_minutes=(frames - 1) * self.min_minutes, max_minutes=(frames - 1) * self.max_minutes)

    def __str__(self) -> str:
        return _from_to(self)


class ContextMinutes(Frozen):
    """How long the frames last that a model needs, from the first to the newest: at its shortest and longest step."""

    min_minutes: float
    max_minutes: float

    def __str__(self) -> str:
        return _from_to(self)


def _from_to(between: TimeStepRange | ContextMinutes) -> str:
    """`2 to 15`, or `6` where both ends are the same."""
    low, high = f"{between.min_minutes:g}", f"{between.max_minutes:g}"
    return low if low == high else f"{low} to {high}"


class Normalisation(Frozen):
    """How rain rate becomes the network's number. `hko7-fraction`: p of `model.core.normalisation.hko7_fraction`."""

    kind: Literal["hko7-fraction"] = "hko7-fraction"


Area = tuple[float, float, float, float]
"""West, south, east, north (degrees); west may be below -180, and east above 180."""


@dataclass(frozen=True, kw_only=True)
class TrainingArchive:
    """Days (YYYY-MM-DD) of an archive that weights were trained on, and `held_out_days`, on which they were chosen.

    `area`: None where it is not known, or of storms that were made up.
    """

    name: str
    source: str
    area: Area | None = None
    days: tuple[str, ...] = ()
    held_out_days: tuple[str, ...] = ()


class Training(Frozen):
    """What the weights come from. `held_out`: their scores on the held-out part, which chose them: of `held_out_days`
    where whole days were held out, else of a part of `days`.

    `archives`: every archive that the weights were trained on, those of the weights that training started from
    (`--init`) included; `provenance_gaps`: what is not known of these archives. `step_minutes`: time steps of the
    training windows. Older versions recorded none of these.
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
"""Where a repository's code departs from the paper of its network: which of the two imported weights compute."""


class Imported(Frozen):
    """Whose checkpoint the weights come from.

    `form`: whether the network computes what that repository's code does, faults included, or what the paper says;
    `faults`: where those two differ. `remarks`: what else is to be known of it. Both are clauses without a full stop.
    """

    family: str
    network: str
    checkpoint_sha256: str
    form: Form
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class LayerProfile(Frozen):
    """One layer of a network. `scale`: pixels of a frame per pixel of the layer, along a side.

    Multiply-adds and state are per pixel of a frame: they grow with the grid. Multiply-adds are of one time step of a
    recurrent network, of one run of a whole-sequence one.
    """

    name: str
    kind: str
    scale: int
    parameters: int
    macs_per_pixel: float
    state_values_per_pixel: float


class Score(Frozen):
    """One score, with the protocol and the data that it was measured under."""

    protocol: str
    data: str
    metric: str
    threshold_mm_h: float | None = None
    lead_minutes: float | None = None
    value: float


class VariantGate(Frozen):
    """What let a variant into the package: CSI, mean over leads, of float32 and of the variant, on an archive.

    `change`: relative; it must be smaller than the `limit`, both ways. `passed` None: the archive holds too little
    to tell, whatever was counted there.
    """

    variant: str
    protocol: str
    archive: str
    archive_digest: str
    threshold_mm_h: float
    passed: bool | None
    csi_fp32: float | None = None
    csi: float | None = None
    change: float | None = None
    limit: float
    note: str = ""


class Manifest(Frozen):
    """`manifest.json` of a package.

    `frame_of_reference`: `eulerian`, the network sees frames as they are; `lagrangian`, the runtime warps them along
    the motion field to the newest frame first and advects what the network answers.
    `stride`: the network takes grids whose sides are multiples of this; the runtime pads and crops.
    `kind`: what its frames are; only a model of rain makes nowcasts.
    `grid`: (rows, columns) of the one grid that the network is bound to; None: any. `channels`: of a frame. `fields`:
    exogenous fields that it reads, by name, in order (`model.runtime.fields`). `layers`: what it is made of.
    `training`: of what was trained here; `imported`: of what was trained elsewhere.
    `files`: name -> SHA-256 (hex) of every other file of the package, the weights and those of `variants` among them;
    `variants`: precision -> ONNX file; `variant_gates`: how near those that are not fp32 come to it.
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
    licence: str
    variants: dict[str, str] = {}
    variant_gates: tuple[VariantGate, ...] = ()
    files: dict[FileName, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, content: object) -> object:
        """Read schema 1, which named `provenance_gaps` of the training otherwise; packages never change on disk."""
        if not isinstance(content, dict) or content.get("schema_version") != 1:
            return content
        training = content.get("training")
        if isinstance(training, dict):
            names = {"untold": "provenance_gaps"}
            training = {names.get(name, name): value for name, value in training.items()}
        return {**content, "schema_version": SCHEMA, "training": training}

    @model_validator(mode="after")
    def _what_is_loaded_has_a_digest(self) -> Self:
        without = [name for name in (WEIGHTS, *self.variants.values()) if name not in self.files]
        if without:
            raise ValueError(f"files does not list {', '.join(without)}")
        return self

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def context_minutes(self) -> ContextMinutes:
        """How long the frames last that it needs, from the first to the newest."""
        return self.time_step.context(self.input_frames)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the package in `folder`; files are not checked (see `verify_package`).

    Raises
    ------
    BadPackage
        It is absent, cannot be read, is not JSON, or not of this schema.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadPackage("no manifest.json", where=str(folder), hint="Name a model package's folder") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BadPackage(
            f"{field}: {first['msg']}", where=str(path), hint="Export the package again, or fetch it anew"
        ) from None


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json`, the last file of a package."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file of a package.

    Raises
    ------
    BadPackage
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def package_digest(folder: Path) -> str:
    """SHA-256 (hex) of the manifest, which holds the digest of every other file.

    Raises
    ------
    BadPackage
        It cannot be read.
    """
    return sha256_of(folder / MANIFEST)


def verify_package(folder: Path) -> Manifest:
    """The manifest, after the digest of every file was compared.

    Raises
    ------
    BadPackage
        A file is missing, cannot be read, or its content is not what the manifest says.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BadPackage(f"file {name} is missing", where=str(folder), hint="Fetch the package anew")
        if sha256_of(path) != digest:
            raise BadPackage(f"file {name} does not match its digest", where=str(folder), hint="Fetch the package anew")
    return manifest


def _unreadable(path: Path, error: OSError) -> BadPackage:
    return BadPackage(
        f"{path.name} cannot be read ({error.strerror})",
        where=str(path),
        hint="Make it readable, or fetch the package anew",
    )
