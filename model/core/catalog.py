"""The models that can run here: the baselines, which are always there, and the packages found in folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, computed_field

from model.core.aliases import ALIASES, CHAMPION, Aliases, BadAliases, PinnedVersion, read_aliases
from model.core.caching import FileCache
from model.core.errors import BadPackage, InputError, StepsOutOfRange, UnknownModel
from model.core.folders import packages_folder
from model.core.manifest import (
    MANIFEST,
    MAX_LEAD_STEPS,
    ContextMinutes,
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
"""Ask for this name (the default) to run the champion where it fits the input, else the default model, else
extrapolation."""


MAX_BASELINE_LEAD_MINUTES: Final = 720.0
USUAL_MINUTES: Final = 5.0


class ModelInfo(BaseModel):
    """One version of one model: what a client needs to choose it. `grid`: the only (rows, columns) that it takes.
    `data`: what its frames are; no nowcast is made of other than rain. `fields`: exogenous fields that it reads.
    `variants`: precisions in which its graph is there. `min_input_frames`: of how few frames it makes something,
    where not all `input_frames` must be there."""

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

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @computed_field
    def context_minutes(self) -> ContextMinutes:
        """How long the frames last that it needs."""
        return self.time_step.context(self.input_frames)

    def max_steps_at(self, step_minutes: float | None = None) -> int:
        """How many steps of so many minutes it forecasts at most; where that is not known, of its shortest step."""
        step = step_minutes or self.time_step.min_minutes
        return min(self.max_steps, int(self.max_lead_minutes / step + 1e-6))

    def check_steps(self, steps: int, step_minutes: float | None = None) -> None:
        """Raise StepsOutOfRange unless it forecasts so many steps (of so many minutes, where that is known)."""
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
            # The lead time is the limit, not the number of steps: told for a time step that frames usually have.
            usual = USUAL_MINUTES if self.time_step.contains(USUAL_MINUTES) else self.time_step.min_minutes
            most, of = self.max_steps_at(usual), f" where frames are {usual:g} min apart"
        raise StepsOutOfRange(
            f"steps is {steps}, {self.reference} forecasts 1 to {most}{of}"
            + (f", up to {self.max_lead_minutes:g} min" if of else ""),
            where="steps",
            hint=f"Ask for 1 to {most} steps{of}",
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
    min_input_frames=2,
    time_step=ANY_TIME_STEP,
)
BASELINES: Final = (PERSISTENCE, EXTRAPOLATION)


class Resolution(NamedTuple):
    """The models that a reference may mean, the preferred one first; and why that is not the one it should be."""

    models: tuple[ModelInfo, ...]
    note: str = ""


class Catalog:
    """The baselines and every package below `folders`, laid out as `folder/NAME/VERSION/manifest.json`.

    Aliases are those of the last folder, one's own. Each question looks at the folders as they are then, so that a new
    package or champion counts at once; a file is read again only where it has changed.
    """

    def __init__(self, folders: Sequence[Path] = (SHIPPED_PACKAGES,)) -> None:
        self.folders = tuple(folders)
        self._failed: dict[str, str] = {}
        self._info = FileCache(lambda path: info_of(read_manifest(path.parent), path.parent))
        self._aliases = FileCache(lambda path: read_aliases(path.parent))

    def excluding(self, info: ModelInfo, why: str) -> Catalog:
        """The same catalogue, but neither `auto` nor `champion` is this package, which was found unable to run."""
        other = copy(self)
        other._failed = {**self._failed, info.digest: why}
        return other

    def models(self) -> list[ModelInfo]:
        """Every model version, baselines first, then by name and newest version first.

        A package whose manifest cannot be read is left out, and logged: it takes no other model with it.
        """
        packages, bad = self._packages()
        for error in bad.values():
            log.warning("package left out: %s", error)
        return [*BASELINES, *packages]

    def aliases(self) -> Aliases:
        """The aliases of the last folder, with their history.

        Raises
        ------
        BadAliases
            Their file is damaged.
        """
        return self._aliases(self.folders[-1] / ALIASES)

    def aliases_of(self, info: ModelInfo) -> list[str]:
        """The aliases that are pinned to this package; none where their file is damaged."""
        try:
            return [name for name, pin in self.aliases().aliases.items() if pin == pinned_version(info)]
        except BadAliases:
            return []

    def find(self, reference: str) -> ModelInfo:
        """The model that is preferred for a reference: see `resolve`."""
        return self.resolve(reference).models[0]

    def resolve(self, reference: str) -> Resolution:
        """What a reference means now.

        `NAME` is the newest version, `NAME@VERSION` that one, an alias the version that it is pinned to. `champion`:
        where its package is damaged or was changed, the one that it was promoted over, and so on, then the default
        model, then extrapolation. `auto`: the champion in that sense, then the default model, then extrapolation,
        all of them, for one may not fit the frames.

        Raises
        ------
        UnknownModel
            There is none.
        BadPackage
            Its manifest cannot be read, two different packages have this name and version, or the package
            of an alias was changed since.
        BadAliases
            No package has this name, and what the aliases are cannot be read.
        """
        name, _, version = reference.partition("@")
        packages, bad = self._packages()
        if name in (AUTO, CHAMPION) and version:
            raise UnknownModel(f"{name} has no versions", where="model", hint=f"Ask for {name}, or for NAME@VERSION")
        if name in (AUTO, CHAMPION):
            return self._best(name, packages, bad)
        models = [*BASELINES, *packages]
        for info in models:
            if info.name == name and version in ("", info.version):
                _check_alone(info, packages)
                return Resolution((info,))
        for folder, error in bad.items():
            if folder.parent.name == name and version in ("", folder.name):
                raise error
        aliases = self.aliases().aliases
        if reference in aliases:
            return Resolution((_pinned(reference, aliases[reference], models, bad),))
        versions = [info.reference for info in models if info.name == name]
        known = versions or dict.fromkeys([info.name for info in models] + list(aliases))
        raise UnknownModel(f"no model {reference!r}", where="model", hint=f"Choose one of {', '.join(known)}")

    def _best(self, name: str, packages: Sequence[ModelInfo], bad: Mapping[Path, InputError]) -> Resolution:
        """The champion or who stands in for it, then the default model, then extrapolation."""
        notes = []
        try:
            line = self.aliases().champions()
        except BadAliases as error:
            line = []
            notes.append(f"the champion is not known: {error.what}")
        if name == CHAMPION and not line and not notes:
            raise UnknownModel(
                "no model was promoted to champion",
                where="model",
                hint="Promote one with: echocast models promote, or ask for auto",
            )
        sound: list[ModelInfo] = []
        for pin in line:
            try:
                sound.append(self._able(_pinned(CHAMPION, pin, packages, bad)))
                break
            except BadPackage as error:
                what = f"the champion {pin.model}" if pin is line[0] else f"{pin.model} before it"
                notes.append(f"{what} cannot be used: {error.what}")
        default = next((info for info in packages if info.name == DEFAULT_MODEL), None)
        if default is None and not sound:
            notes.append(f"the default model {DEFAULT_MODEL} is not installed")
        elif default is not None and default not in sound:
            try:
                _check_alone(default, packages)
                sound.append(self._able(default))
            except BadPackage as error:
                notes.append(f"the default model {default.reference} cannot be used: {error.what}")
        models = (*sound, EXTRAPOLATION)
        return Resolution(models if name == AUTO else models[:1], "; ".join(notes))

    def _able(self, info: ModelInfo) -> ModelInfo:
        """Raise BadPackage where the package was found unable to run."""
        if info.digest in self._failed:
            raise BadPackage(self._failed[info.digest], where=info.reference, hint="Fetch the package anew")
        return info

    def _packages(self) -> tuple[list[ModelInfo], dict[Path, InputError]]:
        """Packages by name and newest version first; and the folders that cannot be read, and why."""
        packages: list[ModelInfo] = []
        bad: dict[Path, InputError] = {}
        for folder in self.folders:
            for path in sorted(folder.glob(f"*/*/{MANIFEST}")):
                try:
                    packages.append(self._info(path))
                except BadPackage as error:
                    bad[path.parent] = error
        packages.sort(key=lambda info: _version_key(info.version), reverse=True)
        packages.sort(key=lambda info: info.name)
        return packages, bad


def open_catalog(folder: Path | None) -> Catalog:
    """The shipped packages, then those of a folder of one's own: one order for the commands and the service.

    None: the folder that the settings name (`model.core.folders`).
    """
    return Catalog((SHIPPED_PACKAGES, folder or packages_folder()))


def pinned_version(info: ModelInfo) -> PinnedVersion:
    """What an alias of this model is pinned to."""
    return PinnedVersion(model=info.reference, digest=info.digest)


def _pinned(alias: str, pin: PinnedVersion, models: Sequence[ModelInfo], bad: Mapping[Path, InputError]) -> ModelInfo:
    """The model that an alias is pinned to.

    Raises
    ------
    BadPackage
        It is not there, cannot be read, or is not what it was when the alias was moved to it.
    """
    same = [info for info in models if info.reference == pin.model]
    for info in same:
        if info.digest == pin.digest:
            return info
    if same:
        raise BadPackage(
            f"{pin.model} was changed since it became {alias}",
            where=str(same[0].folder),
            hint="Versions never change: put the package back as it was, or promote it anew",
        )
    name, _, version = pin.model.partition("@")
    for folder, error in bad.items():
        if (folder.parent.name, folder.name) == (name, version):
            raise error
    raise BadPackage(f"{pin.model} is not installed", where=alias, hint="Put its package back, or promote another")


def _check_alone(info: ModelInfo, packages: Sequence[ModelInfo]) -> None:
    for other in packages:
        if other.reference == info.reference and other.digest != info.digest:
            raise BadPackage(
                f"two different packages are {info.reference}",
                where=f"{info.folder} and {other.folder}",
                hint="Give one of them another name or version: versions never change",
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
        fields=manifest.fields,
        layers=manifest.layers,
        variants=tuple(manifest.variants),
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
