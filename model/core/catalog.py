"""The catalog of models that can run: the baselines, and the packages in folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Final, NamedTuple

from model.core.aliases import ALIASES, CHAMPION, Aliases, BadAliases, PinnedVersion, read_aliases
from model.core.caching import FileCache
from model.core.errors import BadPackage, InputError, UnknownModel
from model.core.folders import packages_folder
from model.core.manifest import MANIFEST, read_manifest
from model.core.model_info import BASELINES, EXTRAPOLATION, ModelInfo

log = logging.getLogger(__name__)

SHIPPED_PACKAGES: Final = Path(__file__).resolve().parent.parent / "packages"
DEFAULT_MODEL: Final = "rain-ms-predrnn"
AUTO: Final = "auto"
"""The default reference: the champion where it fits the input, else the default model, else extrapolation."""


class Resolution(NamedTuple):
    """The models that a reference resolves to, the preferred first, and a note where a fallback took its place."""

    models: tuple[ModelInfo, ...]
    note: str = ""


class Catalog:
    """The baselines, and every package below `folders` with the layout `folder/NAME/VERSION/manifest.json`.

    The last folder is the user's own and holds the aliases. Each call sees the folders as they are at that moment, so
    that a new package or champion counts at once; a file is read again only after it has changed.
    """

    def __init__(self, folders: Sequence[Path] = (SHIPPED_PACKAGES,)) -> None:
        self.folders = tuple(folders)
        self._failed: dict[str, str] = {}
        self._info = FileCache(lambda path: ModelInfo.from_manifest(read_manifest(path.parent), path.parent))
        self._aliases = FileCache(lambda path: read_aliases(path.parent))

    def excluding(self, info: ModelInfo, reason: str) -> Catalog:
        """Return a copy in which `auto` and `champion` do not resolve to this package, because it cannot run."""
        other = copy(self)
        other._failed = {**self._failed, info.digest: reason}
        return other

    def models(self) -> list[ModelInfo]:
        """Return every model version: baselines first, then by name and newest version first.

        A package with an unreadable manifest is logged and left out, and does not affect the other models.
        """
        packages, bad = self._packages()
        for error in bad.values():
            log.warning("package left out: %s", error)
        return [*BASELINES, *packages]

    def aliases(self) -> Aliases:
        """Return the aliases of the last folder, with their history.

        Raises
        ------
        BadAliases
            The file of aliases is damaged.
        """
        return self._aliases(self.folders[-1] / ALIASES)

    def aliases_of(self, info: ModelInfo) -> list[str]:
        """Return the aliases that are pinned to this package; none where the file of aliases is damaged."""
        try:
            return [name for name, pin in self.aliases().aliases.items() if pin == pinned_version(info)]
        except BadAliases:
            return []

    def find(self, reference: str) -> ModelInfo:
        """Return the preferred model of `resolve`."""
        return self.resolve(reference).models[0]

    def resolve(self, reference: str) -> Resolution:
        """Resolve a reference to the models that can serve it now.

        `NAME` is the newest version, `NAME@VERSION` that version, an alias the version to which it is pinned.
        `champion` is the champion; where its package is damaged or was changed, the champion before it, and so on, then
        the default model, then extrapolation. `auto` is the same list as a whole, because the first may not fit the
        frames.

        Raises
        ------
        UnknownModel
            There is no such model.
        BadPackage
            The manifest cannot be read, two different packages have this name and version, or the package of an alias
            was changed after the alias was set.
        BadAliases
            No package has this name, and the aliases cannot be read.
        """
        name, _, version = reference.partition("@")
        packages, bad = self._packages()
        if name in (AUTO, CHAMPION) and version:
            raise UnknownModel(f"{name} has no versions", where="model", hint=f"Ask for {name}, or for NAME@VERSION")
        if name in (AUTO, CHAMPION):
            return self._fallbacks(name, packages, bad)
        models = [*BASELINES, *packages]
        for info in models:
            if info.name == name and version in ("", info.version):
                _check_unique(info, packages)
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

    def _fallbacks(self, name: str, packages: Sequence[ModelInfo], bad: Mapping[Path, InputError]) -> Resolution:
        """Return the newest champion that works, then the default model, then extrapolation."""
        notes = []
        try:
            champions = self.aliases().champions()
        except BadAliases as error:
            champions = []
            notes.append(f"the champion is not known: {error.what}")
        if name == CHAMPION and not champions and not notes:
            raise UnknownModel(
                "no model was promoted to champion",
                where="model",
                hint="Promote one with: echocast models promote, or ask for auto",
            )
        usable: list[ModelInfo] = []
        for pin in champions:
            try:
                usable.append(self._check_able(_pinned(CHAMPION, pin, packages, bad)))
                break
            except BadPackage as error:
                what = f"the champion {pin.model}" if pin is champions[0] else f"{pin.model} before it"
                notes.append(f"{what} cannot be used: {error.what}")
        default = next((info for info in packages if info.name == DEFAULT_MODEL), None)
        if default is None and not usable:
            notes.append(f"the default model {DEFAULT_MODEL} is not installed")
        elif default is not None and default not in usable:
            try:
                _check_unique(default, packages)
                usable.append(self._check_able(default))
            except BadPackage as error:
                notes.append(f"the default model {default.reference} cannot be used: {error.what}")
        models = (*usable, EXTRAPOLATION)
        return Resolution(models if name == AUTO else models[:1], "; ".join(notes))

    def _check_able(self, info: ModelInfo) -> ModelInfo:
        """Return the model; raise BadPackage where it was excluded because it cannot run."""
        if info.digest in self._failed:
            raise BadPackage(self._failed[info.digest], where=info.reference, hint="Fetch the package again")
        return info

    def _packages(self) -> tuple[list[ModelInfo], dict[Path, InputError]]:
        """Return the packages by name and newest version first, and the errors of unreadable ones by folder."""
        packages: list[ModelInfo] = []
        bad: dict[Path, InputError] = {}
        for folder in self.folders:
            for path in sorted(folder.glob(f"*/*/{MANIFEST}")):
                try:
                    packages.append(self._info(path))
                except BadPackage as error:
                    bad[path.parent] = error
        packages.sort(key=lambda info: tuple(map(int, info.version.split("."))), reverse=True)
        packages.sort(key=lambda info: info.name)
        return packages, bad


def open_catalog(folder: Path | None) -> Catalog:
    """Open the catalog of the shipped packages and a folder of the user's own (None: `packages_folder`)."""
    return Catalog((SHIPPED_PACKAGES, folder or packages_folder()))


