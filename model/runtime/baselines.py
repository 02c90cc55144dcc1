"""Persistence and extrapolation: baselines, and the fallback where no network fits the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from model.core.caching import FileCache
from model.core.model_info import EXTRAPOLATION, PERSISTENCE, ModelInfo
from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.probability_calibration import ProbabilityCalibration, read_calibration
from model.core.rain_distribution import TAIL_MM_H, THRESHOLDS_MM_H
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.ceiling import rain_ceiling
from model.runtime.members import MemberGenerator
from model.runtime.motion import advect, estimate_motion, trajectories
from model.runtime.neighbourhood import neighbourhood_probability
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastRequest, LeadFields

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
        File of the calibration of its probabilities; None: the shipped one, which is read on first use.

    Raises
    ------
    InputError
        The file cannot be used.
    """

    info: ModelInfo = EXTRAPOLATION
    variant = "OpenCV DIS on CPU"

    def __init__(self, calibration: Path | None = None) -> None:
        self._calibration_file = calibration or SHIPPED_CALIBRATION
        if calibration:
            _calibrations(calibration)

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
        for origins in trajectories(motion, steps):
            yield advect(sequence.rain_rate[-1], origins)

    def lead_fields(self, request: ForecastRequest) -> Iterator[LeadFields]:
        """See BasePredictor.lead_fields: members, too, from the calibrated probabilities of the neighbourhood."""
        sequence, output = request.sequence, request.output
        if not output.members:
            yield from super().lead_fields(request)
            return
        step_minutes = sequence.time_step_minutes()
        newest = sequence.rain_rate[-1]
        generator = MemberGenerator(
            newest,
            output.members,
            request.member_seed,
            step_minutes=step_minutes,
            pixel_km=float(np.mean(sequence.grid.pixel_size_m)) / 1000,
            thresholds_mm_h=THRESHOLDS_MM_H,
            tail_mm_h=TAIL_MM_H,
            ceiling_mm_h=float(hko7_rain_rate_mm_h(np.array(rain_ceiling(hko7_fraction(sequence.rain_rate))))),
        )
        motion = estimate_motion(sequence.rain_rate)
        for step, origins in enumerate(trajectories(motion, request.steps), start=1):
            frame = advect(newest, origins)
            exceedance = neighbourhood_probability(
                frame, sequence.grid, THRESHOLDS_MM_H, step * step_minutes, self.calibration
            )
            yield LeadFields(frame, members=generator.all_at_next_lead(exceedance, origins))
