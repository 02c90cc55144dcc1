"""Limits of what is accepted: jobs that wait, in all and of one client, bytes of a client, and room in the store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from model.core.errors import InputError
from service.jobs.api_keys import Quota
from service.jobs.database import reading
from service.jobs.fair_share import FairShare
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger
from service.settings import Settings

LOCK_ID: Final = 0x61646D69
"""Id of PostgreSQL's advisory lock of a transaction that counts jobs and adds one. SQLite has a single writer."""

LONGEST_RETRY_SECONDS: Final = 3600
DAY: Final = timedelta(days=1)


class LimitExceeded(InputError):
    """A limit is reached. `retry_after`: when it may not be (s). `position`: the one that the job would have."""

    def __init__(
        self, what: str, *, where: str, hint: str, retry_after: float = 0.0, position: int | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after = _whole_seconds(retry_after)
        self.position = position


class QueueFull(LimitExceeded):
    """As many nowcasts wait as may wait."""

    code = "queue-full"


class TooManyJobs(LimitExceeded):
    """As many nowcasts of the client wait as may wait."""

    code = "too-many-jobs"


class DailyBytesExceeded(LimitExceeded):
    """The client has sent as many bytes within a day as it may send."""

    code = "daily-bytes-exceeded"


class TooManyRequests(LimitExceeded):
    """The client sends more requests a second than it may send."""

    code = "too-many-requests"


class StoreFull(LimitExceeded):
    """Uploads and results take as much room as they may take."""

    code = "store-full"


class Admission:
    """Decides whether a job is accepted. Its transaction adds the job, so that requests at the same time count."""

    def __init__(self, settings: Settings, ledger: Ledger, fair_share: FairShare) -> None:
        self._settings = settings
        self._ledger = ledger
        self._fair_share = fair_share

    def running_limit(self, quota: Quota) -> int:
        """Return how many jobs of a client may run at a time; 0: any number."""
        return _limit(quota.max_running_jobs, self._settings.max_client_running_jobs)

    def check(self, client: str, quota: Quota, new_bytes: int) -> None:
        """Check the limits for one more upload of a client, with so many bytes, without adding it.

        Raises
        ------
        QueueFull, TooManyJobs, DailyBytesExceeded, StoreFull
            A limit is reached.
        """
        with self._estimated(), reading(self._ledger.engine) as session:
            self._check_upload(session, client, quota, new_bytes)

    def create(self, job: Job, quota: Quota) -> Job:
        """Check the limits for an upload, and record it as `Ledger.create` does; raises what both do."""

        def admit(session: Session) -> None:
            _lock(session)
            self._check_upload(session, job.client, quota, job.upload_bytes)

        with self._estimated():
            return self._ledger.create(job, admit)

    def create_answered(self, job: Job, quota: Quota) -> Job:
        """Record an upload that a stored result answers: it waits for nobody, but what was sent and is stored counts.

        Raises
        ------
        DailyBytesExceeded, StoreFull
            A limit is reached.
        IdempotencyConflict
            The key was used for another request.
        """

        def admit(session: Session) -> None:
            _lock(session)
            self._check_daily_bytes(session, job.client, quota, job.upload_bytes)
            self._check_store(session, job.result_bytes)

        return self._ledger.create(job, admit)

    @contextmanager
    def _estimated(self) -> Iterator[None]:
        """Give a refusal of the queue its Retry-After once the transaction is over.

        The estimate needs a connection of its own: within the transaction, requests at the same time would hold all
        connections of the pool and wait for one more.
        """
        try:
            yield
        except (QueueFull, TooManyJobs) as refusal:
            refusal.retry_after = _whole_seconds(self._fair_share.seconds_to_place())
            raise

    def _check_upload(self, session: Session, client: str, quota: Quota, new_bytes: int) -> None:
        self._check_queue(session, client, quota)
        self._check_daily_bytes(session, client, quota, new_bytes)
        self._check_store(session, new_bytes)

    def _check_queue(self, session: Session, client: str, quota: Quota) -> None:
        most, most_of_client = (
            self._settings.max_queued_jobs,
            _limit(quota.max_queued_jobs, self._settings.max_client_queued_jobs),
        )
        waiting = select(func.count()).where(Job.status == JobStatus.ACCEPTED, Job.kind == "upload")
        in_all = session.scalar(waiting) or 0
        if most and in_all >= most:
            raise QueueFull(
                f"{in_all} nowcasts wait, as many as may wait",
                where="queue",
                hint="Try again after Retry-After",
                position=in_all + 1,
            )
        of_client = session.scalar(waiting.where(Job.client == client)) or 0
        if most_of_client and of_client >= most_of_client:
            raise TooManyJobs(
                f"{of_client} of your nowcasts wait, as many as may wait",
                where="queue",
                hint="Try again when one of them has started",
                position=in_all + 1,
            )

    def _check_daily_bytes(self, session: Session, client: str, quota: Quota, new_bytes: int) -> None:
        most = _limit(quota.bytes_per_day, self._settings.max_client_mb_per_day * 1_000_000)
        if not most:
            return
        since = datetime.now(UTC) - DAY
        sent = select(func.sum(Job.upload_bytes), func.min(Job.created)).where(
            Job.client == client, Job.created > since, Job.upload_bytes > 0
        )
        total, first = session.execute(sent).one()
        if (total or 0) + new_bytes > most:
            raise DailyBytesExceeded(
                f"you have sent {(total or 0) / 1e6:.1f} MB within a day, the limit is {most / 1e6:.1f} MB",
                where="files",
                hint="Send the newest frames only, or try again after Retry-After",
                retry_after=LONGEST_RETRY_SECONDS if first is None else (first - since).total_seconds(),
            )

    def _check_store(self, session: Session, new_bytes: int) -> None:
        most = self._settings.max_store_mb * 1_000_000
        if not most:
            return
        unfinished = Job.status.in_((JobStatus.ACCEPTED, JobStatus.RUNNING))
        used = (session.scalar(select(func.sum(Job.result_bytes))) or 0) + (
            session.scalar(select(func.sum(Job.upload_bytes)).where(unfinished)) or 0
        )
        if used + new_bytes > most:
            raise StoreFull(
                f"uploads and results take {used / 1e6:.0f} MB, the limit is {most / 1e6:.0f} MB",
                where="store",
                hint="Try again later; raise ECHOCAST_MAX_STORE_MB, or lower ECHOCAST_RETENTION_DAYS",
                retry_after=LONGEST_RETRY_SECONDS,
            )


def _lock(session: Session) -> None:
    """Let no other transaction count jobs until this one has ended."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})


def _whole_seconds(retry_after: float) -> int:
    return min(LONGEST_RETRY_SECONDS, max(1, math.ceil(retry_after)))


def _limit(of_client: int | None, default: int) -> int:
    """Return a client's own limit, or the one of the settings; 0: none."""
    return default if of_client is None else of_client
