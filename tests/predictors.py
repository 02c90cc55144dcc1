"""A predictor for tests: the default of `BasePredictor`, for which only `frames` is to be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.core.model_info import EXTRAPOLATION
from model.core.rain_distribution import RainDistribution
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest


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


class DistributionPredictor(BasePredictor):
    """Persistence with a distribution: halved probability where it rains, members that are wet in every second one."""

    info = EXTRAPOLATION
    variant = "fake"

    def _events(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        for request in requests:
            newest, output = request.sequence.rain_rate[-1], request.output
            thresholds = (0.1, 1.0, 10.0, 100.0)
            exceedance = np.stack([np.where(newest >= threshold, 0.75, 0.25) for threshold in thresholds])
            exceedance[:, np.isnan(newest)] = np.nan
            probability = RainDistribution(thresholds, exceedance.astype(np.float32)).probability_of_exceedance(
                output.thresholds_mm_h
            )
            members = np.stack([newest * np.float32(member % 2) for member in range(output.members or 1)])
            for step in range(1, request.steps + 1):
                yield ForecastEvent(
                    request,
                    step / request.steps,
                    step,
                    newest,
                    probability if output.thresholds_mm_h else None,
                    members if output.members else None,
                )
