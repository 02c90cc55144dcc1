"""How feeds do and what they serve, of any number of feeds in a few queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from sqlalchemy import select, tuple_, union_all
from sqlalchemy.orm import Session, aliased

from service.feeds.config import Feed
from service.feeds.health import WINDOW, FeedHealth, feed_health
from service.feeds.ledger import FeedLedger
from service.feeds.runs import newest_with_nowcast
from service.feeds.tables import FeedFrame, FeedRun, RegisteredFeed
from service.jobs.database import reading
from service.jobs.job import Job

AT_A_TIME: Final = 100
"""SQLite combines 500 queries at most in one."""

KEY: Final = (FeedRun.feed, FeedRun.reference_time, FeedRun.model)


@dataclass(frozen=True, kw_only=True)
class FeedState:
    """How a feed does, its newest frame, and its newest run with a nowcast.

    Frame and run are None where there is none. `job`: the run's newest job; `served`: the one whose nowcast is served.
    Both are None where their retention is over.
    """

    feed: Feed
    health: FeedHealth
    newest_frame: FeedFrame | None
    run: FeedRun | None
    job: Job | None
    served: Job | None


def feed_states(feeds: Sequence[Feed], ledger: FeedLedger) -> list[FeedState]:
    """Return the state of each feed as the ledger has it now, in five queries for every hundred feeds."""
    with reading(ledger.engine) as session:
        return [
            state
            for first in range(0, len(feeds), AT_A_TIME)
            for state in _states(session, feeds[first : first + AT_A_TIME])
        ]


def jobs_by_id(session: Session, ids: Sequence[str | None]) -> dict[str, Job]:
    """Return the jobs of these ids that there are."""
    return {job.id: job for job in session.scalars(select(Job).where(Job.id.in_({each for each in ids if each})))}


def _states(session: Session, feeds: Sequence[Feed]) -> list[FeedState]:
    names = [feed.name for feed in feeds]
    registered = {
        item.name: item for item in session.scalars(select(RegisteredFeed).where(RegisteredFeed.name.in_(names)))
    }
    frames = _newest_frames(session, names)
    runs = _newest_runs(session, feeds)
    jobs = jobs_by_id(session, [job_id for run in runs.values() for job_id in (run.job_id, run.served_job_id)])
    states = []
    for feed in feeds:
        of_feed, run = frames.get(feed.name, []), runs.get(feed.name)
        now = feed.now(of_feed[0].valid_time) if of_feed else datetime.now(UTC)
        states.append(
            FeedState(
                feed=feed,
                health=feed_health(feed, registered.get(feed.name), of_feed, now),
                newest_frame=next(iter(of_feed), None),
                run=run,
                job=None if run is None else jobs.get(run.job_id or ""),
                served=None if run is None else jobs.get(run.served_job_id or ""),
            )
        )
    return states


def _newest_frames(session: Session, names: Sequence[str]) -> dict[str, list[FeedFrame]]:
    """Return the frames of each feed by which its health is judged, the newest first."""
    newest = [
        select(
            select(FeedFrame)
            .where(FeedFrame.feed == name)
            .order_by(FeedFrame.valid_time.desc())
            .limit(WINDOW)
            .subquery()
        )
        for name in names
    ]
    found = session.scalars(select(aliased(FeedFrame, union_all(*newest).subquery())))
    in_order = sorted(found, key=lambda frame: (frame.feed, frame.valid_time), reverse=True)
    return {name: list(frames) for name, frames in groupby(in_order, key=lambda frame: frame.feed)}


def _newest_runs(session: Session, feeds: Sequence[Feed]) -> dict[str, FeedRun]:
    """Return the newest run of each feed that has a nowcast; of several models the feed's own."""
    newest = [
        select(newest_with_nowcast(feed.name, feed.model).with_only_columns(*KEY).limit(1).subquery()) for feed in feeds
    ]
    keys = [tuple(row) for row in session.execute(union_all(*newest))]
    return {run.feed: run for run in session.scalars(select(FeedRun).where(tuple_(*KEY).in_(keys)))}
