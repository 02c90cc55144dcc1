"""Persistence and extrapolation: baselines, and the fallback where no network fits the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from model.core.caching import FileCache
from model.core.model_info import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.core.probability_calibration import ProbabilityCalibration, read_calibration
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.motion import advect, estimate_motion, trajectories
from model.runtime.predictor import BasePredictor

SHIPPED_CALIBRATION: Final = Path(__file__).parent / "extrapolation_calibration.json"
"""Fitted on the training archives, without their held-out part (docs/lab.md)."""
_calibrations = FileCache(read_calibration)


class Persistence(BasePredictor):
    """The newest frame, at every lead time."""

    info: ModelInfo = PERSISTENCE
    variant = "numpy"

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See BasePredictor.frames."""
        for _ in range(steps):
            yield sequence.rain_rate[-1]


class Extrapolation(BasePredictor):
    """The newest frame, advected along the motion of the context.

    Parameters
    ----------
    calibration : Path, optional
        File of the calibration of its probabilities; None: the shipped one. It is read on first use.
    """

    info: ModelInfo = EXTRAPOLATION
    variant = "OpenCV DIS on CPU"

    def __init__(self, calibration: Path | None = None) -> None:
        self._calibration_file = calibration or SHIPPED_CALIBRATION

    @property
    def calibration(self) -> ProbabilityCalibration:
        """See BasePredictor.calibration.

        Raises
        ------
        InputError
            The file of a calibration cannot be used.
        """
        return _calibrations(self._calibration_file)

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See BasePredictor.frames."""
        motion = estimate_motion(sequence.rain_rate)
        for origin in trajectories(motion, steps):
            yield advect(sequence.rain_rate[-1], origin)
