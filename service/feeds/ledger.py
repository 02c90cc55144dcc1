"""The feeds' part of the ledger: which files arrived, the frames in them, and the runs that start from the frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Select, and_, case, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.tables import (
    ArrivedFile,
    FeedFile,
    FeedFrame,
    FeedRun,
    FileState,
    KnownFile,
    RegisteredFeed,
    RunState,
    shown_name,
)
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger
from service.metrics.instruments import FEED_FILES, FEED_LAG, JOBS_ACCEPTED

T = TypeVar("T")

BACKLOG: Final = "it was there when the feed was scanned for the first time"


class _AnotherWasFirst(Exception):
    """Rolls a transaction back: another scan was first."""


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """A frame of a file that was read, before it is recorded; the attributes are those of `FeedFrame`."""

    valid_time: datetime
    key: str
    digest: str
    grid: str
    pixels: int
    size: int
    coverage: float
    radar_product: str = ""


class FeedLedger:
    """Files, frames and runs of feeds, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    # Feeds

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

    # Files

    def known_files(self, feed: str) -> dict[str, KnownFile]:
        """Return what a scan needs of every file of a feed, by name. A folder may have very many."""
        query = select(FeedFile.name, FeedFile.size, FeedFile.modified_ns, FeedFile.state, FeedFile.arrived)
        with reading(self.engine) as session:
            rows = session.execute(query.where(FeedFile.feed == feed))
            return {name: KnownFile(size, modified, state, arrived) for name, size, modified, state, arrived in rows}

    def newest_files(self, feed: str, limit: int) -> list[FeedFile]:
        """Return the files that arrived last, the newest first."""
        query = select(FeedFile).where(FeedFile.feed == feed).order_by(FeedFile.arrived.desc(), FeedFile.name.desc())
        return load(self.engine, query.limit(limit))

    def record_outcome(
        self, feed: str, file: ArrivedFile, state: FileState, reason: str, valid_time: datetime | None = None
    ) -> None:
        """Record what became of a file that gives the feed no frame."""
        made = _feed_file(feed, file, state, reason, valid_time)
        with writing(self.engine) as session:
            earlier = session.get(FeedFile, (feed, file.name))
            is_known = earlier is not None and file.is_unchanged_since(earlier)
            if earlier is not None and is_known:
                made.arrived = earlier.arrived  # it is read again, as it may have become readable
            is_known &= earlier is not None and earlier.state is state
            session.merge(made)
        if not is_known:
            FEED_FILES.labels(feed, state.value).inc()

    def skip_files(self, feed: str, files: Sequence[ArrivedFile], reason: str) -> None:
        """Record that files are not read."""
        for chunk in _chunks(files):
            same = and_(FeedFile.feed == feed, FeedFile.name.in_([file.name for file in chunk]))
            try:
                with writing(self.engine) as session:
                    session.connection().execute(delete(FeedFile).where(same))
                    session.add_all([_feed_file(feed, file, FileState.SKIPPED, reason) for file in chunk])
            except IntegrityError:  # another scan was first
                continue
            FEED_FILES.labels(feed, FileState.SKIPPED.value).inc(len(chunk))

    def record_frames(self, feed: str, file: ArrivedFile, frames: Sequence[DecodedFrame]) -> FileState:
        """Record the frames of a file, and what became of the file.

        A frame that is known by its valid time and content stays as it is; one of other content replaces it, with the
        next `revision`, unless it is in a file that was written later. A file is late where one that was written before
        it has a newer frame. So files may be read in any order; of two with one frame, the second one that is read is
        the duplicate.

        Parameters
        ----------
        feed, file
            The feed, and the file as it was read.
        frames
            Its frames, the oldest first.

        Returns
        -------
        FileState
            accepted, late, reissued or duplicate.

        Raises
        ------
        IntegrityError
            Another process records the same frame at the same moment: to be tried again.
        """
        newest = frames[-1].valid_time
        with writing(self.engine) as session:
            known = _frames_at(session, feed, [frame.valid_time for frame in frames])
            is_new = [frame for frame in frames if frame.valid_time not in known]
            changed = [frame for frame in frames if _differs(frame, known)]
            newer = _written_after(session, feed, file, {known[frame.valid_time].file for frame in changed})
            superseded = [frame for frame in changed if known[frame.valid_time].file in newer]
            changed = [frame for frame in changed if frame not in superseded]
            others = {
                f"{shown_name(other.file)} has the same frame" + (" in a later issue" if other.file in newer else "")
                for other in known.values()
                if other.file != file.name
            }
            for frame in is_new:
                session.add(_feed_frame(feed, file.name, frame, revision=0))
            for frame in changed:
                earlier = known[frame.valid_time]
                session.merge(_feed_frame(feed, file.name, frame, earlier.revision + 1, earlier.arrived))
            if changed:
                state = FileState.REISSUED
            elif not is_new:
                state = FileState.DUPLICATE
            elif _has_newer_frame(session, feed, file, newest):
                state = FileState.LATE
            else:
                state = FileState.ACCEPTED
            reason = "; ".join(sorted(others)) if state is FileState.DUPLICATE else ""
            earlier_file = session.get(FeedFile, (feed, file.name))
            is_same = earlier_file is not None and earlier_file.state is not FileState.RECEIVED and not others
            if state is FileState.DUPLICATE and earlier_file is not None and is_same:
                state, reason = earlier_file.state, earlier_file.reason  # the same file, touched or read twice at once
            session.merge(_feed_file(feed, file, state, reason, newest))
        FEED_FILES.labels(feed, state.value).inc()
        return state

    def is_received(self, feed: str, name: str) -> bool:
        """Whether a file that is sent over HTTP was read, or waits. One that could not be used may be usable now."""
        with reading(self.engine) as session:
            known = session.get(FeedFile, (feed, name))
        return known is not None and known.state not in (FileState.UNREADABLE, FileState.REFUSED)

    def receive(self, feed: str, file: ArrivedFile) -> None:
        """Record a file that was sent over HTTP and is stored, to be read."""
        with writing(self.engine) as session:
            session.merge(_feed_file(feed, file, FileState.RECEIVED, ""))

    def received_files(self, feed: str) -> list[FeedFile]:
        """Return the files that were sent over HTTP and wait to be read."""
        return load(self.engine, select(FeedFile).where(FeedFile.feed == feed, FeedFile.state == FileState.RECEIVED))

    def find_files(self, feed: str, names: Sequence[str]) -> list[FeedFile]:
        """Return the files of those names, in their order."""
        found = load(self.engine, select(FeedFile).where(FeedFile.feed == feed, FeedFile.name.in_(names)))
        return sorted(found, key=lambda file: names.index(file.name))

    def delete_files(self, feed: str, names: Sequence[str]) -> None:
        """Delete the records of files that left the folder long ago."""
        with writing(self.engine) as session:
            for chunk in _chunks(names):
                session.connection().execute(delete(FeedFile).where(FeedFile.feed == feed, FeedFile.name.in_(chunk)))

    # Frames

    def newest_time(self, feed: str) -> datetime | None:
        """Return the valid time of the newest frame."""
        with reading(self.engine) as session:
            return session.scalar(select(func.max(FeedFrame.valid_time)).where(FeedFrame.feed == feed))

    def frames(self, feed: str, *, limit: int | None = None, since: datetime | None = None) -> list[FeedFrame]:
        """Return the frames of a feed, the newest first: at most `limit`, none from before `since`."""
        query = select(FeedFrame).where(FeedFrame.feed == feed).order_by(FeedFrame.valid_time.desc())
        if since is not None:
            query = query.where(FeedFrame.valid_time >= since)
        return load(self.engine, query.limit(limit))

    def find_frame(self, feed: str, valid_time: datetime | None = None) -> FeedFrame | None:
        """Return the frame of a valid time; without one, the newest."""
        query = select(FeedFrame).where(FeedFrame.feed == feed)
        if valid_time is not None:
            query = query.where(FeedFrame.valid_time == valid_time)
        return next(iter(load(self.engine, query.order_by(FeedFrame.valid_time.desc()).limit(1))), None)

    def frames_before(self, feed: str, time: datetime, limit: int) -> list[FeedFrame]:
        """Return the newest frames that are older than `time`, the oldest first."""
        query = select(FeedFrame).where(FeedFrame.feed == feed, FeedFrame.valid_time < time)
        return load(self.engine, query.order_by(FeedFrame.valid_time.desc()).limit(limit))[::-1]

    def times_before(self, feed: str, time: datetime) -> list[datetime]:
        """Return the valid times of the frames that are older than `time`."""
        return load(
            self.engine, select(FeedFrame.valid_time).where(FeedFrame.feed == feed, FeedFrame.valid_time < time)
        )

    def delete_frames(self, feed: str, before: datetime) -> None:
        """Delete the frames and runs from before a time."""
        old = and_(FeedFrame.feed == feed, FeedFrame.valid_time < before)
        old_runs = and_(FeedRun.feed == feed, FeedRun.reference_time < before)
        with writing(self.engine) as session:
            session.connection().execute(delete(FeedFrame).where(old))
            session.connection().execute(delete(FeedRun).where(old_runs))

    # Runs

    def runs(self, feed: str, *, limit: int | None = None, since: datetime | None = None) -> list[FeedRun]:
        """Return the runs of a feed, the newest reference time first: at most `limit`, none from before `since`."""
        query = select(FeedRun).where(FeedRun.feed == feed).order_by(FeedRun.reference_time.desc(), FeedRun.model)
        if since is not None:
            query = query.where(FeedRun.reference_time >= since)
        return load(self.engine, query.limit(limit))

    def find_run(self, feed: str, model: str, reference_time: datetime | None = None) -> FeedRun | None:
        """Return the run from a reference time; without one, the newest that has a nowcast.

        Of several models, `model` comes first: the feed may have had another one before.
        """
        if reference_time is None:
            query = newest_with_nowcast(feed, model)
        else:
            query = _own_model_first(select(FeedRun).where(FeedRun.feed == feed), model)
            query = query.where(FeedRun.reference_time == reference_time)
        return next(iter(load(self.engine, query.limit(1))), None)

    def newest_published_to(self, output: str) -> datetime | None:
        """Return the newest reference time whose nowcast was published to the file `output`."""
        query = select(func.max(FeedRun.reference_time)).join(Job, FeedRun.job_id == Job.id)
        with reading(self.engine) as session:
            return session.scalar(query.where(Job.output == output, FeedRun.published.is_not(None)))

    def run_of_job(self, job_id: str) -> FeedRun | None:
        """Return the run of a job; None where it is no feed's job, or not the run's newest."""
        return next(iter(load(self.engine, select(FeedRun).where(FeedRun.job_id == job_id))), None)

    def newest_waiting_job(self, job_id: str) -> str | None:
        """Return the job of the feed's newest reference time among this job and those without an attempt.

        A worker takes that job, whichever job's message came first. None: the job is no feed's.
        """
        feed = select(FeedRun.feed).where(FeedRun.job_id == job_id).scalar_subquery()
        query = (
            select(FeedRun.job_id)
            .join(Job, FeedRun.job_id == Job.id)
            .where(FeedRun.feed == feed, Job.status == JobStatus.ACCEPTED)
            .where(or_(Job.attempt == 0, Job.id == job_id))
            .order_by(FeedRun.reference_time.desc())
            .limit(1)
        )
        with reading(self.engine) as session:
            return session.scalar(query)

    def submit(
        self,
        job: Job,
        frame: FeedFrame,
        earlier: FeedRun | None = None,
        *,
        model: str,
        fallback: bool = False,
        reason: str = "",
        backfill: bool = False,
    ) -> str | None:
        """Record the job of a run, and return its id; None where another process was first.

        Parameters
        ----------
        job
            The job, of a feed; it names the model that is to run.
        frame
            The frame at the reference time.
        earlier
            The run as it was read, where there is one: its job has ended.
        model
            The feed's model, by which the run is known.
        fallback, reason
            Whether and why another model is to run in its place.
        backfill
            Whether an operator asked for it, however old the frame is.
        """
        values: dict[str, Any] = {
            "state": RunState.SUBMITTED,
            "job_id": job.id,
            "frames": len(job.inputs),
            "revision": frame.revision,
            "fallback": fallback,
            "reason": reason,
            "backfill": backfill,
        }
        try:
            with writing(self.engine) as session:
                session.add(job)
                session.flush()
                if earlier is None:
                    session.add(FeedRun(feed=frame.feed, reference_time=frame.valid_time, model=model, **values))
                else:
                    values["previous_job_id"] = earlier.served_job_id
                    changed = session.connection().execute(update(FeedRun).where(_same(earlier)).values(values))
                    if changed.rowcount != 1:
                        raise _AnotherWasFirst
        except (IntegrityError, _AnotherWasFirst):
            return None
        JOBS_ACCEPTED.labels(job.kind).inc()
        return job.id

    def skip(self, frame: FeedFrame, model: str, reason: str) -> None:
        """Record that there is no run from a frame."""
        run = FeedRun(
            feed=frame.feed,
            reference_time=frame.valid_time,
            model=model,
            state=RunState.SKIPPED,
            revision=frame.revision,
            reason=reason,
        )
        try:
            with writing(self.engine) as session:
                session.add(run)
        except IntegrityError:  # another process was first; the next scan sees what is left
            return

    def record_run(self, job_id: str, state: RunState, reason: str) -> None:
        """Record why the run of this job makes no nowcast: it waits for more frames, or is skipped."""
        with writing(self.engine) as session:
            session.connection().execute(
                update(FeedRun).where(FeedRun.job_id == job_id).values(state=state, reason=reason)
            )

    def record_published(self, job_id: str) -> None:
        """Record that the nowcast of this job is published."""
        now = datetime.now(UTC)
        first = and_(FeedRun.job_id == job_id, FeedRun.published.is_(None))
        same = and_(FeedFrame.feed == FeedRun.feed, FeedFrame.valid_time == FeedRun.reference_time)
        live = select(FeedFrame.feed, FeedFrame.arrived).join(FeedRun, same).where(first, FeedRun.backfill.is_(False))
        with writing(self.engine) as session:
            frames = session.execute(live).all()
            session.connection().execute(update(FeedRun).where(first).values(published=now))
        for feed, arrived in frames:
            FEED_LAG.labels(feed).observe(max(0.0, (now - arrived).total_seconds()))


