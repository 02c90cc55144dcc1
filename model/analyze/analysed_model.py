"""Load the network to analyse: from a training run, the folder of a package, or the catalog."""

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
class AnalysedModel:
    """A network and the kind of input that it reads.

    Attributes
    ----------
    name
        Name in titles.
    net
        The model.
    context
        Number of input frames.
    lagrangian
        Whether the network reads frames that are warped along the motion to the newest one.
    rain
        Whether frames are HKO-7 fractions of rain.
    fields
        Names of exogenous fields.
    package
        Folder of the package, which may hold fields.
    """

    name: str
    net: RecurrentModel | RecurrentFreeModel
    context: int
    lagrangian: bool
    rain: bool
    fields: tuple[str, ...] = ()
    package: Path | None = None


def load_analysed_model(reference: str, packages: Path | None = None) -> AnalysedModel:
    """Load the network of the folder of a run or a package, or of a `NAME` or `NAME@VERSION` in the catalog.

    Raises
    ------
    UnknownModel
        There is no such model, or the model is not a network.
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
            f"the folder contains neither {MANIFEST} nor {RECIPE}",
            where=reference,
            hint="Name the folder of a model package or of an `echocast train`",
        )
    if os.sep in reference:
        raise UnknownModel(
            "no such folder", where=reference, hint="Name a folder, or a model of `echocast models list`"
        )
    info = open_catalog(packages).find(reference)
    if info.folder is None:
        raise UnknownModel("this model is not a network", where=info.reference, hint="Name a model package or a run")
    return _of_package(info.folder)


def _of_package(folder: Path) -> AnalysedModel:
    net = load_model(folder)
    manifest = read_manifest(folder)
    return AnalysedModel(
        name=manifest.reference,
        net=net,
        context=_context(net, manifest.input_frames),
        lagrangian=manifest.frame_of_reference == "lagrangian",
        rain=manifest.kind == "rain",
        fields=manifest.fields,
        package=folder,
    )


def _of_run(folder: Path) -> AnalysedModel:
    run = load_run(folder)
    return AnalysedModel(
        name=f"{run.name} ({folder.name}, iteration {run.iteration})",
        net=run.net,
        context=_context(run.net, run.windows.context),
        lagrangian=run.lagrangian,
        rain=run.kind == "rain",
        fields=run.fields,
    )


def _context(net: RecurrentModel | RecurrentFreeModel, frames: int) -> int:
    """Return the frames that a recurrent-free model is built for, or that a recurrent one was trained with."""
    return net.net.config.frames if isinstance(net, RecurrentFreeModel) else frames
