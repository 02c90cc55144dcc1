"""The extrapolation of pysteps along dense Lucas-Kanade motion, as a reference (Pulkkinen et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from model.core.model_info import ANY_TIME_STEP, ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor
from model.verify.pysteps_process import PystepsProcess

PYSTEPS: Final = "pysteps"
INFO: Final = ModelInfo(
    name=PYSTEPS,
    version="1",
    kind="baseline",
    summary="The newest frame moves along dense Lucas-Kanade motion, semi-Lagrangian, by pysteps.",
    input_frames=3,
    time_step=ANY_TIME_STEP,
)


class LucasKanade(BasePredictor):
    """A predictor that runs pysteps in a child process, which lives as long as this object.

    Raises
    ------
    MissingDependency
        The package pysteps is not installed.
    """

    info = INFO

    def __init__(self) -> None:
        self._process = PystepsProcess(PYSTEPS)
        self.variant = self._process.variant

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See `BasePredictor.frames`.

        Raises
        ------
        InputError
            pysteps cannot forecast from these frames.
        """
        yield from self._process.forecast(sequence.rain_rate, steps)
