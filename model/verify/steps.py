"""STEPS of pysteps, a stochastic ensemble, as a reference (Bowler et al. 2006, doi 10.1256/qj.04.100)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.core.forecast_output import ForecastOutput
from model.core.model_info import ANY_TIME_STEP, ModelInfo
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest
from model.verify.pysteps_process import PystepsProcess

PYSTEPS_STEPS: Final = "pysteps-steps"
DEFAULT_MEMBERS: Final = 20


class MembersInfo(ModelInfo):
    """The description of a model that makes members and nothing else: probabilities are their shares."""

    def check_output(self, output: ForecastOutput) -> None:
        """See `ModelInfo.check_output`: it makes members, and their mean as its only field."""
        if output.field is not None:
            super().check_output(output)


INFO: Final = MembersInfo(
    name=PYSTEPS_STEPS,
    version="1",
    kind="baseline",
    summary="STEPS by pysteps: six cascades, nonparametric noise, perturbed dense Lucas-Kanade motion.",
    input_frames=3,
    time_step=ANY_TIME_STEP,
)


class Steps(BasePredictor):
    """A predictor that runs STEPS in a child process, which lives as long as this object; its frame is the mean.

    Raises
    ------
    MissingDependency
        The package pysteps is not installed.
    """

    info = INFO

    def __init__(self) -> None:
        self._process = PystepsProcess(PYSTEPS_STEPS)
        self.variant = self._process.variant

    def _events(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """See `BasePredictor._events`."""
        done, total = 0, sum(request.steps for request in requests)
        for request in requests:
            sequence, output = request.sequence, request.output
            try:
                members = self._process.forecast(
                    sequence.rain_rate,
                    request.steps,
                    members=output.members or DEFAULT_MEMBERS,
                    seed=output.seed,
                    step_minutes=sequence.time_step_minutes(),
                    pixel_km=float(np.mean(sequence.grid.pixel_size_m)) / 1000,
                )
            except InputError as error:
                yield ForecastEvent(request, done / total, error=error)
                continue
            for step in range(request.steps):
                at_step = members[:, step]
                frame = np.asarray(at_step.mean(axis=0), np.float32)
                asked = at_step if output.members else None
                yield ForecastEvent(request, (done + step + 1) / total, step + 1, frame, members=asked)
            done += request.steps
