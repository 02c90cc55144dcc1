"""The models that can run here: the baselines, which are always there, and the packages found in folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from model.core.errors import BadPackage, StepsOutOfRange, UnknownModel
from model.core.manifest import (
    MANIFEST,
    MAX_LEAD_STEPS,
    DataKind,
    LayerProfile,
    Manifest,
    Score,
    TimeStepRange,
    package_digest,
    read_manifest,
)

log = logging.getLogger(__name__)

SHIPPED_PACKAGES: Final = Path(__file__).resolve().parent.parent / "packages"
DEFAULT_MODEL: Final = "rain-ms-predrnn"
AUTO: Final = "auto"
"""Ask for this name (the default) to run the default model where it fits the input, else extrapolation."""


MAX_BASELINE_LEAD_MINUTES: Final = 720.0


class ModelInfo(BaseModel):
    """One version of one model: what a client needs to choose it. `grid`: the only (rows, columns) that it takes.
    `data`: what its frames are; no nowcast is made of other than rain."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    kind: Literal["baseline", "network"]
    summary: str
    input_frames: int
    time_step: TimeStepRange
    max_steps: int = MAX_LEAD_STEPS
    max_lead_minutes: float = MAX_BASELINE_LEAD_MINUTES
    grid: tuple[int, int] | None = None
    scores: tuple[Score, ...] = ()
    licence: str = "Apache-2.0"
    digest: str = ""
    folder: Path | None = None
    data: DataKind = "rain"
    layers: tuple[LayerProfile, ...] = ()

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def check_steps(self, steps: int, step_minutes: float = 0.0) -> None:
        """Raise StepsOutOfRange unless 1 <= steps <= max_steps, and the last step is not too far ahead."""
        if not 1 <= steps <= self.max_steps:
            raise StepsOutOfRange(
                f"steps is {steps}, {self.reference} forecasts 1 to {self.max_steps}",
                where="steps",
                mend=f"Ask for 1 to {self.max_steps} steps",
            )
        if steps * step_minutes > self.max_lead_minutes:
            raise StepsOutOfRange(
                f"{steps} steps of {step_minutes:g} min are {steps * step_minutes:g} min, {self.reference} forecasts "
                f"up to {self.max_lead_minutes:g} min",
                where="steps",
                mend=f"Ask for at most {int(self.max_lead_minutes // step_minutes)} steps",
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

        A package whose manifest cannot be read is left out, and logged: it takes no other model with it.
        """
        packages, bad = self._packages()
        for error in bad.values():
            log.warning("package left out: %s", error)
        return [*BASELINES, *packages]

    def find(self, reference: str) -> ModelInfo:
        """The model of `NAME` (its newest version) or `NAME@VERSION`; `auto` is the default model, else extrapolation.

        Raises:
            UnknownModel: there is none.
            BadPackage: its manifest cannot be read, or two different packages have this name and version.
        """
        name, _, version = reference.partition("@")
        if name == AUTO and version:
            raise UnknownModel(f"{AUTO} has no versions", where="model", mend=f"Ask for {AUTO}, or for NAME@VERSION")
        wanted = DEFAULT_MODEL if name == AUTO else name
        packages, bad = self._packages()
        models = [*BASELINES, *packages]
        for info in models:
            if info.name == wanted and version in ("", info.version):
                _check_alone(info, packages)
                return info
        if name == AUTO:
            return EXTRAPOLATION
        for folder, error in bad.items():
            if folder.parent.name == wanted and version in ("", folder.name):
                raise error
        raise UnknownModel(
            f"no model {reference!r}",
            where="model",
            mend=f"Choose one of {', '.join(dict.fromkeys(info.name for info in models))}",
        )

    def _packages(self) -> tuple[list[ModelInfo], dict[Path, BadPackage]]:
        """Packages by name and newest version first; and the folders that cannot be read, and why."""
        packages: list[ModelInfo] = []
        bad: dict[Path, BadPackage] = {}
        for folder in self.folders:
            for path in sorted(folder.glob(f"*/*/{MANIFEST}")):
                try:
                    packages.append(info_of(read_manifest(path.parent), path.parent))
                except BadPackage as error:
                    bad[path.parent] = error
        packages.sort(key=lambda info: _version_key(info.version), reverse=True)
        packages.sort(key=lambda info: info.name)
        return packages, bad


def catalog_with(folder: Path | None) -> Catalog:
    """The shipped packages, then those of a folder of one's own: one order for the commands and the service."""
    return Catalog((SHIPPED_PACKAGES, folder) if folder else (SHIPPED_PACKAGES,))


def _check_alone(info: ModelInfo, packages: Sequence[ModelInfo]) -> None:
    for other in packages:
        if other.reference == info.reference and other.digest != info.digest:
            raise BadPackage(
                f"two different packages are {info.reference}: {info.folder} and {other.folder}",
                where="model",
                mend="Give one of them another name or version: versions never change",
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
        max_lead_minutes=manifest.max_lead_minutes,
        grid=manifest.grid,
        scores=manifest.scores,
        licence=manifest.licence,
        digest=package_digest(folder),
        folder=folder,
        data=manifest.kind,
        layers=manifest.layers,
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
