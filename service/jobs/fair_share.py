"""Fair turns: which of the waiting uploads a worker takes next, and how long each of them waits.

The turn of a job is the time (s) that its client has had of the workers: of its nowcasts that run, those that finished
within `WINDOW`, and those of its own that wait before this job. The job with the least comes first, then the oldest. So
clients that wait take turns by what their nowcasts cost, whatever their number; one that has had nothing is next.
This is start-time fair queueing (Goyal, Vin and Cheng, 1996) with the clients' times taken from the ledger, which needs
no further state: an estimate that was wrong is replaced by the measured time as soon as the nowcast ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from service.jobs.costs import MeasuredCosts
from service.jobs.database import reading, writing
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger, claim_where, claimable

WINDOW: Final = timedelta(minutes=10)
"""What a client had of the workers longer ago does not count any more."""

SNAPSHOT_SECONDS: Final = 1.0
"""Estimates of the requests of one second share the queries."""


class QueueEstimate(NamedTuple):
    """Where an unfinished job stands. `position`: 1 is next, 0 runs. Seconds from now until it starts, and ends."""

    position: int
    seconds_to_start: float
    seconds_to_finish: float


class _Snapshot(NamedTuple):
    """Estimates of the uploads that wait, by id, and how long the workers are busy before any of them (s)."""

    taken: float
    estimates: dict[str, QueueEstimate]
    busy_seconds: float


class FairShare:
    """The order in which waiting uploads are claimed. Safe to share between threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.engine
        self._costs = MeasuredCosts(ledger.engine)
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None

    def claim_next(self, job_id: str, lease_seconds: float, *, max_attempts: int) -> Job | None:
        """Claim the upload whose turn it is, for the message of a job; None where none waits.

        A message is the permission to claim one job. A job that was started before is claimed by its own message alone,
        which comes when it may be tried again; so is a challenger's, and that of a feed of which the ledger has no run.
        """
        own = and_(Job.id == job_id, or_(Job.attempt > 0, Job.kind != "upload"), claimable(max_attempts))
        with writing(self._engine) as session:
            retried = claim_where(session, own, lease_seconds)
            return next(iter(retried or _claim_in_turn(session, 1, lease_seconds)), None)

    def claim_similar(self, job: Job, limit: int, lease_seconds: float) -> list[Job]:
        """Claim up to `limit` accepted jobs that name the model of `job`: the newest of feeds, then uploads in turn.

        Only jobs without an attempt are claimed: one that did not survive its first attempt runs alone.
        """
        alike = Job.model == job.model
        with writing(self._engine) as session:
            claimed = _claim_feeds(session, limit, lease_seconds, alike)
            return [*claimed, *_claim_in_turn(session, limit - len(claimed), lease_seconds, alike)]

    def claim_small(self, seconds: float, lease_seconds: float, besides: Collection[str] = ()) -> Job | None:
        """Claim a waiting job that costs at most so many seconds: the newest of feeds, then an upload in turn.

        Jobs with the ids `besides` are left.
        """
        small = and_(Job.cost_seconds <= seconds, Job.id.not_in(besides))
        waits = select(Job.id).where(Job.status == JobStatus.ACCEPTED, Job.attempt == 0, small).limit(1)
        with reading(self._engine) as session:  # without the lock of a writer, as mostly none waits
            if session.scalar(waits) is None:
                return None
        with writing(self._engine) as session:
            claimed = _claim_feeds(session, 1, lease_seconds, small)
            return next(iter(claimed or _claim_in_turn(session, 1, lease_seconds, small)), None)

    def held_back(self, client: str) -> str | None:
        """Return the next job of a client that its limit of running jobs may have held back; None where none waits.

        Its message may have come while as many ran as may run, and was spent.
        """
        query = _in_turn(_turns(Job.client == client, Job.running_limit > 0)).limit(1)
        with reading(self._engine) as session:
            row = session.execute(query).first()
        return None if row is None else str(row.id)

    def cost_seconds(self, model: str, work: float) -> float:
        """Return how long a worker is expected to take for so much work (s); see `service.jobs.costs`."""
        return self._costs.seconds(model, work)

    def is_measured(self, model: str) -> bool:
        """Whether costs of the model are measured ones."""
        return self._costs.is_measured(model)

    def estimate(self, job: Job) -> QueueEstimate | None:
        """Return where an unfinished job stands; None once it has ended.

        By the jobs of now: a later job of another client may have its turn before.
        """
        if job.status is JobStatus.RUNNING:
            left = 1 - job.progress_done / max(1, job.progress_total)
            return QueueEstimate(0, 0.0, job.cost_seconds * left)
        if job.status is not JobStatus.ACCEPTED:
            return None
        snapshot = self._current()
        # A feed's job goes before the uploads, and one that is tried again comes by its own message.
        first = QueueEstimate(1, snapshot.busy_seconds, snapshot.busy_seconds + job.cost_seconds)
        return snapshot.estimates.get(job.id, first)

    def seconds_to_place(self) -> float:
        """Return how long it is expected to take until one job less waits (s)."""
        return min((estimate.seconds_to_start for estimate in self._current().estimates.values()), default=0.0)

    def _current(self) -> _Snapshot:
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._snapshot.taken > SNAPSHOT_SECONDS:
                self._snapshot = self._load()
            return self._snapshot

    def _load(self) -> _Snapshot:
        left = 1 - Job.progress_done / func.nullif(1.0 * Job.progress_total, 0)
        running = Job.status == JobStatus.RUNNING
        # Jobs that run, and accepted ones without a turn of their own: of feeds, and to be tried again.
        ahead = select(
            func.count(case((running, 1))),
            func.coalesce(func.sum(case((running, Job.cost_seconds * left), else_=Job.cost_seconds)), 0.0),
        ).where(or_(running, and_(Job.status == JobStatus.ACCEPTED, or_(Job.kind == "feed", Job.attempt > 0))))
        with reading(self._engine) as session:
            workers, seconds = session.execute(ahead).one()
            waiting = session.execute(_in_turn(_turns())).all()
        at_once = max(1, workers)
        busy, estimates = seconds / at_once, {}
        for position, row in enumerate(waiting, 1):
            estimates[row.id] = QueueEstimate(position, seconds / at_once, seconds / at_once + row.cost_seconds)
            seconds += row.cost_seconds
        return _Snapshot(time.monotonic(), estimates, busy)


