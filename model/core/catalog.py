"""The models that can run here: the baselines, which are always there, and the packages found in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from model.core.errors import StepsOutOfRange, UnknownModel
from model.core.manifest import (
    MANIFEST,
    MAX_LEAD_STEPS,
    Manifest,
    Score,
    TimeStepRange,
    package_digest,
    read_manifest,
)

SHIPPED_PACKAGES: Final = Path(__file__).resolve().parent.parent / "packages"
DEFAULT_MODEL: Final = "rain-ms-predrnn"
AUTO: Final = "auto"
"""Ask for this name (the default) to run the default model where it fits the input, else extrapolation."""


class ModelInfo(BaseModel):
    """One version of one model: what a client needs to choose it."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    kind: Literal["baseline", "network"]
    summary: str
    input_frames: int
    time_step: TimeStepRange
    max_steps: int = MAX_LEAD_STEPS
    scores: tuple[Score, ...] = ()
    licence: str = "Apache-2.0"
    digest: str = ""
    folder: Path | None = None

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def check_steps(self, steps: int) -> None:
        """Raise StepsOutOfRange unless 1 <= steps <= max_steps."""
        if not 1 <= steps <= self.max_steps:
            raise StepsOutOfRange(
                f"steps is {steps}, {self.reference} forecasts 1 to {self.max_steps}",
                where="steps",
                mend=f"Ask for 1 to {self.max_steps} steps",
            )


ANY_TIME_STEP: Final = TimeStepRange(min_minutes=0.5, max_minutes=60)
PERSISTENCE: Final = ModelInfo(
    name="persistence",
    version="1",
    kind="baseline",
    summary="The newest frame stays as it is.",
    input_frames=2,
    time_step=ANY_TIME_STEP,
)
EXTRAPOLATION: Final = ModelInfo(
    name="extrapolation",
    version="1",
    kind="baseline",
    summary="The newest frame moves along optical flow (DIS), semi-Lagrangian.",
    input_frames=3,
    time_step=ANY_TIME_STEP,
)
BASELINES: Final = (PERSISTENCE, EXTRAPOLATION)


class Catalog:
    """The baselines and every package below `folders`, laid out as `folder/NAME/VERSION/manifest.json`."""

    def __init__(self, folders: Sequence[Path] = (SHIPPED_PACKAGES,)) -> None:
        self.folders = tuple(folders)

    def models(self) -> list[ModelInfo]:
        """Every model version, baselines first, then by name and newest version first.

        Raises:
            BadPackage: a manifest cannot be read.
        """
        packages = [
            info_of(read_manifest(path.parent), path.parent)
            for folder in self.folders
            for path in folder.glob(f"*/*/{MANIFEST}")
        ]
        packages.sort(key=lambda info: (info.name, _version_key(info.version)), reverse=True)
        packages.sort(key=lambda info: info.name)
        return [*BASELINES, *packages]

    def find(self, reference: str) -> ModelInfo:
        """The model of `NAME` (its newest version) or `NAME@VERSION`; `auto` is the default model.

        Raises:
            UnknownModel: there is none.
        """
        name, _, version = reference.partition("@")
        wanted = DEFAULT_MODEL if name == AUTO else name
        models = self.models()
        for info in models:
            if info.name == wanted and version in ("", info.version):
                return info
        if name == AUTO:
            return EXTRAPOLATION
        raise UnknownModel(
            f"no model {reference!r}",
            where="model",
            mend=f"Choose one of {', '.join(dict.fromkeys(info.name for info in models))}",
        )


def info_of(manifest: Manifest, folder: Path) -> ModelInfo:
    """What a client needs to know of a package."""
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        kind="network",
        summary=manifest.summary,
        input_frames=manifest.input_frames,
        time_step=manifest.time_step,
        max_steps=manifest.max_steps,
        scores=manifest.scores,
        licence=manifest.licence,
        digest=package_digest(folder),
        folder=folder,
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
