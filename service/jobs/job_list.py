"""Lists of jobs, the newest first, in pages that stay put while jobs are added."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Float, Select, func, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from service.jobs.base import UtcDateTime
from service.jobs.database import load
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger


class JobFilter(NamedTuple):
    """Which jobs are listed; None and empty stand for all.

    `owner`: their client. `model`: `NAME` or `NAME@VERSION`, that ran or was asked for. `created_after` is within the
    range, `created_before` is not. `min_seconds`, `max_seconds`: how long it ran, to its end or until now; jobs that
    were never started have no duration, and are left out where one of the two is given.
    """

    owner: str | None = None
    statuses: tuple[JobStatus, ...] = ()
    model: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    min_seconds: int | None = None
    max_seconds: int | None = None


class Position(NamedTuple):
    """The place of a job in the order of lists."""

    created: datetime
    job_id: str


def list_jobs(ledger: Ledger, which: JobFilter, limit: int, after: Position | None = None) -> list[Job]:
    """Return up to `limit` jobs, the newest first, from the one behind the position `after`."""
    query = _filtered(which).order_by(Job.created.desc(), Job.id.desc()).limit(limit)
    if after is not None:
        older = or_(Job.created < after.created, Job.id < after.job_id)
        query = query.where(Job.created <= after.created, older)
    return load(ledger.engine, query)


def _filtered(which: JobFilter) -> Select[Job]:
    query = select(Job)
    if which.owner is not None:
        query = query.where(Job.client == which.owner)
    if which.statuses:
        query = query.where(Job.status.in_(which.statuses))
    if which.model is not None:
        used = or_(Job.model_used == which.model, Job.model_used.startswith(f"{which.model}@", autoescape=True))
        query = query.where(or_(Job.model == which.model, used))
    if which.created_after is not None:
        query = query.where(Job.created >= which.created_after)
    if which.created_before is not None:
        query = query.where(Job.created < which.created_before)
    if which.min_seconds is not None or which.max_seconds is not None:
        duration = SecondsBetween(Job.started, func.coalesce(Job.finished, literal(datetime.now(UTC), UtcDateTime())))
        started = Job.started.is_not(None) & (Job.status != JobStatus.ACCEPTED)
        query = query.where(started, duration >= (which.min_seconds or 0))
        if which.max_seconds is not None:
            query = query.where(duration <= which.max_seconds)
    return query


class SecondsBetween(FunctionElement[float]):
    """The seconds from one time to another."""

    type = Float()
    inherit_cache = True


@compiles(SecondsBetween, "postgresql")
def _seconds_in_postgresql(element: SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM {end} - {start})"


@compiles(SecondsBetween, "sqlite")
def _seconds_in_sqlite(element: SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"ROUND((julianday({end}) - julianday({start})) * 86400.0, 3)"  # days as float64 are exact to 0.05 ms
