"""What follows the publication of a run: which runs wait for it, and which process does it.

One process at a time does so for each feed, by a lease of the feed: two would append to one archive, and would alert
twice. What a process that is killed had begun is done again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy import Engine, Select, and_, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.lease import FeedLease
from service.feeds.products import ProductFile
from service.feeds.tables import FeedRun, RegisteredFeed
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus, Problem

T = TypeVar("T")

WORKER_LOST: Final = "worker-lost"
LEASE_SECONDS: Final = 60.0


class FollowUps:
    """The part of the ledger that tells what is still to be done after publications."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def feeds(self) -> list[str]:
        """Return the feeds with runs that wait to be followed up, and that no process is at work on."""
        free = or_(RegisteredFeed.follow_up_until.is_(None), RegisteredFeed.follow_up_until < datetime.now(UTC))
        query = _waiting(select(FeedRun.feed)).join(RegisteredFeed, RegisteredFeed.name == FeedRun.feed)
        with reading(self.engine) as session:
            return list(session.scalars(query.where(free).distinct()))

    def newest(self, feed: str) -> FeedRun | None:
        """Return the newest run of a feed that waits to be followed up."""
        query = _waiting(select(FeedRun)).where(FeedRun.feed == feed)
        return next(
            iter(load(self.engine, query.order_by(FeedRun.reference_time.desc(), FeedRun.model).limit(1))), None
        )

    def lease(self, feed: str) -> FeedLease:
        """Return the lease of a feed under which one process at a time follows its runs up."""
        return FeedLease(self.engine, feed, RegisteredFeed.follow_up_until, LEASE_SECONDS)

    def record_products(self, run: FeedRun, files: list[ProductFile]) -> None:
        """Record the products of a run; they replace those of an earlier job."""
        with writing(self.engine) as session:
            session.connection().execute(update(FeedRun).where(_same(run)).values(products=files))

    def begin(self, run: FeedRun) -> int:
        """Record that a process begins, and return how many have begun before and did not end: they were killed."""
        before = [problem for problem in run.follow_up_problems or [] if problem["where"] == run.job_id]
        begun = Problem(code=WORKER_LOST, what="the worker died", where=str(run.job_id), hint="See the worker's log")
        self._record_problems(run, [*before, begun])
        return len(before)

    def give_back(self, run: FeedRun) -> None:
        """Record that a process has ended, and that all is still to be done."""
        self._record_problems(run, None)

    def _record_problems(self, run: FeedRun, problems: list[Problem] | None) -> None:
        with writing(self.engine) as session:
            session.connection().execute(update(FeedRun).where(_same(run)).values(follow_up_problems=problems))

    def record_done(self, run: FeedRun, problems: list[Problem]) -> None:
        """Record that everything which follows the publication by the run's job was done, and what of it failed."""
        values = {"followed_up_job_id": run.job_id, "follow_up_problems": problems or None}
        with writing(self.engine) as session:
            session.connection().execute(update(FeedRun).where(_same(run)).values(values))


def _waiting(query: Select[T]) -> Select[T]:
    """Select runs whose newest job has succeeded, and that are not followed up since."""
    query = query.join(Job, FeedRun.job_id == Job.id).where(Job.status == JobStatus.SUCCESSFUL)
    return query.where(FeedRun.followed_up_job_id.is_distinct_from(FeedRun.job_id))


def _same(run: FeedRun) -> ColumnElement[bool]:
    return and_(FeedRun.feed == run.feed, FeedRun.reference_time == run.reference_time, FeedRun.model == run.model)
