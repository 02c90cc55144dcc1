"""The ledger's part of what arrives: the files of feeds, and the frames in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Engine, and_, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.feeds.tables import ArrivedFile, FeedFile, FeedFrame, FileState, KnownFile, shown_name
from service.jobs.database import load, reading, writing
from service.metrics.instruments import FEED_FILES

T = TypeVar("T")

BACKLOG: Final = "it was there when the feed was scanned for the first time"


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


class Arrivals:
    """Which files of feeds arrived, what became of them, and the frames in them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

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


def _chunks(items: Sequence[T], size: int = 500) -> Iterable[Sequence[T]]:
    """Yield the items in parts: databases bound the number of parameters."""
    return (items[first : first + size] for first in range(0, len(items), size))
