"""The ledger: every job that was accepted, in SQL.

Each change of a job is one UPDATE that names the state that it starts from. A running job is held by a lease: a random
token that only its worker knows, and the time until which it is valid. A worker that stops renewing the lease loses it,
another worker may claim the job, and only the holder of the lease can finish it. The end of a job that has a webhook
puts it into the outbox, in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from service.jobs import outbox
from service.jobs.database import PATIENCE_SECONDS, load, open_engine, reading, writing
from service.jobs.job import IdempotencyConflict, Job, JobKind, JobStatus, JobVersion, Problem, Timings, UnknownJob
from service.metrics.instruments import JOB_PHASE_DURATION, JOBS_ACCEPTED, JOBS_FINISHED, JOBS_LOST

_UNFINISHED = (JobStatus.ACCEPTED, JobStatus.RUNNING)


class Ledger:
    """Jobs by id. Safe to share between threads.

    `url` is that of a database (`Settings.database`), whose tables are migrated to the newest ones. `patience_seconds`
    bounds the wait for a lock of another process.
    """

    def __init__(self, url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.engine = open_engine(url, patience_seconds=patience_seconds)

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()

    def check(self) -> None:
        """Raise what the database raises when it cannot be written."""
        self._update(Job.id == "", attempt=0)  # of no job

    def create(self, job: Job, admit: Callable[[Session], None] | None = None) -> Job:
        """Record an accepted job; the same request with the same Idempotency-Key returns the job recorded first.

        `admit` is called in the transaction before, and raises where the job may not be accepted.

        Raises
        ------
        IdempotencyConflict
            The key was used for another request.
        """
        try:
            with writing(self.engine) as session:
                if admit is not None:
                    admit(session)
                session.add(job)
                if job.status.finished:
                    outbox.post(session, job.id, job.callback_url)
        except IntegrityError:
            key = job.idempotency_key
            earlier = (
                self.find_by_idempotency_key(job.client, key, job.request_digest, job.callback_url) if key else None
            )
            if earlier is None:
                raise
            return earlier
        JOBS_ACCEPTED.labels(job.kind).inc()
        if job.status.finished:
            count_finished(job.kind, job.status)
        return job

    def find_result(self, client: str, request_digest: str, models_digest: str) -> Job | None:
        """Return the client's newest successful job of the same request that ran with the same models."""
        query = (
            select(Job)
            .where(Job.client == client, Job.request_digest == request_digest, Job.models_digest == models_digest)
            .where(Job.status == JobStatus.SUCCESSFUL)
            .order_by(Job.created.desc())
            .limit(1)
        )
        return next(iter(load(self.engine, query)), None)

    def find_by_idempotency_key(
        self, client: str, idempotency_key: str, request_digest: str | None, callback_url: str | None = None
    ) -> Job | None:
        """Return the job that the client created with this key, if there is one.

        Raises
        ------
        IdempotencyConflict
            The key was used for another request.
        """
        query = select(Job).where(Job.client == client, Job.idempotency_key == idempotency_key)
        job = next(iter(load(self.engine, query)), None)
        if job is not None and (job.request_digest, job.callback_url) != (request_digest, callback_url):
            raise IdempotencyConflict(
                "this key was used for another request",
                where="Idempotency-Key",
                hint="Send a new key with each new request",
            )
        return job

    def get(self, job_id: str, *, owner: str | None = None, or_of_feeds: bool = False) -> Job:
        """Return a job; where `owner` is given, only a job of that client, or one of feeds where those are wanted, too.

        Raises
        ------
        UnknownJob
            There is no job of that id, or it belongs to another client.
        """
        with reading(self.engine) as session:
            job = None if "\0" in job_id else session.get(Job, job_id)  # PostgreSQL refuses to look for a NUL
        if job is None or (owner not in (None, job.client) and not (or_of_feeds and job.feed is not None)):
            raise UnknownJob(f"no nowcast {job_id!r}", where="id", hint="It may have been deleted after its retention")
        return job

    def mark_queued(self, job_id: str) -> None:
        """Record that the job's id was sent to the queue."""
        self._update(Job.id == job_id, queued=datetime.now(UTC))

    def claim(self, job_id: str, lease_seconds: float, *, max_attempts: int | None = None) -> Job | None:
        """Claim an accepted job, or a running one whose lease expired; return None where it is neither."""
        with writing(self.engine) as session:
            return next(
                iter(claim_where(session, and_(Job.id == job_id, claimable(max_attempts)), lease_seconds)), None
            )

    def renew_lease(self, job: Job, lease_seconds: float, *, progress_done: int | None = None) -> bool:
        """Extend the lease and record the progress; return False where the job was dismissed or is another worker's."""
        values: dict[str, Any] = {"lease_until": datetime.now(UTC) + timedelta(seconds=lease_seconds)}
        if progress_done is not None:
            values["progress_done"] = progress_done
        return self._update(_held(job), **values) == 1

    def record_model(
        self,
        job: Job,
        *,
        model_used: str,
        note: str,
        work: float = 0.0,
        seconds: float = 0.0,
        models_digest: str | None = None,
    ) -> bool:
        """Record which model runs, why where it is not the requested one, its steps, and what they cost (work, s).

        `models_digest` is None where another attempt might run another model. False as in `renew_lease`.
        """
        values = {"model_used": model_used, "note": note, "work": work, "cost_seconds": seconds}
        steps = {"steps": job.steps, "progress_total": job.steps}
        return self._update(_held(job), models_digest=models_digest, **values, **steps) == 1

    def succeed(
        self, job: Job, *, result_key: str, input_key: str, result_bytes: int = 0, timings: Timings | None = None
    ) -> bool:
        """Record that the result is published; it takes so many bytes, with its input. False as in `renew_lease`."""
        keys = {"result_key": result_key, "input_key": input_key}
        values = {**keys, "result_bytes": result_bytes, "progress_done": Job.progress_total}
        return self._finish(job, _held(job), JobStatus.SUCCESSFUL, timings, **values)

    def add_result_bytes(self, job_id: str, number: int) -> None:
        """Record that the results of a job take so many bytes more in the store; fewer, where `number` is negative."""
        self._update(Job.id == job_id, result_bytes=Job.result_bytes + number)

    def fail(self, job: Job, problem: Problem, timings: Timings | None = None) -> bool:
        """Record that a claimed job has failed. False as in `renew_lease`."""
        return self._finish(job, _held(job), JobStatus.FAILED, timings, problem=problem)

    def release(self, job: Job) -> bool:
        """Give back a claimed job unfinished; its attempt counts. False as in `renew_lease`.

        The job counts as queued now, so that the reconciler does not queue it at once.
        """
        return self._update(_held(job), **{**_ACCEPTED, "queued": datetime.now(UTC)}) == 1

    def unclaim(self, job: Job) -> bool:
        """Give back a claimed job that was not started; its attempt does not count. False as in `renew_lease`."""
        return self._update(_held(job), attempt=Job.attempt - 1, **_ACCEPTED) == 1

    def dismiss_claimed(self, job: Job, note: str) -> bool:
        """Dismiss a claimed job with the reason as its note. False as in `renew_lease`."""
        return self._finish(job, _held(job), JobStatus.DISMISSED, note=note)

    def release_all(self) -> int:
        """Give every running job back, for a stop after which no worker is alive. The attempts do not count."""
        return self._update(Job.status == JobStatus.RUNNING, attempt=Job.attempt - 1, **_ACCEPTED)

    def recover(self) -> int:
        """Expire every lease, for a start at which neither a worker can be alive nor a message left; return how many.

        The last run did not stop by itself, or it would have released its jobs. So their attempts count, and the
        reconciler fails a job that ends the service again and again.
        """
        self._update(Job.status == JobStatus.ACCEPTED, queued=None)
        return self._update(Job.status == JobStatus.RUNNING, lease_until=datetime.now(UTC) - timedelta(seconds=1))

    def dismiss(self, job_id: str) -> bool:
        """Cancel an unfinished job; return False where it is finished."""
        unfinished = and_(Job.id == job_id, Job.status.in_(_UNFINISHED))
        with writing(self.engine) as session:
            columns = (Job.kind, Job.callback_url)
            dismissed = session.execute(update(Job).where(unfinished).values(**dismissal()).returning(*columns)).all()
            for _, url in dismissed:
                outbox.post(session, job_id, url)
            kinds = [kind for kind, _ in dismissed]
        for kind in kinds:
            count_finished(kind, JobStatus.DISMISSED)
        return bool(kinds)

    def versions(self, job_ids: Sequence[str]) -> dict[str, JobVersion]:
        """Return the versions of jobs by id."""
        query = select(Job.id, Job.attempt, Job.progress_done, Job.status).where(Job.id.in_(job_ids))
        with reading(self.engine) as session:
            rows = session.execute(query).all()
        return {job_id: JobVersion(attempt, done, status) for job_id, attempt, done, status in rows}

    def count_accepted(self, kind: JobKind) -> int:
        """Count the jobs of this kind that are accepted and not running."""
        query = select(func.count()).where(Job.status == JobStatus.ACCEPTED, Job.kind == kind)
        return load(self.engine, query)[0]

    def count_unfinished(self) -> list[tuple[JobKind, JobStatus, int, datetime]]:
        """Return kind, status, number and oldest creation of the unfinished jobs of each kind and status."""
        query = (
            select(Job.kind, Job.status, func.count(), func.min(Job.created))
            .where(Job.status.in_(_UNFINISHED))
            .group_by(Job.kind, Job.status)
        )
        with reading(self.engine) as session:
            return [(kind, status, number, oldest) for kind, status, number, oldest in session.execute(query)]

    def unqueued(self, kind: JobKind, queued_before: datetime, limit: int) -> list[Job]:
        """Return accepted jobs that were never queued, or last before that time: the oldest first."""
        return load(
            self.engine,
            select(Job)
            .where(Job.status == JobStatus.ACCEPTED, Job.kind == kind)
            .where(or_(Job.queued.is_(None), Job.queued < queued_before))
            .order_by(Job.created)
            .limit(limit),
        )

    def lost(self, limit: int = 1000) -> list[Job]:
        """Return running jobs whose lease expired: their worker is gone."""
        return load(self.engine, select(Job).where(_lost()).limit(limit))

    def requeue_lost(self, job: Job) -> bool:
        """Accept a lost job again; return False where it has changed since `job` was read."""
        requeued = self._update(_still_lost(job), **_ACCEPTED) == 1
        JOBS_LOST.inc(requeued)
        return requeued

    def fail_lost(self, job: Job, problem: Problem) -> bool:
        """Fail a job whose worker died too often; return False where it has changed since `job` was read."""
        failed = self._finish(job, _still_lost(job), JobStatus.FAILED, problem=problem)
        JOBS_LOST.inc(failed)
        return failed

    def overdue(self, created_before: datetime, limit: int = 1000) -> list[Job]:
        """Return uploads that were accepted before a time and never started."""
        return load(self.engine, select(Job).where(_never_started(), Job.created < created_before).limit(limit))

    def fail_overdue(self, job: Job, problem: Problem) -> bool:
        """Fail a job that waited too long; return False where it has started or ended since `job` was read."""
        return self._finish(job, and_(Job.id == job.id, _never_started()), JobStatus.FAILED, problem=problem)

    def finished_before(self, time: datetime, limit: int = 1000) -> list[Job]:
        """Return jobs that finished before a time, the oldest first."""
        return load(self.engine, select(Job).where(Job.finished < time).order_by(Job.finished).limit(limit))

    def delete(self, job_ids: Sequence[str]) -> None:
        """Delete finished jobs."""
        with writing(self.engine) as session:
            session.connection().execute(delete(Job).where(Job.id.in_(job_ids), Job.finished.is_not(None)))
            session.connection().execute(delete(outbox.Webhook).where(outbox.Webhook.job_id.in_(job_ids)))

    def _finish(
        self,
        job: Job,
        which: ColumnElement[bool],
        status: JobStatus,
        timings: Timings | None = None,
        **values: Any,  # noqa: ANN401 - column values
    ) -> bool:
        """Finish a job, if it is in the state `which`, and count it; return False where it is not."""
        change = update(Job).where(which).values(**_finished_as(status, timings), **values)
        with writing(self.engine) as session:
            finished = session.connection().execute(change).rowcount == 1
            if finished:
                outbox.post(session, job.id, job.callback_url)
        if finished:
            count_finished(job.kind, status, values.get("problem"), timings)
        return finished

    def _update(self, which: ColumnElement[bool], **values: Any) -> int:  # noqa: ANN401 - column values
        """Update jobs in a transaction; return how many."""
        with writing(self.engine) as session:
            return session.connection().execute(update(Job).where(which).values(**values)).rowcount


