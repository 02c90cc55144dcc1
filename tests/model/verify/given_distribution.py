"""A predictor whose distribution and members the test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from model.core.manifest import Distribution, SharpCuts
from model.core.model_info import ANY_TIME_STEP, ModelInfo
from model.core.rain_distribution import RainDistribution
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest


class GivenDistribution(BasePredictor):
    """A model with a distribution: the exceedance probabilities and members that `give(request, step)` returns."""

    variant = "fake"

    def __init__(
        self,
        name: str,
        thresholds_mm_h: tuple[float, ...],
        give: Callable[[ForecastRequest, int], tuple[FloatArray, FloatArray | None]],
    ) -> None:
        self.info = ModelInfo(
            name=name,
            version="1",
            kind="network",
            summary="of a test",
            input_frames=2,
            time_step=ANY_TIME_STEP,
            distribution=Distribution(
                thresholds_mm_h=thresholds_mm_h,
                sharp_cuts=(SharpCuts(lead_minutes=60, probabilities=(0.4,) * len(thresholds_mm_h)),),
            ),
        )
        self._give = give

    def forecast(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """See Predictor.forecast."""
        for request in requests:
            for step in range(1, request.steps + 1):
                exceedance, members = self._give(request, step)
                assert self.info.distribution is not None
                found = RainDistribution(self.info.distribution.thresholds_mm_h, exceedance)
                frame = found.sharp(self.info.distribution.cuts_at(60))
                probability = found.probability_of_exceedance(request.output.thresholds_mm_h)
                yield ForecastEvent(request, step / request.steps, step, frame, probability, members)
