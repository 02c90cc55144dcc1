"""Holding a job while it runs."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from service.jobs.job import Job
from service.jobs.ledger import Ledger

PROGRESS_SECONDS: Final = 0.25
"""Progress is written at most this often."""

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The job was dismissed, or its lease was lost: nothing of it may be published by this worker."""


class Lease:
    """Renews a job's lease and notes its progress, from a thread, until it is closed: the ledger's disk holds up no
    forecast. A ledger that is away for a while is asked again."""

    def __init__(self, ledger: Ledger, job: Job, seconds: float) -> None:
        self._ledger = ledger
        self._job = job
        self._seconds = seconds
        self._done = 0
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.id[:8]}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Renew it no more."""
        self._over.set()
        self._thread.join()

    def progress(self, done: int) -> None:
        """Note that `done` lead steps are done.

        Raises
        ------
        LeaseLost
            The job is not this worker's any more.
        """
        self._done = done
        self.check()

    def check(self) -> None:
        """Raise LeaseLost where the job is not this worker's any more."""
        if self._lost.is_set():
            raise LeaseLost

    def _keep(self) -> None:
        noted, renewed = 0, time.monotonic()
        while not self._over.wait(min(PROGRESS_SECONDS, self._seconds / 4)) and not self._lost.is_set():
            done = self._done
            if done != noted or time.monotonic() - renewed >= self._seconds / 4:
                noted, renewed = done, time.monotonic()
                self._renew(done)

    def _renew(self, done: int) -> None:
        try:
            if not self._ledger.renew_lease(self._job, self._seconds, progress_done=done):
                self._lost.set()
        except SQLAlchemyError as error:
            log.warning("job %s: the ledger did not answer: %s", self._job.id, error)