def claimable(max_attempts: int | None = None) -> ColumnElement[bool]:
    """Select accepted jobs, and running ones whose lease expired; with `max_attempts` those that have attempts left."""
    free = or_(Job.status == JobStatus.ACCEPTED, _lost())
    return free if max_attempts is None else and_(free, Job.attempt < max_attempts)


def claim_where(session: Session, which: ColumnElement[bool], lease_seconds: float) -> list[Job]:
    """Claim all these jobs under one new lease."""
    now = datetime.now(UTC)
    # A new token for each claim: a worker that lost its lease, and does not know it yet, changes nothing any more, even
    # where the same worker claims the job again.
    claimed = (
        update(Job)
        .where(which)
        .values(
            status=JobStatus.RUNNING,
            lease=uuid.uuid4().hex,
            lease_until=now + timedelta(seconds=lease_seconds),
            attempt=Job.attempt + 1,
            progress_done=0,
            started=func.coalesce(Job.started, now),
        )
        .returning(Job)
    )
    return list(session.scalars(claimed, execution_options={"synchronize_session": False}))


_UNLEASED: dict[str, Any] = {"lease": None, "lease_until": None}
_ACCEPTED: dict[str, Any] = {"status": JobStatus.ACCEPTED, "progress_done": 0, "queued": None, **_UNLEASED}


