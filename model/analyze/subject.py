"""The network that is looked at: of a training run, of a package's folder, or of the catalogue."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises; nothing is unpickled

from model.core.catalog import catalog_with
from model.core.errors import BadPackage, InputError, UnknownModel
from model.core.manifest import MANIFEST, read_manifest
from model.export.run import load_run
from model.nets.forecaster import RecurrentForecaster, WholeForecaster, load_forecaster

RECIPE = "recipe.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network and how it is fed.

    `name`: for titles. `context`: input frames. `lagrangian`: it sees frames warped along their motion to the newest.
    `rain`: its frames are HKO-7 fractions of rain.
    """

    name: str
    net: RecurrentForecaster | WholeForecaster
    context: int
    lagrangian: bool
    rain: bool


def subject_of(reference: str, packages: Path | None = None) -> Subject:
    """The network of a run's folder, a package's folder, or a `NAME` or `NAME@VERSION` of the catalogue.

    Raises:
        UnknownModel: there is no such model, or it is no network.
        BadPackage: the package is damaged.
        InputError: the folder is neither a package nor a run.
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
            mend="Name the folder of a model package or of an `echocast train`",
        )
    if os.sep in reference:
        raise UnknownModel(
            "no such folder", where=reference, mend="Name a folder, or a model of `echocast models list`"
        )
    info = catalog_with(packages).find(reference)
    if info.folder is None:
        raise UnknownModel("this model is no network", where=info.reference, mend="Name a model package or a run")
    return _of_package(info.folder)


def _of_package(folder: Path) -> Subject:
    net = load_forecaster(folder)
    manifest = read_manifest(folder)
    lagrangian = manifest.frame_of_reference == "lagrangian"
    context = _context(net, manifest.input_frames)
    return Subject(
        name=manifest.reference, net=net, context=context, lagrangian=lagrangian, rain=lagrangian or _of_rain(net)
    )


def _of_run(folder: Path) -> Subject:
    try:
        net, recipe, iteration, _ = load_run(folder)
        context = _context(net, int(recipe["windows"]["context"]))
        lagrangian = bool(recipe["windows"].get("lagrangian", False))
        name = f"{recipe['name']} ({folder.name}, iteration {iteration})"
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, EOFError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadPackage(
            f"the run cannot be read ({reason})", where=str(folder), mend="Train it again, with this version"
        ) from None
    return Subject(name=name, net=net, context=context, lagrangian=lagrangian, rain=lagrangian or _of_rain(net))


def _context(net: RecurrentForecaster | WholeForecaster, frames: int) -> int:
    """A whole-sequence network reads what it was built for; any other what it was trained with."""
    return net.net.config.frames if isinstance(net, WholeForecaster) else frames


def _of_rain(net: RecurrentForecaster | WholeForecaster) -> bool:
    """Only radar has pixels without data."""
    return net.config.reads_known
