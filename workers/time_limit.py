"""The time limit of a job, where Celery keeps it: one signal to the process that runs the job."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from model.core.interrupt import Interrupted

TIME_LIMIT_SIGNAL: Final = signal.SIGUSR1
"""What Celery's pool sends when a task's soft time limit is over."""


@contextmanager
def time_limit_interrupts() -> Iterator[None]:
    """Within, the time limit raises Interrupted. Main thread only.

    Celery's own handler raises an Exception, which a reader would take for a damaged file.
    """
    before = signal.signal(TIME_LIMIT_SIGNAL, _interrupt)
    try:
        yield
    finally:
        signal.signal(TIME_LIMIT_SIGNAL, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted
