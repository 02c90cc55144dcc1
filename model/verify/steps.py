"""STEPS of pysteps, a stochastic ensemble, as a reference (Bowler et al. 2006, doi 10.1256/qj.04.100)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from model.core.model_info import ANY_TIME_STEP, ModelInfo
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastRequest, LeadFields
from model.verify.pysteps_process import PystepsProcess

PYSTEPS_STEPS: Final = "pysteps-steps"
DEFAULT_MEMBERS: Final = 20


class MembersInfo(ModelInfo):
    """The description of a model that makes members and nothing else: probabilities are their shares."""

    @property
    def makes_members(self) -> bool:
        """See `ModelInfo.makes_members`."""
        return True


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

    def lead_fields(self, request: ForecastRequest) -> Iterator[LeadFields]:
        """See `BasePredictor.lead_fields`.

        Raises
        ------
        InputError
            pysteps cannot forecast from these frames.
        """
        sequence, output = request.sequence, request.output
        members = self._process.forecast(
            sequence.rain_rate,
            request.steps,
            members=output.members or DEFAULT_MEMBERS,
            seed=output.seed,
            step_minutes=sequence.time_step_minutes(),
            pixel_km=float(np.mean(sequence.grid.pixel_size_m)) / 1000,
        )
        for step in range(request.steps):
            mean = np.asarray(members[:, step].mean(axis=0), np.float32)
            yield LeadFields(mean, members=members[:, step] if output.members else None)
