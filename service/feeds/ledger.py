"""The feeds' part of the ledger: which feeds there are, and what belongs to each."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from service.feeds.arrivals import Arrivals
from service.feeds.runs import Runs
from service.feeds.tables import FeedFile, FeedFrame, FeedRun, RegisteredFeed
from service.jobs.database import load, reading, writing
from service.jobs.job import Problem
from service.jobs.ledger import Ledger


class FeedLedger(Arrivals, Runs):
    """Feeds, with their files, frames and runs, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.engine)

    def register(self, feed: str, folder: str) -> bool:
        """Record a new feed; return False where it was registered before."""
        try:
            with writing(self.engine) as session:
                session.add(RegisteredFeed(name=feed, folder=folder))
        except IntegrityError:
            return False
        return True

    def registered(self, feed: str) -> RegisteredFeed | None:
        """Return the record of a feed; None where it was never scanned."""
        with reading(self.engine) as session:
            return session.get(RegisteredFeed, feed)

    def names(self) -> list[str]:
        """Return the names of all feeds that were ever scanned."""
        return load(self.engine, select(RegisteredFeed.name))

    def record_first_reference_time(self, feed: str, valid_time: datetime) -> None:
        """Record the first time from which there are runs, unless it is recorded."""
        same = and_(RegisteredFeed.name == feed, RegisteredFeed.first_reference_time.is_(None))
        with writing(self.engine) as session:
            session.connection().execute(update(RegisteredFeed).where(same).values(first_reference_time=valid_time))

    def record_scan(self, feed: str, problem: Problem | None = None) -> None:
        """Record that the folder was scanned, or the `problem` that prevented the scan."""
        values = {"last_scan": datetime.now(UTC), "problem": problem}
        with writing(self.engine) as session:
            session.connection().execute(update(RegisteredFeed).where(RegisteredFeed.name == feed).values(values))

    def unused_since(self, time: datetime) -> list[str]:
        """Return the names of the feeds that were not scanned since a time."""
        query = select(RegisteredFeed.name).where(
            func.coalesce(RegisteredFeed.last_scan, RegisteredFeed.first_seen) < time
        )
        return load(self.engine, query)

    def forget(self, feed: str) -> None:
        """Delete the records of a feed: its files, frames and runs."""
        with writing(self.engine) as session:
            for table in (FeedFile, FeedFrame, FeedRun):
                session.connection().execute(delete(table).where(table.feed == feed))
            session.connection().execute(delete(RegisteredFeed).where(RegisteredFeed.name == feed))

    def delete_frames(self, feed: str, before: datetime) -> None:
        """Delete the frames and runs from before a time."""
        old = and_(FeedFrame.feed == feed, FeedFrame.valid_time < before)
        old_runs = and_(FeedRun.feed == feed, FeedRun.reference_time < before)
        with writing(self.engine) as session:
            session.connection().execute(delete(FeedFrame).where(old))
            session.connection().execute(delete(FeedRun).where(old_runs))
