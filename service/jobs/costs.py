"""What a nowcast costs: work from what is known of it, and seconds from what nowcasts of the same model took.

Work is counted in 10^6 pixels x lead steps, and what a nowcast holds beside its field counts as a share of it.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select

from model.core.forecast_output import ForecastOutput
from service.jobs.database import reading
from service.jobs.job import Job, JobStatus

PIXELS_PER_BYTE: Final = 5.0
"""Of an uploaded file, where its pixels are not known yet. Measured on files of BOM: 3.5 to 5.5."""
FEWEST_FRAMES: Final = 4
"""Frames that fewer files than that are taken to hold together: models read at least 4."""

MEMBER_WORK: Final = 0.25
PROBABILITY_WORK: Final = 0.05
"""Work of each member, and of each threshold of the probabilities, as a share of that of the field."""

DEFAULT_SECONDS: Final = 0.25
"""Seconds for one unit of work of a model that no nowcast was made with yet: a network on two CPU cores."""
SHORTEST_SECONDS: Final = 0.1
"""Reading and publishing take as long even for the smallest nowcast."""

SAMPLE: Final = 200
SAMPLE_AGE: Final = timedelta(days=1)
REFRESH_SECONDS: Final = 30.0
"""Nowcasts from which seconds are measured, their age, and how often."""


def work_of(pixels: float, steps: int, output: ForecastOutput) -> float:
    """Return the work of a nowcast on a grid of so many pixels (10^6 pixels x lead steps)."""
    beside = MEMBER_WORK * output.members + PROBABILITY_WORK * len(output.thresholds_mm_h)
    return pixels * steps * (1 + beside) / 1e6


def work_of_files(total_bytes: int, files: int, steps: int, output: ForecastOutput) -> float:
    """Return the work that files seem to ask for before anyone has read them."""
    return work_of(PIXELS_PER_BYTE * total_bytes / max(files, FEWEST_FRAMES), steps, output)


class MeasuredCosts:
    """Seconds for a unit of work, by the model that was asked for, from the nowcasts that finished last."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._measured = -REFRESH_SECONDS

    def seconds(self, model: str, work: float) -> float:
        """Return how long a worker is expected to take for so much work (s)."""
        with self._lock:
            if time.monotonic() - self._measured > REFRESH_SECONDS:
                self._seconds, self._measured = self._measure(), time.monotonic()
            return max(SHORTEST_SECONDS, work * self._seconds.get(model, DEFAULT_SECONDS))

    def is_measured(self, model: str) -> bool:
        """Whether nowcasts of the model have been measured lately; without, costs are a guess."""
        self.seconds(model, 0.0)
        return model in self._seconds

    def _measure(self) -> dict[str, float]:
        query = (
            select(Job.model, Job.work, Job.read_seconds + Job.compute_seconds + Job.write_seconds)
            .where(Job.finished > datetime.now(UTC) - SAMPLE_AGE, Job.status == JobStatus.SUCCESSFUL)
            .where(Job.work > 0)
            .order_by(Job.finished.desc())
            .limit(SAMPLE)
        )
        work: defaultdict[str, float] = defaultdict(float)
        seconds: defaultdict[str, float] = defaultdict(float)
        with reading(self._engine) as session:
            for model, job_work, job_seconds in session.execute(query):
                if job_seconds is not None:
                    work[model] += job_work
                    seconds[model] += job_seconds
        return {model: seconds[model] / work[model] for model in work}
