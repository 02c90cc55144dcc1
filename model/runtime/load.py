"""Load the predictor of a catalog entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.core.model_info import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.core.settings import EngineEnvironment, read_environment
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.predictor import Predictor

if TYPE_CHECKING:
    from model.runtime.device import EngineOptions


def load_predictor(info: ModelInfo, fields: Path | None = None, options: EngineOptions | None = None) -> Predictor:
    """Load a predictor; the files of a package are verified against their digests first.

    Parameters
    ----------
    info : ModelInfo
        The catalog entry.
    fields : Path, optional
        A folder of exogenous fields (`model.runtime.exogenous_fields`), for networks that read some.
    options : EngineOptions, optional
        Device, variant and memory; None: those of the environment.

    Raises
    ------
    BadPackage
        A file of the package is missing or changed, the graph cannot be loaded, or it is too large for the device.
    InputError
        The requested device is not available.
    """
    if info.name == PERSISTENCE.name:
        return Persistence()
    if info.name == EXTRAPOLATION.name:
        return Extrapolation(
            read_environment(EngineEnvironment).calibration if options is None else options.calibration
        )
    from model.runtime.onnx_predictor import OnnxPredictor

    return OnnxPredictor(info, fields, options)
