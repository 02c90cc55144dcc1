"""The ledger: every job that was accepted, in SQL.

Each change of a job is one UPDATE that names the state that it starts from. A running job is held by a lease:
a random token that only its worker knows, and a time until when it holds. A worker that is not heard of loses
the lease, another may claim the job, and only the holder of the lease can finish it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Table, and_, case, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from service.jobs.database import open_engine, writing
from service.jobs.job import (
    IdempotencyConflict,
    Job,
    JobInput,
    JobKind,
    JobStatus,
    NewJob,
    Problem,
    Timings,
    UnknownJob,
    new_job_id,
    problem_of,
)
from service.jobs.tables import JobRow
from service.settings import Settings

__all__ = [
    "IdempotencyConflict",
    "Job",
    "JobInput",
    "JobStatus",
    "Ledger",
    "NewJob",
    "Problem",
    "Timings",
    "UnknownJob",
    "new_job_id",
    "open_ledger",
    "problem_of",
]

jobs = cast(Table, JobRow.__table__)
_FIELDS = tuple(jobs.c[name] for name in Job.__dataclass_fields__)
_OPEN = (JobStatus.ACCEPTED, JobStatus.RUNNING)


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of these settings; its tables are brought up to date."""
    return Ledger(settings.database)


class Ledger:
    """Jobs by id. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)

    def close(self) -> None:
        self.engine.dispose()

    def check(self) -> None:
        """Raise what the database raises when it cannot be read."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))

    def create(
        self,
        new: NewJob,
        *,
        job_id: str | None = None,
        idempotency_key: str | None = None,
        request_digest: str | None = None,
    ) -> Job:
        """Record an accepted job. A key that was used before, for the same request, gives the job of then.

        Raises
        ------
        IdempotencyConflict
            The key was used for another request.
        """
        wanted = job_id or new_job_id()
        try:
            with writing(self.engine) as connection:
                insert_job(connection, wanted, new, idempotency_key, request_digest)
        except IntegrityError:
            earlier = self.find_by_idempotency_key(idempotency_key, request_digest) if idempotency_key else None
            if earlier is None:
                raise
            return earlier
        return self.get(wanted)

    def find_by_idempotency_key(self, idempotency_key: str, request_digest: str | None) -> Job | None:
        """The job that was created with this key, if any.

        Raises
        ------
        IdempotencyConflict
            The key was used for another request.
        """
        with self.engine.connect() as connection:
            row = connection.execute(
                select(*_FIELDS, jobs.c.request_digest).where(jobs.c.idempotency_key == idempotency_key)
            ).one_or_none()
        if row is None:
            return None
        if row.request_digest != request_digest:
            raise IdempotencyConflict(
                "this key was used for another request",
                where="Idempotency-Key",
                hint="Send a new key with each new request",
            )
        return _job(row._mapping)

    def get(self, job_id: str) -> Job:
        """The job.

        Raises
        ------
        UnknownJob
            There is none.
        """
        with self.engine.connect() as connection:
            row = connection.execute(select(*_FIELDS).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise UnknownJob(f"no nowcast {job_id!r}", where="id", hint="It may have been deleted after its retention")
        return _job(row._mapping)

    def mark_queued(self, job_id: str) -> None:
        """The queue took the job's id."""
        self._change(jobs.c.id == job_id, queued=datetime.now(UTC))

    def claim(self, job_id: str, lease_seconds: float, *, max_attempts: int | None = None) -> Job | None:
        """Take an accepted job, or a running one whose lease ran out; None where it is neither."""
        free = or_(
            jobs.c.status == JobStatus.ACCEPTED.value,
            and_(jobs.c.status == JobStatus.RUNNING.value, jobs.c.lease_until < datetime.now(UTC)),
        )
        if max_attempts is not None:
            free = and_(free, jobs.c.attempt < max_attempts)
        with writing(self.engine) as connection:
            return next(iter(_claimed(connection, and_(jobs.c.id == job_id, free), lease_seconds)), None)

    def claim_similar(self, job: Job, limit: int, lease_seconds: float) -> list[Job]:
        """Take up to `limit` accepted jobs that ask for the same model as `job`: feeds' first, from the newest on, then
        the oldest uploads.

        Only jobs that were never begun: one that did not survive its first attempt runs alone.
        """
        like = (
            select(jobs.c.id)
            .where(jobs.c.status == JobStatus.ACCEPTED.value, jobs.c.model == job.model, jobs.c.attempt == 0)
            .order_by(_FEEDS_FIRST, _NEWEST_FEED_FIRST.desc(), jobs.c.created)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with writing(self.engine) as connection:
            found = list(connection.execute(like).scalars())
            claimed = _claimed(connection, jobs.c.id.in_(found), lease_seconds) if found else []
        return sorted(claimed, key=lambda job: found.index(job.id))

    def renew_lease(self, job: Job, lease_seconds: float, *, progress_done: int | None = None) -> bool:
        """Hold the lease for longer, note the progress. False: the job was dismissed, or is another's."""
        values: dict[str, Any] = {"lease_until": datetime.now(UTC) + timedelta(seconds=lease_seconds)}
        if progress_done is not None:
            values["progress_done"] = progress_done
        return self._change(_held(job), **values)

    def record_model(self, job: Job, *, model_used: str, note: str) -> bool:
        """Note which model runs, and why where it is not the one that was asked for. False as in `renew_lease`."""
        return self._change(_held(job), model_used=model_used, note=note)

    def succeed(self, job: Job, *, result_key: str, input_key: str, timings: Timings | None = None) -> bool:
        """The result is published. False as in `renew_lease`."""
        return self._change(
            _held(job),
            status=JobStatus.SUCCESSFUL.value,
            result_key=result_key,
            input_key=input_key,
            progress_done=jobs.c.progress_total,
            finished=datetime.now(UTC),
            lease=None,
            lease_until=None,
            **_timed(timings),
        )

    def fail(self, job: Job, problem: Problem, timings: Timings | None = None) -> bool:
        """The holder of the lease gives up. False as in `renew_lease`."""
        return self._change(_held(job), **_failure(problem), **_timed(timings))

    def release(self, job: Job) -> bool:
        """The holder of the lease gives the job back unfinished, and its attempt counts. False as in `renew_lease`.

        It counts as queued now, so that it rests before the reconciler queues it.
        """
        return self._change(_held(job), **{**_ACCEPTED, "queued": datetime.now(UTC)})

    def unclaim(self, job: Job) -> bool:
        """Give back a claimed job that was not started; its attempt does not count. False as in `renew_lease`."""
        return self._change(_held(job), attempt=jobs.c.attempt - 1, **_ACCEPTED)

    def dismiss_claimed(self, job: Job, note: str) -> bool:
        """The holder of the lease dismisses the job, and says why. False as in `renew_lease`."""
        return self._change(_held(job), note=note, **dismissal())

    def release_all(self) -> int:
        """Give every running job back: for a start where no worker can be alive. The attempts do not count."""
        return self._change_count(jobs.c.status == JobStatus.RUNNING.value, attempt=jobs.c.attempt - 1, **_ACCEPTED)

    def dismiss(self, job_id: str) -> bool:
        """Cancel a job that is not finished; False where it is."""
        return self._change(
            and_(jobs.c.id == job_id, jobs.c.status.in_([status.value for status in _OPEN])), **dismissal()
        )

    def finished(self, job_ids: Sequence[str]) -> list[str]:
        """Those of the jobs that are finished."""
        query = select(jobs.c.id).where(
            jobs.c.id.in_(job_ids), jobs.c.status.not_in([status.value for status in _OPEN])
        )
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def count_accepted(self, kind: JobKind) -> int:
        """How many jobs of this kind are accepted and not begun."""
        query = select(func.count()).where(jobs.c.status == JobStatus.ACCEPTED.value, jobs.c.kind == kind)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def unqueued(self, kind: JobKind, queued_before: datetime, limit: int) -> list[Job]:
        """Accepted jobs that were never queued, or only before that time: oldest first."""
        query = (
            select(*_FIELDS)
            .where(jobs.c.status == JobStatus.ACCEPTED.value, jobs.c.kind == kind)
            .where(or_(jobs.c.queued.is_(None), jobs.c.queued < queued_before))
            .order_by(jobs.c.created)
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [_job(row._mapping) for row in connection.execute(query)]

    def lost(self, limit: int = 1000) -> list[Job]:
        """Running jobs whose lease ran out: their worker is gone."""
        query = (
            select(*_FIELDS)
            .where(jobs.c.status == JobStatus.RUNNING.value, jobs.c.lease_until < datetime.now(UTC))
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [_job(row._mapping) for row in connection.execute(query)]

    def requeue_lost(self, job: Job) -> bool:
        """A lost job goes back to the queue. False where it moved on since `job` was read."""
        return self._change(_still_lost(job), **_ACCEPTED)

    def fail_lost(self, job: Job, problem: Problem) -> bool:
        """A job whose worker died too often. False where it moved on since `job` was read."""
        return self._change(_still_lost(job), **_failure(problem))

    def finished_before(self, moment: datetime, limit: int = 1000) -> list[Job]:
        """Finished jobs, oldest first."""
        query = select(*_FIELDS).where(jobs.c.finished < moment).order_by(jobs.c.finished).limit(limit)
        with self.engine.connect() as connection:
            return [_job(row._mapping) for row in connection.execute(query)]

    def delete(self, job_ids: Sequence[str]) -> None:
        """Forget finished jobs."""
        with writing(self.engine) as connection:
            connection.execute(delete(jobs).where(jobs.c.id.in_(job_ids), jobs.c.finished.is_not(None)))

    def _change(self, which: ColumnElement[bool], **values: Any) -> bool:  # noqa: ANN401 - column values
        return self._change_count(which, **values) == 1

    def _change_count(self, which: ColumnElement[bool], **values: Any) -> int:  # noqa: ANN401 - column values
        with writing(self.engine) as connection:
            return int(connection.execute(update(jobs).where(which).values(**values)).rowcount)


def insert_job(
    connection: Connection,
    job_id: str,
    new: NewJob,
    idempotency_key: str | None = None,
    request_digest: str | None = None,
) -> None:
    """Insert an accepted job in a transaction that may hold more than that."""
    connection.execute(
        insert(jobs).values(
            id=job_id,
            kind=new.kind,
            status=JobStatus.ACCEPTED.value,
            model=new.model,
            note="",
            steps=new.steps,
            variable=new.variable,
            zr=new.zr,
            inputs=[dict(item) for item in new.inputs],
            feed=new.feed,
            output=new.output,
            progress_done=0,
            progress_total=new.steps,
            created=datetime.now(UTC),
            attempt=0,
            idempotency_key=idempotency_key,
            request_digest=request_digest,
        )
    )


def _claimed(connection: Connection, which: ColumnElement[bool], lease_seconds: float) -> list[Job]:
    """Take all these jobs, under one new lease, in a transaction that has begun."""
    now = datetime.now(UTC)
    taken = (
        update(jobs)
        .where(which)
        .values(
            status=JobStatus.RUNNING.value,
            lease=uuid.uuid4().hex,
            lease_until=now + timedelta(seconds=lease_seconds),
            attempt=jobs.c.attempt + 1,
            progress_done=0,
            started=func.coalesce(jobs.c.started, now),
        )
        .returning(*_FIELDS)
    )
    return [_job(row._mapping) for row in connection.execute(taken)]


_FEEDS_FIRST = case((jobs.c.kind == "feed", 0), else_=1)
_NEWEST_FEED_FIRST = case((jobs.c.kind == "feed", jobs.c.created))

_ACCEPTED: dict[str, Any] = {
    "status": JobStatus.ACCEPTED.value,
    "progress_done": 0,
    "queued": None,
    "lease": None,
    "lease_until": None,
}


def _held(job: Job) -> ColumnElement[bool]:
    return and_(jobs.c.id == job.id, jobs.c.status == JobStatus.RUNNING.value, jobs.c.lease == job.lease)


def _still_lost(job: Job) -> ColumnElement[bool]:
    return and_(
        jobs.c.id == job.id,
        jobs.c.status == JobStatus.RUNNING.value,
        jobs.c.attempt == job.attempt,
        jobs.c.lease_until < datetime.now(UTC),
    )


def _timed(timings: Timings | None) -> dict[str, Any]:
    return {} if timings is None else dict(timings)


def _failure(problem: Problem) -> dict[str, Any]:
    return {
        "status": JobStatus.FAILED.value,
        "problem": dict(problem),
        "finished": datetime.now(UTC),
        "lease": None,
        "lease_until": None,
    }


def dismissal() -> dict[str, Any]:
    """The columns of a job that is dismissed now."""
    return {
        "status": JobStatus.DISMISSED.value,
        "finished": datetime.now(UTC),
        "lease": None,
        "lease_until": None,
    }


def _job(row: Any) -> Job:  # noqa: ANN401 - a row mapping
    values = {name: row[name] for name in Job.__dataclass_fields__}
    values["status"] = JobStatus(values["status"])
    values["inputs"] = tuple(values["inputs"])
    return Job(**values)