def newest_with_nowcast(feed: str, model: str) -> Select[FeedRun]:
    """Return the query of the runs of a feed that have a nowcast, as `FeedLedger.find_run` orders them."""
    query = select(FeedRun).outerjoin(Job, FeedRun.job_id == Job.id).where(FeedRun.feed == feed)
    served = or_(Job.status == JobStatus.SUCCESSFUL, FeedRun.previous_job_id.is_not(None))
    return _own_model_first(query.where(served), model)


def _own_model_first(query: Select[FeedRun], model: str) -> Select[FeedRun]:
    return query.order_by(FeedRun.reference_time.desc(), case((FeedRun.model == model, 0), else_=1))


def _frames_at(session: Session, feed: str, times: Sequence[datetime]) -> dict[datetime, FeedFrame]:
    found: dict[datetime, FeedFrame] = {}
    for chunk in _chunks(times):
        # Locked, where the database has locks of rows: two contents for one time get two revisions.
        query = select(FeedFrame).where(FeedFrame.feed == feed, FeedFrame.valid_time.in_(chunk)).with_for_update()
        found |= {frame.valid_time: frame for frame in session.scalars(query)}
    return found


def _written_after(session: Session, feed: str, file: ArrivedFile, names: Iterable[str]) -> set[str]:
    """Return those of the names whose files were written after `file`."""
    later = and_(FeedFile.feed == feed, FeedFile.name.in_(sorted(names)), FeedFile.modified_ns > file.modified_ns)
    return set(session.scalars(select(FeedFile.name).where(later))) - {file.name}


