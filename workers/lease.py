"""Renew the lease of a running job."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from service.jobs.job import Job
from service.jobs.ledger import Ledger

PROGRESS_SECONDS: Final = 1.0
"""Shortest interval at which progress is written: a write, and the gateway that hears of it, delay a lead step."""

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The job was dismissed, or its lease was lost: this worker must not publish its result."""


class Lease:
    """The lease of a job, which a thread renews until it is closed.

    The thread also writes the progress, so that a forecast never waits for the ledger's disk. If the ledger is not
    reachable, the thread tries again. `on_progress` is called with the job's id after each progress.
    """

    def __init__(self, ledger: Ledger, job: Job, seconds: float, on_progress: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._job = job
        self._seconds = seconds
        self._on_progress = on_progress
        self._done = 0
        self._lost = threading.Event()
        self._closed = threading.Event()
        run = contextvars.copy_context().run  # the ids of the log
        self._thread = threading.Thread(
            target=run, args=(self._renew_until_closed,), name=f"lease-{job.id[:8]}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()
        self._thread.join()

    def progress(self, done: int) -> None:
        """Report that `done` lead steps are computed.

        Raises
        ------
        LeaseLost
            The job was dismissed, or another worker has it.
        """
        self._done = done
        self.check()

    def check(self) -> None:
        """Raise LeaseLost if the job was dismissed, or another worker has it."""
        if self._lost.is_set():
            raise LeaseLost

    def _renew_until_closed(self) -> None:
        written, renewed = 0, time.monotonic()
        while not self._closed.wait(min(PROGRESS_SECONDS, self._seconds / 4)) and not self._lost.is_set():
            done = self._done
            changed = done != written
            if changed or time.monotonic() - renewed >= self._seconds / 4:
                written, renewed = done, time.monotonic()
                self._renew(done)
                if changed:
                    self._on_progress(self._job.id)

    def _renew(self, done: int) -> None:
        try:
            if not self._ledger.renew_lease(self._job, self._seconds, progress_done=done):
                self._lost.set()
        except SQLAlchemyError as error:
            log.warning("job %s: the ledger is not reachable: %s", self._job.id, error)
