"""From what the catalogue knows of a model to a predictor that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.core.model_info import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.predictor import Predictor

if TYPE_CHECKING:
    from model.runtime.device import EngineOptions


def load_predictor(info: ModelInfo, fields: Path | None = None, options: EngineOptions | None = None) -> Predictor:
    """The predictor of `info`; a package's files are checked against their digests first.

    `fields`: a folder of exogenous fields (`model.runtime.fields`), for networks that read some. `options`: how a
    package is run; None: as the environment says.

    Raises
    ------
    BadPackage
        A file of the package is missing, changed, not a graph that can run, or too large for the device.
    InputError
        The device that is asked for is not there.
    """
    if info.name == PERSISTENCE.name:
        return Persistence()
    if info.name == EXTRAPOLATION.name:
        return Extrapolation()
    from model.runtime.onnx_predictor import OnnxPredictor

    return OnnxPredictor(info, fields, options)
