"""What follows the publication of a run: which runs wait for it, and which process does it.

One process at a time does so for each feed, by a lease of the feed: two would append to one archive, and would alert
twice. A process that is killed loses its lease with the time, and what it had begun is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Engine, Select, and_, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.products import ProductFile
from service.feeds.tables import FeedRun, RegisteredFeed
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus, Problem

T = TypeVar("T")

LEASE: Final = timedelta(seconds=120)


class FollowUpLost(Exception):
    """Another process follows the feed's runs up: this one took longer than its lease."""


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

    @contextmanager
    def leased(self, feed: str) -> Iterator[Callable[[], None] | None]:
        """Hold the lease of a feed for the block, which gets a call that renews it; None: another process has it.

        The call raises FollowUpLost where another process has taken the lease over.
        """
        until = self._take(feed, None)
        if until is None:
            yield None
            return

        def renew() -> None:
            nonlocal until
            until = self._take(feed, until)
            if until is None:
                raise FollowUpLost(feed)

        try:
            yield renew
        finally:
            if until is not None:
                with writing(self.engine) as session:
                    held = and_(RegisteredFeed.name == feed, RegisteredFeed.follow_up_until == until)
                    session.connection().execute(update(RegisteredFeed).where(held).values(follow_up_until=None))

    def _take(self, feed: str, held: datetime | None) -> datetime | None:
        """Take the lease, or renew the one that is held until a time; return until when, None where another has it."""
        now = datetime.now(UTC)
        lease = RegisteredFeed.follow_up_until
        mine = or_(lease.is_(None), lease < now) if held is None else lease == held
        with writing(self.engine) as session:
            taken = session.connection().execute(
                update(RegisteredFeed).where(RegisteredFeed.name == feed, mine).values(follow_up_until=now + LEASE)
            )
        return now + LEASE if taken.rowcount == 1 else None

    def record_products(self, run: FeedRun, files: list[ProductFile]) -> None:
        """Record the products of a run; they replace those of an earlier job."""
        with writing(self.engine) as session:
            session.connection().execute(update(FeedRun).where(_same(run)).values(products=files))

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
