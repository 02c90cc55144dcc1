"""What went wrong with feeds lately: files that gave no frame, and runs that failed; and how far behind they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from model.core.times import rfc3339
from service.feeds.overview import FeedState
from service.feeds.tables import FeedFile, FeedFrame, FeedRun, FileState, RegisteredFeed, shown_name
from service.jobs.database import reading
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger

NEWEST: Final = 10
"""How many troubles of each kind are told of a feed."""

REJECTED: Final = (FileState.REFUSED, FileState.UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A file that gave no frame, or a run that failed. `name`: of the file, or the reference time of the run."""

    kind: Literal["refused", "unreadable", "failed"]
    when: datetime
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FeedTroubles:
    """What went wrong with a feed since a time.

    `problem`: of the last scan. `rejected`, `failed`: how many files gave no frame, and how many runs failed.
    `newest`: some of these, the newest first. `lag_seconds`: from the arrival of the newest frame with a nowcast until
    its nowcast was published; None where there is none, or it is not known.
    """

    last_scan: datetime | None
    problem: Problem | None
    rejected: int
    failed: int
    newest: list[Trouble]
    lag_seconds: float | None


def feed_troubles(states: Sequence[FeedState], ledger: Ledger, since: datetime) -> dict[str, FeedTroubles]:
    """Return what went wrong with each feed since a time, by its name, in three queries and three for each feed."""
    names = [state.feed.name for state in states]
    files = and_(FeedFile.feed.in_(names), FeedFile.arrived >= since, FeedFile.state.in_(REJECTED))
    failed = and_(FeedRun.feed.in_(names), Job.status == JobStatus.FAILED, Job.finished >= since)
    with reading(ledger.engine) as session:
        registered = {
            item.name: item for item in session.scalars(select(RegisteredFeed).where(RegisteredFeed.name.in_(names)))
        }
        rejected_count = _counts(session, select(FeedFile.feed, func.count()).where(files).group_by(FeedFile.feed))
        runs = select(FeedRun.feed, func.count()).join(Job, FeedRun.job_id == Job.id).where(failed)
        failed_count = _counts(session, runs.group_by(FeedRun.feed))
        found = {}
        for state in states:
            name = state.feed.name
            of_feed = registered.get(name)
            newest = [
                *(_rejected(session, name, since) if rejected_count.get(name) else ()),
                *(_failed(session, name, since) if failed_count.get(name) else ()),
            ]
            found[name] = FeedTroubles(
                last_scan=None if of_feed is None else of_feed.last_scan,
                problem=None if of_feed is None else of_feed.problem,
                rejected=rejected_count.get(name, 0),
                failed=failed_count.get(name, 0),
                newest=sorted(newest, key=lambda trouble: trouble.when, reverse=True)[:NEWEST],
                lag_seconds=_lag_seconds(session, state),
            )
    return found


def _counts(session: Session, query: Select[str, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in session.execute(query)}


def _rejected(session: Session, feed: str, since: datetime) -> Iterable[Trouble]:
    query = select(FeedFile).where(FeedFile.feed == feed, FeedFile.arrived >= since, FeedFile.state.in_(REJECTED))
    for file in session.scalars(query.order_by(FeedFile.arrived.desc()).limit(NEWEST)):
        kind: Literal["refused", "unreadable"] = "refused" if file.state is FileState.REFUSED else "unreadable"
        yield Trouble(kind=kind, when=file.arrived, name=shown_name(file.name), reason=file.reason)


def _failed(session: Session, feed: str, since: datetime) -> Iterable[Trouble]:
    query = select(FeedRun.reference_time, Job.finished, Job.problem).join(Job, FeedRun.job_id == Job.id)
    query = query.where(FeedRun.feed == feed, Job.status == JobStatus.FAILED, Job.finished >= since)
    for reference_time, finished, problem in session.execute(query.order_by(Job.finished.desc()).limit(NEWEST)):
        name = rfc3339(reference_time)
        reason = problem["what"] if problem else ""
        yield Trouble(kind="failed", when=finished or reference_time, name=name, reason=reason)


def _lag_seconds(session: Session, state: FeedState) -> float | None:
    run = state.run
    if run is None or run.published is None or run.backfill:
        return None
    frame = session.get(FeedFrame, (state.feed.name, run.reference_time))
    if frame is None or frame.revision:  # a frame that was issued again arrived before that
        return None
    return max(0.0, (run.published - frame.arrived).total_seconds())