def _has_newer_frame(session: Session, feed: str, file: ArrivedFile, newest: datetime) -> bool:
    """Return whether a file that was written before `file` has a newer frame than `newest`."""
    same = and_(FeedFile.feed == FeedFrame.feed, FeedFile.name == FeedFrame.file)
    query = select(FeedFrame.valid_time).join(FeedFile, same).limit(1)
    query = query.where(FeedFrame.feed == feed, FeedFrame.valid_time > newest, FeedFile.modified_ns < file.modified_ns)
    return session.scalar(query) is not None


def _differs(frame: DecodedFrame, known: Mapping[datetime, FeedFrame]) -> bool:
    return frame.valid_time in known and known[frame.valid_time].digest != frame.digest


def _feed_frame(feed: str, file: str, frame: DecodedFrame, revision: int, arrived: datetime | None = None) -> FeedFrame:
    made = FeedFrame(
        feed=feed,
        valid_time=frame.valid_time,
        file=file,
        key=frame.key,
        digest=frame.digest,
        grid=frame.grid,
        pixels=frame.pixels,
        size=frame.size,
        coverage=frame.coverage,
        radar_product=frame.radar_product,
        revision=revision,
    )
    if arrived is not None:
        made.arrived = arrived
    return made


def _feed_file(
    feed: str, file: ArrivedFile, state: FileState, reason: str, valid_time: datetime | None = None
) -> FeedFile:
    return FeedFile(
        feed=feed,
        name=file.name,
        state=state,
        size=file.size,
        modified_ns=file.modified_ns,
        valid_time=valid_time,
        reason=reason,
    )


def _same(run: FeedRun) -> ColumnElement[bool]:
    """Select a run, if no other process has changed it since it was read."""
    return and_(
        FeedRun.feed == run.feed,
        FeedRun.reference_time == run.reference_time,
        FeedRun.model == run.model,
        FeedRun.state == run.state,
        FeedRun.job_id.is_not_distinct_from(run.job_id),
    )


def _chunks(items: Sequence[T], size: int = 500) -> Iterable[Sequence[T]]:
    """Yield the items in parts: databases bound the number of parameters."""
    return (items[first : first + size] for first in range(0, len(items), size))
