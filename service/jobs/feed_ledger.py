"""What the ledger knows of feeds: which were seen, and what became of each frame, once per frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import Row, Table, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from service.jobs.database import writing
from service.jobs.job import JobStatus, NewJob, Problem, new_job_id
from service.jobs.ledger import Ledger, dismissal, insert_job, jobs
from service.jobs.tables import FeedRow, FeedRunRow

feeds = cast(Table, FeedRow.__table__)
runs = cast(Table, FeedRunRow.__table__)

BACKLOG: Final = "it was there, behind a newer frame, when the feed was seen first"


class RunState(StrEnum):
    """`submitted`: see the job. `waiting`: too few frames yet. `skipped`: not worth a nowcast, as of a backlog.
    `refused`: its valid time is not later than that of the frames before it, or lies ahead of the clock."""

    SUBMITTED = "submitted"
    WAITING = "waiting"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class FrameFile:
    """A file of a feed's folder, as it was found."""

    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, kw_only=True)
class FeedRun:
    """What became of one frame. `status` and `problem` are those of its job, where it has one.

    `valid_time`: of the frame, once its nowcast was published. `reason`: why it waits, or was skipped or refused.
    `replaces`: its nowcast takes the place of the one that was published before the file changed.
    """

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
    valid_time: datetime | None = None
    reason: str = ""
    replaces: bool = False

    def matches(self, frame: FrameFile) -> bool:
        """The file has not changed since."""
        return (self.size, self.modified_ns) == (frame.size, frame.modified_ns)


class _Overtaken(Exception):
    """Rolls a transaction back: another scan was first."""


