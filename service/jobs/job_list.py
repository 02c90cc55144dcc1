"""Lists of jobs, the newest first, in pages that stay put while jobs are added."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Select, or_, select

from service.jobs.database import load
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger


class JobFilter(NamedTuple):
    """Which jobs are listed; None and empty stand for all.

    `owner`: their client. `model`: `NAME` or `NAME@VERSION`, that ran or was asked for. `created_after` is within the
    range, `created_before` is not.
    """

    owner: str | None = None
    statuses: tuple[JobStatus, ...] = ()
    model: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


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
    return query
