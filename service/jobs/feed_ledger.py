"""What the ledger knows of feeds: which were seen, and what became of each frame, once per frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import Table, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from service.jobs.database import writing
from service.jobs.job import JobStatus, NewJob, Problem, new_job_id
from service.jobs.ledger import Ledger, insert_job, jobs
from service.jobs.tables import FeedRow, FeedRunRow

feeds = cast(Table, FeedRow.__table__)
runs = cast(Table, FeedRunRow.__table__)


class RunState(StrEnum):
    """`submitted`: see the job. `waiting`: too few frames yet. `skipped`: there before the feed was seen."""

    SUBMITTED = "submitted"
    WAITING = "waiting"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A file of a feed's folder, as it was found."""

    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, kw_only=True)
class FeedRun:
    """What became of one frame. `status` and `problem` are those of its job, where it has one."""

    feed: str
    frame: str
    state: RunState
    size: int
    modified_ns: int
    files: int
    seen: datetime
    job_id: str | None
    status: JobStatus | None
    problem: Problem | None

    def is_of(self, frame: Frame) -> bool:
        """The file has not changed since."""
        return (self.size, self.modified_ns) == (frame.size, frame.modified_ns)


class _Overtaken(Exception):
    """Rolls a transaction back: another scan was first."""


class FeedLedger:
    """Runs by feed and frame, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def begin(self, feed: str, folder: str, backlog: Iterable[Frame]) -> bool:
        """Note a feed that was never seen, and skip its backlog. False: it was seen before."""
        now = datetime.now(UTC)
        skipped = [_row(feed, frame, RunState.SKIPPED, now) for frame in backlog]
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(feeds).values(name=feed, folder=folder, first_seen=now))
                if skipped:
                    connection.execute(insert(runs), skipped)
        except IntegrityError:
            return False
        return True

    def seen(self, feed: str) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(select(feeds.c.name).where(feeds.c.name == feed)).first() is not None

    def scanned(self, feed: str, problem: Problem | None = None) -> None:
        """The folder was looked at; `problem` says why that failed."""
        with writing(self.engine) as connection:
            connection.execute(
                update(feeds)
                .where(feeds.c.name == feed)
                .values(last_scan=datetime.now(UTC), problem=None if problem is None else dict(problem))
            )

    def runs(self, feed: str, limit: int | None = None) -> list[FeedRun]:
        """The runs of a feed, the newest first."""
        query = (
            select(runs, jobs.c.status, jobs.c.problem)
            .select_from(runs.outerjoin(jobs, runs.c.job_id == jobs.c.id))
            .where(runs.c.feed == feed)
            .order_by(runs.c.seen.desc(), runs.c.frame.desc())
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [
                FeedRun(
                    feed=row.feed,
                    frame=row.frame,
                    state=RunState(row.state),
                    size=row.size,
                    modified_ns=row.modified_ns,
                    files=row.files,
                    seen=row.seen,
                    job_id=row.job_id,
                    status=None if row.status is None else JobStatus(row.status),
                    problem=row.problem,
                )
                for row in connection.execute(query)
            ]

    def submit(self, frame: Frame, new: NewJob, earlier: FeedRun | None = None) -> str | None:
        """Make the job of a frame; `earlier` is the run that it replaces. None: another scan did so first."""
        feed = str(new.feed)
        job_id = new_job_id()
        row = _row(feed, frame, RunState.SUBMITTED, datetime.now(UTC), files=len(new.inputs), job_id=job_id)
        try:
            with writing(self.engine) as connection:
                insert_job(connection, job_id, new)
                if earlier is None:
                    connection.execute(insert(runs).values(row))
                elif connection.execute(update(runs).where(_same(earlier)).values(row)).rowcount != 1:
                    raise _Overtaken
        except (IntegrityError, _Overtaken):
            return None
        return job_id

    def skip(self, feed: str, frame: Frame) -> None:
        """The frame needs no job: its nowcast is there."""
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(runs).values(_row(feed, frame, RunState.SKIPPED, datetime.now(UTC))))
        except IntegrityError:
            return

    def wait(self, job_id: str) -> None:
        """The frame of this job waits for more frames before it."""
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.job_id == job_id).values(state=RunState.WAITING.value))

    def forget(self, feed: str, frames: Sequence[str]) -> None:
        """Forget the runs of frames that have left the folder long ago."""
        with writing(self.engine) as connection:
            for first in range(0, len(frames), 500):
                connection.execute(
                    delete(runs).where(runs.c.feed == feed, runs.c.frame.in_(frames[first : first + 500]))
                )


def _row(
    feed: str, frame: Frame, state: RunState, seen: datetime, *, files: int = 0, job_id: str | None = None
) -> dict[str, object]:
    return {
        "feed": feed,
        "frame": frame.name,
        "state": state.value,
        "size": frame.size,
        "modified_ns": frame.modified_ns,
        "files": files,
        "job_id": job_id,
        "seen": seen,
    }


def _same(run: FeedRun) -> ColumnElement[bool]:
    return and_(
        runs.c.feed == run.feed,
        runs.c.frame == run.frame,
        runs.c.state == run.state.value,
        runs.c.job_id == run.job_id,
    )
