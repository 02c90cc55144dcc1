"""The feeds' part of the ledger: which feeds were scanned, and what became of each frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from service.jobs.database import load, reading, writing
from service.jobs.feed_run import FeedRun, FrameFile, RegisteredFeed, RunState
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger, count_finished, dismissal
from service.metrics.instruments import JOBS_ACCEPTED

BACKLOG: Final = "there was a newer frame when the feed was scanned for the first time"


class _Overtaken(Exception):
    """Rolls a transaction back: another scan was first."""


class FeedLedger:
    """Runs by feed and frame, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def register(self, feed: str, folder: str, backlog: Iterable[FrameFile]) -> bool:
        """Record a new feed and skip its backlog; return False where it was registered before."""
        skipped = [_skipped(feed, frame, BACKLOG) for frame in backlog]
        try:
            with writing(self.engine) as session:
                session.add_all([RegisteredFeed(name=feed, folder=folder), *skipped])
        except IntegrityError:
            return False
        return True

    def is_registered(self, feed: str) -> bool:
        """Whether the feed was scanned before."""
        with reading(self.engine) as session:
            return session.get(RegisteredFeed, feed) is not None

    def record_scan(self, feed: str, problem: Problem | None = None) -> None:
        """Record that the folder was scanned, or the `problem` that prevented the scan."""
        values = {"last_scan": datetime.now(UTC), "problem": problem}
        with writing(self.engine) as session:
            session.connection().execute(update(RegisteredFeed).where(RegisteredFeed.name == feed).values(values))

    def runs(self, feed: str) -> list[FeedRun]:
        """Return the runs of a feed, the newest first."""
        return load(
            self.engine, select(FeedRun).where(FeedRun.feed == feed).order_by(FeedRun.seen.desc(), FeedRun.frame.desc())
        )

    def run_of_job(self, job_id: str) -> FeedRun | None:
        """Return the run of a job; None where it is no feed's job, or the run was deleted."""
        return next(iter(load(self.engine, select(FeedRun).where(FeedRun.job_id == job_id))), None)

    def published(self, feed: str, limit: int = 1000) -> list[tuple[str, datetime]]:
        """Return the frames whose nowcasts were published, with their valid times: the latest first."""
        query = (
            select(FeedRun.frame, FeedRun.valid_time)
            .where(FeedRun.feed == feed, FeedRun.valid_time.is_not(None))
            .order_by(FeedRun.valid_time.desc())
            .limit(limit)
        )
        with reading(self.engine) as session:
            return [(frame, valid_time) for frame, valid_time in session.execute(query) if valid_time is not None]

    def newest_waiting_job(self, job_id: str) -> str | None:
        """Return the job of the feed's newest frame among this job and those without an attempt; None without a feed.

        A worker takes that job, whichever job's message came first.
        """
        feed = select(FeedRun.feed).where(FeedRun.job_id == job_id).scalar_subquery()
        query = (
            select(FeedRun.frame, FeedRun.job_id)
            .join(Job, FeedRun.job_id == Job.id)
            .where(FeedRun.feed == feed, Job.status == JobStatus.ACCEPTED)
            .where(or_(Job.attempt == 0, Job.id == job_id))
        )
        with reading(self.engine) as session:
            # Python compares names by code point; a database's collation may not.
            return max((tuple(row) for row in session.execute(query)), default=("", None))[1]

    def submit(self, frame: FrameFile, job: Job, earlier: FeedRun | None = None) -> str | None:
        """Record the job of a frame and return its id; return None where another scan was first.

        Parameters
        ----------
        frame
            The newest of the job's files.
        job
            The job, of a feed.
        earlier
            The frame's run so far, which this one replaces.
        """
        values: dict[str, Any] = {
            "state": RunState.SUBMITTED,
            "size": frame.size,
            "modified_ns": frame.modified_ns,
            "files": len(job.inputs),
            "job_id": job.id,
            "replaces": earlier is not None and (earlier.replaces or not earlier.matches(frame)),
        }
        try:
            with writing(self.engine) as session:
                session.add(job)
                session.flush()
                if earlier is None:
                    session.add(FeedRun(feed=str(job.feed), frame=frame.name, **values))
                else:
                    values |= {"seen": datetime.now(UTC), "reason": ""}
                    changed = session.connection().execute(update(FeedRun).where(_same(earlier)).values(values))
                    if changed.rowcount != 1:
                        raise _Overtaken
        except (IntegrityError, _Overtaken):
            return None
        JOBS_ACCEPTED.labels(job.kind).inc()
        return job.id

    def skip(self, feed: str, frames: Sequence[FrameFile], reason: str) -> None:
        """Record that frames without a run get no job."""
        try:
            with writing(self.engine) as session:
                session.add_all([_skipped(feed, frame, reason) for frame in frames])
        except IntegrityError:  # another scan was first; the next one sees what is left
            return

    def skip_existing(self, run: FeedRun, frame: FrameFile, reason: str) -> None:
        """Record that a frame with a run gets no further job; its job is dismissed if it was not started."""
        values = {"state": RunState.SKIPPED, "reason": reason, "size": frame.size, "modified_ns": frame.modified_ns}
        dismissed = 0
        with writing(self.engine) as session:
            connection = session.connection()
            skipped = connection.execute(update(FeedRun).where(_same(run)).values(values)).rowcount == 1
            if skipped and run.job_id is not None:
                waiting = and_(Job.id == run.job_id, Job.status == JobStatus.ACCEPTED)
                dismissed = connection.execute(update(Job).where(waiting).values(note=reason, **dismissal())).rowcount
        if dismissed:
            count_finished("feed", JobStatus.DISMISSED)

    def record_outcome(self, job_id: str, state: RunState, reason: str) -> None:
        """Record why the frame of this job is not forecast: it waits for more frames, is skipped, or refused."""
        self._update_run(job_id, state=state, reason=reason)

    def record_published(self, job_id: str, valid_time: datetime) -> None:
        """Record that the nowcast of this job is published, and the valid time from which it starts."""
        self._update_run(job_id, valid_time=valid_time)

    def _update_run(self, job_id: str, **values: object) -> None:
        with writing(self.engine) as session:
            session.connection().execute(update(FeedRun).where(FeedRun.job_id == job_id).values(**values))

    def delete_runs(self, feed: str, frames: Sequence[str]) -> None:
        """Delete the runs of frames that left the folder long ago."""
        with writing(self.engine) as session:
            for first in range(0, len(frames), 500):
                chunk = FeedRun.frame.in_(frames[first : first + 500])
                session.connection().execute(delete(FeedRun).where(FeedRun.feed == feed, chunk))


def _skipped(feed: str, frame: FrameFile, reason: str) -> FeedRun:
    return FeedRun(
        feed=feed,
        frame=frame.name,
        state=RunState.SKIPPED,
        size=frame.size,
        modified_ns=frame.modified_ns,
        reason=reason,
    )


def _same(run: FeedRun) -> ColumnElement[bool]:
    """Select a run, if no other scan has changed it since it was read."""
    return and_(
        FeedRun.feed == run.feed, FeedRun.frame == run.frame, FeedRun.state == run.state, FeedRun.job_id == run.job_id
    )
