"""Holding a job while it runs."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Final, Self

from sqlalchemy.exc import SQLAlchemyError

from service.jobs.ledger import Job, Ledger

PROGRESS_SECONDS: Final = 0.25
"""Progress is written at most this often."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The job was dismissed, or its lease was lost: nothing of it may be published by this worker."""


class Lease:
    """Renews a job's lease from a thread until it ends; a ledger that is away for a while is asked again."""

    def __init__(self, ledger: Ledger, job: Job, seconds: float) -> None:
        self._ledger = ledger
        self._job = job
        self._seconds = seconds
        self._done = 0
        self._written = time.monotonic()
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.id[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def progress(self, done: int) -> None:
        """Note that `done` lead steps are done.

        Raises:
            Stopped: the job is not this worker's any more.
        """
        self._done = done
        if time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._renew()
        self.check()

    def check(self) -> None:
        """Raise Stopped where the job is not this worker's any more."""
        if self._lost.is_set():
            raise Stopped

    def _keep(self) -> None:
        while not self._over.wait(self._seconds / 4) and not self._lost.is_set():
            self._renew()

    def _renew(self) -> None:
        self._written = time.monotonic()
        try:
            if not self._ledger.renew(self._job, self._seconds, progress_done=self._done):
                self._lost.set()
        except SQLAlchemyError as error:
            log.warning("job %s: the ledger did not answer: %s", self._job.id, error)
