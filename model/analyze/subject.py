"""The network that is looked at: of a training run, of a package's folder, or of the catalogue."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from model.core.catalog import open_catalog
from model.core.errors import InputError, UnknownModel
from model.core.manifest import MANIFEST, read_manifest
from model.export.run import load_run
from model.nets.forecast_model import RecurrentFreeModel, RecurrentModel, load_model
from model.train.run_folder import RECIPE


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network and how it is fed.

    `name`: for titles. `context`: input frames. `lagrangian`: it sees frames warped along their motion to the newest.
    `rain`: its frames are HKO-7 fractions of rain. `fields`: exogenous fields that it reads, by name; `package`: the
    folder of its package, which may hold some.
    """

    name: str
    net: RecurrentModel | RecurrentFreeModel
    context: int
    lagrangian: bool
    rain: bool
    fields: tuple[str, ...] = ()
    package: Path | None = None


def subject_of(reference: str, packages: Path | None = None) -> Subject:
    """The network of a run's folder, a package's folder, or a `NAME` or `NAME@VERSION` of the catalogue.

    Raises
    ------
    UnknownModel
        There is no such model, or it is no network.
    BadPackage
        The package is damaged.
    InputError
        The folder is neither a package nor a run, or the run is damaged.
    """
    path = Path(reference)
    if (path / MANIFEST).is_file():
        return _of_package(path)
    if (path / RECIPE).is_file():
        return _of_run(path)
    if path.is_dir():
        raise InputError(
            f"neither {MANIFEST} nor {RECIPE} is in it",
            where=reference,
            hint="Name the folder of a model package or of an `echocast train`",
        )
    if os.sep in reference:
        raise UnknownModel(
            "no such folder", where=reference, hint="Name a folder, or a model of `echocast models list`"
        )
    info = open_catalog(packages).find(reference)
    if info.folder is None:
        raise UnknownModel("this model is no network", where=info.reference, hint="Name a model package or a run")
    return _of_package(info.folder)


def _of_package(folder: Path) -> Subject:
    net = load_model(folder)
    manifest = read_manifest(folder)
    return Subject(
        name=manifest.reference,
        net=net,
        context=_context(net, manifest.input_frames),
        lagrangian=manifest.frame_of_reference == "lagrangian",
        rain=manifest.kind == "rain",
        fields=manifest.fields,
        package=folder,
    )


def _of_run(folder: Path) -> Subject:
    run = load_run(folder)
    return Subject(
        name=f"{run.name} ({folder.name}, iteration {run.iteration})",
        net=run.net,
        context=_context(run.net, run.windows.context),
        lagrangian=run.lagrangian,
        rain=run.kind == "rain",
        fields=run.fields,
    )


def _context(net: RecurrentModel | RecurrentFreeModel, frames: int) -> int:
    """A whole-sequence network reads what it was built for; any other what it was trained with."""
    return net.net.config.frames if isinstance(net, RecurrentFreeModel) else frames