Turns = Select[tuple[str, float, float, datetime]]


def _turns(*which: ColumnElement[bool]) -> Turns:
    """Select id, cost (s), turn (s) and time of the waiting uploads that may start."""
    recent = and_(Job.finished > datetime.now(UTC) - WINDOW, Job.started.is_not(None))
    is_running = Job.status == JobStatus.RUNNING
    measured = func.coalesce(Job.read_seconds + Job.compute_seconds + Job.write_seconds, Job.cost_seconds)
    had = (
        select(
            Job.client,
            func.sum(case((is_running, Job.cost_seconds), else_=measured)).label("seconds"),
            func.count(case((is_running, 1))).label("running"),
        )
        .where(Job.kind == "upload", or_(is_running, recent))
        .group_by(Job.client)
        .subquery()
    )
    oldest_first = (Job.created, Job.id)
    before = func.sum(Job.cost_seconds).over(partition_by=Job.client, order_by=oldest_first, rows=(None, -1))
    place = func.row_number().over(partition_by=Job.client, order_by=oldest_first)
    waiting = (
        select(
            Job.id,
            Job.cost_seconds,
            (func.coalesce(had.c.seconds, 0.0) + func.coalesce(before, 0.0)).label("turn"),
            Job.created,
            (func.coalesce(had.c.running, 0) + place).label("place"),
            Job.running_limit,
        )
        .outerjoin(had, had.c.client == Job.client)
        .where(Job.status == JobStatus.ACCEPTED, Job.kind == "upload", Job.attempt == 0, *which)
        .subquery()
    )
    columns = (waiting.c.id, waiting.c.cost_seconds, waiting.c.turn, waiting.c.created)
    return select(*columns).where(or_(waiting.c.running_limit == 0, waiting.c.place <= waiting.c.running_limit))


def _in_turn(turns: Turns) -> Turns:
    columns = turns.selected_columns
    return turns.order_by(columns["turn"], columns["created"], columns["id"])


def _claim_in_turn(session: Session, limit: int, lease_seconds: float, *which: ColumnElement[bool]) -> list[Job]:
    """Claim the waiting uploads whose turn it is."""
    turns = _turns().subquery()
    query = select(Job.id).join(turns, turns.c.id == Job.id).where(Job.status == JobStatus.ACCEPTED, *which)
    return _claim_found(session, query.order_by(turns.c.turn, turns.c.created, turns.c.id), limit, lease_seconds)


def _claim_feeds(session: Session, limit: int, lease_seconds: float, *which: ColumnElement[bool]) -> list[Job]:
    """Claim the newest waiting jobs of feeds."""
    waiting = (Job.status == JobStatus.ACCEPTED, Job.kind == "feed", Job.attempt == 0)
    query = select(Job.id).where(*waiting, *which).order_by(Job.created.desc())
    return _claim_found(session, query, limit, lease_seconds)


def _claim_found(session: Session, query: Select[str], limit: int, lease_seconds: float) -> list[Job]:
    """Claim the first jobs of a query; return them in its order."""
    # Workers that query at the same time claim different jobs without waiting for each other. PostgreSQL only:
    # SQLite has no row locks, and a single writer.
    found = list(session.scalars(query.limit(limit).with_for_update(skip_locked=True, of=Job)))
    claimed = claim_where(session, Job.id.in_(found), lease_seconds) if found else []
    return sorted(claimed, key=lambda job: found.index(job.id))
