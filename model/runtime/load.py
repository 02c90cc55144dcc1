"""From what the catalogue knows of a model to a predictor that is ready to run."""

from __future__ import annotations

from pathlib import Path

from model.core.catalog import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.predictor import Predictor


def load_predictor(info: ModelInfo, fields: Path | None = None, options: object = None) -> Predictor:
    """The predictor of `info`; a package's files are checked against their digests first.

    `fields`: a folder of exogenous fields (`model.runtime.fields`), for networks that read some.

    Raises:
        BadPackage: a file of the package is missing, changed, or not a graph that can run.
    """
    if info.name == PERSISTENCE.name:
        return Persistence()
    if info.name == EXTRAPOLATION.name:
        return Extrapolation()
    from model.runtime.onnx import OnnxPredictor

    return OnnxPredictor(info, fields)
