"""A predictor for tests: the default of `BasePredictor`, for which only `frames` is to be written."""

from __future__ import annotations

from collections.abc import Iterator

from model.core.model_info import EXTRAPOLATION
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor


class FailingPredictor(BasePredictor):
    """The newest frame at the first two lead steps, and then an error."""

    info = EXTRAPOLATION
    variant = "fake"

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See BasePredictor.frames."""
        for step in range(steps):
            if step == 2:
                raise RuntimeError("no third step")
            yield sequence.rain_rate[-1]