def _held(job: Job) -> ColumnElement[bool]:
    return and_(Job.id == job.id, Job.status == JobStatus.RUNNING, Job.lease == job.lease)


def _lost() -> ColumnElement[bool]:
    """Select running jobs whose lease expired."""
    return and_(Job.status == JobStatus.RUNNING, Job.lease_until < datetime.now(UTC))


def _never_started() -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.ACCEPTED, Job.kind == "upload", Job.started.is_(None))


def _still_lost(job: Job) -> ColumnElement[bool]:
    return and_(Job.id == job.id, Job.attempt == job.attempt, _lost())


def _finished_as(status: JobStatus, timings: Timings | None = None) -> dict[str, Any]:
    """Return the columns of a job that finishes now."""
    times = {} if timings is None else timings.model_dump()
    return {"status": status, "finished": datetime.now(UTC), **_UNLEASED, **times}


def dismissal() -> dict[str, Any]:
    """Return the columns of a job that is dismissed now."""
    return _finished_as(JobStatus.DISMISSED)


def count_finished(
    kind: JobKind, status: JobStatus, problem: Problem | None = None, timings: Timings | None = None
) -> None:
    """Count a job that has just ended, and where its time went."""
    JOBS_FINISHED.labels(kind, status.value, problem["code"] if problem else "").inc()
    for phase, seconds in () if timings is None else timings.model_dump().items():
        JOB_PHASE_DURATION.labels(phase.removesuffix("_seconds")).observe(seconds)