class FeedLedger:
    """Runs by feed and frame, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def register(self, feed: str, folder: str, backlog: Iterable[FrameFile]) -> bool:
        """Note a feed that was never seen, and skip its backlog. False: it was seen before."""
        now = datetime.now(UTC)
        skipped = [_row(feed, frame, RunState.SKIPPED, now, reason=BACKLOG) for frame in backlog]
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(feeds).values(name=feed, folder=folder, first_seen=now))
                if skipped:
                    connection.execute(insert(runs), skipped)
        except IntegrityError:
            return False
        return True

    def is_registered(self, feed: str) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(select(feeds.c.name).where(feeds.c.name == feed)).first() is not None

    def record_scan(self, feed: str, problem: Problem | None = None) -> None:
        """The folder was looked at; `problem` says why that failed."""
        with writing(self.engine) as connection:
            connection.execute(
                update(feeds)
                .where(feeds.c.name == feed)
                .values(last_scan=datetime.now(UTC), problem=None if problem is None else dict(problem))
            )

    def runs(self, feed: str, limit: int | None = None) -> list[FeedRun]:
        """The runs of a feed, the newest first."""
        query = _RUNS.where(runs.c.feed == feed).order_by(runs.c.seen.desc(), runs.c.frame.desc()).limit(limit)
        with self.engine.connect() as connection:
            return [_run(row) for row in connection.execute(query)]

    def run_of_job(self, job_id: str) -> FeedRun | None:
        """The run that this job is of; None where the job is no feed's, or its frame is forgotten."""
        query = _RUNS.where(runs.c.job_id == job_id)
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _run(row)

    def published(self, feed: str, limit: int = 1000) -> list[tuple[str, datetime]]:
        """Frames whose nowcasts were published, and their valid times: the latest first."""
        query = (
            select(runs.c.frame, runs.c.valid_time)
            .where(runs.c.feed == feed, runs.c.valid_time.is_not(None))
            .order_by(runs.c.valid_time.desc())
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [(row.frame, row.valid_time) for row in connection.execute(query)]

    def newest_waiting_job(self, job_id: str) -> str | None:
        """Of the feed that this job is of: the job of the newest frame, among this one and those never begun.

        A worker takes that one, whichever job's message came first.
        """
        feed = select(runs.c.feed).where(runs.c.job_id == job_id).scalar_subquery()
        query = (
            select(runs.c.frame, runs.c.job_id)
            .select_from(runs.join(jobs, runs.c.job_id == jobs.c.id))
            .where(runs.c.feed == feed, jobs.c.status == JobStatus.ACCEPTED.value)
            .where(or_(jobs.c.attempt == 0, jobs.c.id == job_id))
        )
        with self.engine.connect() as connection:
            found = [(row.frame, row.job_id) for row in connection.execute(query)]
        return max(found)[1] if found else None

    def submit(self, frame: FrameFile, new: NewJob, earlier: FeedRun | None = None) -> str | None:
        """Make the job of a frame; `earlier` is the run that it replaces. None: another scan did so first."""
        feed = str(new.feed)
        job_id = new_job_id()
        row = _row(feed, frame, RunState.SUBMITTED, datetime.now(UTC), files=len(new.inputs), job_id=job_id)
        row["replaces"] = earlier is not None and (earlier.replaces or not earlier.matches(frame))
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

    def skip(self, feed: str, frames: Sequence[FrameFile], reason: str) -> None:
        """These frames, which have no run, need no job."""
        now = datetime.now(UTC)
        rows = [_row(feed, frame, RunState.SKIPPED, now, reason=reason) for frame in frames]
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(runs), rows)
        except IntegrityError:  # another scan was first; the next one sees what is left
            return

    def skip_existing(self, run: FeedRun, frame: FrameFile, reason: str) -> None:
        """This frame, which has a run, needs no other job; one that was not begun is dismissed."""
        values = {
            "state": RunState.SKIPPED.value,
            "reason": reason,
            "size": frame.size,
            "modified_ns": frame.modified_ns,
        }
        with writing(self.engine) as connection:
            if (
                connection.execute(update(runs).where(_same(run)).values(values)).rowcount == 1
                and run.job_id is not None
            ):
                connection.execute(
                    update(jobs)
                    .where(jobs.c.id == run.job_id, jobs.c.status == JobStatus.ACCEPTED.value)
                    .values(note=reason, **dismissal())
                )

    def record_outcome(self, job_id: str, state: RunState, reason: str) -> None:
        """The frame of this job is not forecast, and why: it waits for more frames, is skipped, or refused."""
        self._of_job(job_id, state=state.value, reason=reason)

    def record_published(self, job_id: str, valid_time: datetime) -> None:
        """The nowcast of this job, which starts from that time, is published."""
        self._of_job(job_id, valid_time=valid_time)

    def _of_job(self, job_id: str, **values: object) -> None:
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.job_id == job_id).values(**values))

    def delete_runs(self, feed: str, frames: Sequence[str]) -> None:
        """Forget the runs of frames that have left the folder long ago."""
        with writing(self.engine) as connection:
            for first in range(0, len(frames), 500):
                connection.execute(
                    delete(runs).where(runs.c.feed == feed, runs.c.frame.in_(frames[first : first + 500]))
                )


_RUNS = select(runs, jobs.c.status, jobs.c.problem).select_from(runs.outerjoin(jobs, runs.c.job_id == jobs.c.id))


def _run(row: Row[Any]) -> FeedRun:
    values = {name: getattr(row, name) for name in FeedRun.__dataclass_fields__}
    values["state"] = RunState(values["state"])
    values["status"] = None if values["status"] is None else JobStatus(values["status"])
    return FeedRun(**values)


def _row(
    feed: str,
    frame: FrameFile,
    state: RunState,
    seen: datetime,
    *,
    files: int = 0,
    job_id: str | None = None,
    reason: str = "",
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
        "reason": reason,
    }


def _same(run: FeedRun) -> ColumnElement[bool]:
    return and_(
        runs.c.feed == run.feed,
        runs.c.frame == run.frame,
        runs.c.state == run.state.value,
        runs.c.job_id == run.job_id,
    )
