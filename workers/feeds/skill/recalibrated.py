"""Apply the recalibration of a feed to the probabilities of a nowcast, lead step by lead step."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from model.core.forecast_file import ForecastHeader
from model.core.forecast_variables import LIVE_SKILL, RECALIBRATION
from model.core.packing import PROBABILITY_FILL, PROBABILITY_RESOLUTION
from model.core.probability_calibration import ProbabilityCalibration
from model.core.units import FloatArray
from service.feeds.skill.counts import stride_of
from service.feeds.skill.recalibration import described
from service.jobs.job import Job
from service.store import ObjectStore, uncalibrated_key
from workers.context import WorkerContext


class Recalibration:
    """The recalibration of one nowcast; keeps what the probabilities were before, for verification.

    Parameters
    ----------
    calibration
        Of the model on this feed.
    header
        Of the forecast.
    """

    def __init__(self, calibration: ProbabilityCalibration, header: ForecastHeader) -> None:
        self._calibration = calibration
        self._header = header
        self._stride = stride_of(header.grid.shape)
        self._before: list[NDArray[np.uint8]] = []

    @property
    def header(self) -> ForecastHeader:
        """The header, which names the recalibration."""
        return replace(
            self._header, attributes={**self._header.attributes, RECALIBRATION: described(self._calibration)}
        )

    def probability(self, step: int, raw: FloatArray) -> FloatArray:
        """Return the recalibrated probabilities [threshold, y, x] of a lead step, counted from 1."""
        thin = raw[:, :: self._stride, :: self._stride]
        levels = np.where(np.isfinite(thin), np.round(np.nan_to_num(thin) / PROBABILITY_RESOLUTION), PROBABILITY_FILL)
        self._before.append(levels.astype(np.uint8))
        lead = float(self._header.lead_minutes[step - 1])
        return self._calibration.calibrate(raw, self._header.output.thresholds_mm_h, lead)

    def save(self, store: ObjectStore, job_id: str) -> None:
        """Store what the probabilities were before."""
        file = BytesIO()
        np.savez_compressed(file, levels=np.stack(self._before))
        store.put(uncalibrated_key(job_id), file.getvalue())


def with_skill(
    header: ForecastHeader, job: Job, model: str, context: WorkerContext
) -> tuple[ForecastHeader, Recalibration | None]:
    """Return a header that tells the live skill of a version on the job's feed, and the recalibration, if any."""
    skill = context.skill_ledger.skill(job.feed).get(model) if job.feed is not None else None
    if skill is None:
        return header, None
    if skill.sentence:
        header = replace(header, attributes={**header.attributes, LIVE_SKILL: skill.sentence})
    if skill.calibration is None or not header.output.thresholds_mm_h:
        return header, None
    made = Recalibration(ProbabilityCalibration.model_validate(skill.calibration), header)
    return made.header, made


def read_uncalibrated(store: ObjectStore, job_id: str, lead: int) -> NDArray[np.uint8]:
    """Return the probabilities before the recalibration [threshold, y', x'] of a lead step, packed, by index.

    Raises
    ------
    MissingObject
        There are none.
    """
    with np.load(BytesIO(store.get(uncalibrated_key(job_id)))) as stored:
        levels: NDArray[np.uint8] = stored["levels"][lead]
    return levels
