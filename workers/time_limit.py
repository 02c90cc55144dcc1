"""The time limit of a job: Celery sends a signal to the process that runs the job."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from model.core.interrupt import Interrupted

TIME_LIMIT_SIGNAL: Final = signal.SIGUSR1
"""Signal of Celery's pool for the soft time limit of a task."""


class AllottedTimeUsed(Interrupted):
    """Raised by `interrupted_after`; the time limit of the whole task raises a plain Interrupted."""


@contextmanager
def time_limit_interrupts() -> Iterator[None]:
    """Make the time limit raise Interrupted inside the block. Main thread only.

    Celery's own handler raises an Exception, which a reader of files would report as a damaged file.
    """
    before = signal.signal(TIME_LIMIT_SIGNAL, _interrupt)
    try:
        yield
    finally:
        signal.signal(TIME_LIMIT_SIGNAL, before)


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise AllottedTimeUsed inside the block after so many seconds, whatever time limit is left. Main thread only."""
    before = signal.signal(signal.SIGALRM, _end_allotted_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _end_allotted_time(number: int, frame: FrameType | None) -> None:
    raise AllottedTimeUsed
