"""What follows the publication of a run: which runs wait for it, and which process does it.

One process at a time does so for each feed, by a lease of the feed: two would append to one archive, and would alert
twice. A process that is killed loses its lease with the time, and what it had begun is done again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Engine, Select, and_, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.products import ProductFile
from service.feeds.tables import FeedRun, RegisteredFeed
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus, Problem

T = TypeVar("T")

WORKER_LOST: Final = "worker-lost"
LEASE: Final = timedelta(seconds=60)

log = logging.getLogger(__name__)


class FollowUpLost(Exception):
    """Another process follows the feed's runs up: this one has lost its lease."""


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
        """Hold the lease of a feed for the block, which gets a call that renews it; None: another process has it."""
        lease = _Lease(self.engine, feed)
        if not lease.take():
            yield None
            return
        try:
            yield lease.renew
        finally:
            lease.close()

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


class _Lease:
    """The lease of a feed, which a thread renews until it is closed. Until when it is held is what it is known by."""

    def __init__(self, engine: Engine, feed: str) -> None:
        self._engine = engine
        self._feed = feed
        self._until: datetime | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_closed, name=f"follow-up-{feed[:8]}", daemon=True)

    def take(self) -> bool:
        """Take the lease; return False where another process has it."""
        lease = RegisteredFeed.follow_up_until
        if not self._set(or_(lease.is_(None), lease < datetime.now(UTC)), datetime.now(UTC) + LEASE):
            return False
        self._thread.start()
        return True

    def renew(self) -> None:
        """Renew the lease.

        Raises
        ------
        FollowUpLost
            Another process has taken it over.
        """
        with self._lock:
            if not self._set(RegisteredFeed.follow_up_until == self._until, datetime.now(UTC) + LEASE):
                raise FollowUpLost(self._feed)

    def close(self) -> None:
        """Give the lease back."""
        self._closed.set()
        self._thread.join()
        self._set(RegisteredFeed.follow_up_until == self._until, None)

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(LEASE.total_seconds() / 4):
            try:
                self.renew()
            except FollowUpLost:
                return
            except SQLAlchemyError as error:
                log.warning("feed %s: the lease cannot be renewed: %s", self._feed, error)

    def _set(self, where: ColumnElement[bool], until: datetime | None) -> bool:
        query = update(RegisteredFeed).where(RegisteredFeed.name == self._feed, where)
        with writing(self._engine) as session:
            changed = session.connection().execute(query.values(follow_up_until=until)).rowcount == 1
        if changed:
            self._until = until
        return changed