def pinned_version(info: ModelInfo) -> PinnedVersion:
    """Return the target of an alias of this model."""
    return PinnedVersion(model=info.reference, digest=info.digest)


def _pinned(alias: str, pin: PinnedVersion, models: Sequence[ModelInfo], bad: Mapping[Path, InputError]) -> ModelInfo:
    """Return the model of a pinned version.

    Raises
    ------
    BadPackage
        The package is absent or unreadable, or was changed after the alias was set.
    """
    same = [info for info in models if info.reference == pin.model]
    for info in same:
        if info.digest == pin.digest:
            return info
    if same:
        raise BadPackage(
            f"{pin.model} was changed since it became {alias}",
            where=str(same[0].folder),
            hint="Versions never change: restore the package, or promote it again",
        )
    name, _, version = pin.model.partition("@")
    for folder, error in bad.items():
        if (folder.parent.name, folder.name) == (name, version):
            raise error
    raise BadPackage(f"{pin.model} is not installed", where=alias, hint="Restore the package, or promote another")


def _check_unique(info: ModelInfo, packages: Sequence[ModelInfo]) -> None:
    for other in packages:
        if other.reference == info.reference and other.digest != info.digest:
            raise BadPackage(
                f"two different packages are {info.reference}",
                where=f"{info.folder} and {other.folder}",
                hint="Give one of them another name or version: versions never change",
            )
