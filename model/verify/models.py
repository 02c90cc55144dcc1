"""From what a user names to predictors that can be scored."""

from __future__ import annotations

from pathlib import Path

from model.core.catalog import Catalog, info_of
from model.core.manifest import read_manifest
from model.runtime.load import load_predictor
from model.runtime.predictor import Predictor
from model.verify.answer import PYSTEPS
from model.verify.lucas_kanade import LucasKanade


def predictor_of(name: str, catalog: Catalog, fields: Path | None = None) -> Predictor:
    """The model of a NAME, NAME@VERSION or a package's folder; `pysteps` is its Lucas-Kanade extrapolation.

    Raises
    ------
    UnknownModel
        There is none.
    BadPackage
        Its package cannot be used.
    MissingDependency
        Pysteps is not installed.
    """
    if name.partition("@")[0] == PYSTEPS:
        return LucasKanade()
    folder = Path(name)
    info = info_of(read_manifest(folder), folder) if folder.is_dir() else catalog.find(name)
    return load_predictor(info, fields)
