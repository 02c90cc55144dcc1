"""Persistence and extrapolation: baselines, and the fallback where no network fits the input."""

from __future__ import annotations

from collections.abc import Iterator

from model.core.model_info import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.motion import advect, estimate_motion, trajectories
from model.runtime.predictor import BasePredictor


class Persistence(BasePredictor):
    """The newest frame, at every lead time."""

    info: ModelInfo = PERSISTENCE
    variant = "numpy"

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See BasePredictor.frames."""
        for _ in range(steps):
            yield sequence.rain_rate[-1]


class Extrapolation(BasePredictor):
    """The newest frame, advected along the motion of the context."""

    info: ModelInfo = EXTRAPOLATION
    variant = "OpenCV DIS on CPU"

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See BasePredictor.frames."""
        motion = estimate_motion(sequence.rain_rate)
        for origin in trajectories(motion, steps):
            yield advect(sequence.rain_rate[-1], origin)
