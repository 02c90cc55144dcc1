"""The ledger's tables of feeds: their files, the frames in them, and the runs that start from the frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, false, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from service.feeds.products import ProductFile
from service.jobs.base import Base, text_enum
from service.jobs.job import Job, JobStatus, Problem


class FileState(StrEnum):
    """What became of a file that arrived.

    `received`: it was sent over HTTP, and waits to be read. `accepted`: it holds the newest frame. `late`: its frames
    are older than one of a file that was written before. `reissued`: it replaces a frame by one of other content.
    `duplicate`: all its frames were known, or a file that was written later has them with other content. `skipped`: it
    was not read. `refused`: it could be read, and is no frame of this feed now, such as one ahead of the clock.
    `unreadable`: it could not be read.
    """

    RECEIVED = "received"
    ACCEPTED = "accepted"
    LATE = "late"
    REISSUED = "reissued"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


class RunState(StrEnum):
    """What became of a run.

    `submitted`: its job has the outcome. `waiting`: there are too few frames before its reference time. `skipped`: the
    reference time is too old.
    """

    SUBMITTED = "submitted"
    WAITING = "waiting"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class ArrivedFile:
    """A file in a feed's folder, as a scan found it."""

    name: str
    size: int
    modified_ns: int

    def is_unchanged_since(self, recorded: FeedFile | KnownFile) -> bool:
        """Whether it is still what was recorded under its name."""
        return (self.size, self.modified_ns) == (recorded.size, recorded.modified_ns)


PUSHED: Final = re.compile(r"[0-9a-f]{32}/")
"""Before the name of a file that was sent over HTTP: the beginning of the digest (SHA-256) of its content."""


def shown_name(name: str) -> str:
    """Return the name of a file as its sender gave it."""
    return PUSHED.sub("", name, count=1) if PUSHED.match(name) else name


class KnownFile(NamedTuple):
    """What a scan needs of a recorded file: size, modification time, what became of it, and when it arrived."""

    size: int
    modified_ns: int
    state: FileState
    arrived: datetime


class RegisteredFeed(Base, kw_only=True):
    """A feed that was scanned before.

    `first_reference_time`: the time of the newest frame of the first scan, as frames from before it are context only;
    where the folder was empty, 1970.
    `problem`: why the last scan, or the submission of runs, failed. `scan_until`, `follow_up_until`: until when a
    process has the lease of its scan, and that of what follows publications.
    """

    __tablename__ = "feeds"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    first_seen: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    last_scan: Mapped[datetime | None] = mapped_column(default=None)
    first_reference_time: Mapped[datetime | None] = mapped_column(default=None)
    scan_until: Mapped[datetime | None] = mapped_column(default=None)
    problem: Mapped[Problem | None] = mapped_column(JSON(none_as_null=True), default=None)
    follow_up_until: Mapped[datetime | None] = mapped_column(default=None)


class FeedFile(Base, kw_only=True):
    """A file of a feed, by its name. A file whose size or time changes is read again.

    `valid_time`: of its newest frame, where it could be read. `reason`: why it has this state.
    """

    __tablename__ = "feed_files"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    state: Mapped[FileState] = mapped_column(text_enum(FileState))
    size: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    valid_time: Mapped[datetime | None] = mapped_column(default=None)
    reason: Mapped[str] = mapped_column(Text, default="")
    arrived: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))

    __table_args__ = (Index("ix_feed_files_arrived", "feed", "arrived"),)


class FeedFrame(Base, kw_only=True):
    """A frame of a feed, by its valid time. Its rain rate lies in the store, as CF-netCDF under `key`.

    `file`: the file that it came in. `digest`: of its content, SHA-256. `grid`: the digest of its grid. `revision`: how
    often it was issued again. `coverage`: the share of its pixels with data. `radar_product`: what the radar made it
    of, as the lowest elevation or the maximum of each column; empty where nobody tells. `arrived`: when it was first
    there.
    """

    __tablename__ = "feed_frames"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(String(512))
    key: Mapped[str] = mapped_column(String(256))
    digest: Mapped[str] = mapped_column(String(64))
    grid: Mapped[str] = mapped_column(String(64))
    pixels: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    coverage: Mapped[float]
    radar_product: Mapped[str] = mapped_column(String(64), server_default="", default="")
    revision: Mapped[int] = mapped_column(default=0)
    arrived: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))


class FeedRun(Base, kw_only=True):
    """A run: one nowcast of one model from one reference time. The primary key is what makes it happen once.

    `previous_job_id`: the job of before, where it has a nowcast and the frame was issued again: its nowcast is served
    until the newest job has one. `frames`: how many frames there were for it. `revision`: of the frame at the reference
    time. `reason`: why it waits, was skipped, or why another model runs in the place of the feed's. `published`: when
    its nowcast was first published. `backfill`: whether an operator asked for it, from a frame older than `max_age`.
    `followed_up_job_id`: the job after whose publication everything that follows was done. `products`: what was made of
    its nowcast. `follow_up_problems`: what failed after the publication; while it is not
    followed up, the attempts that were begun. `status`, `problem`: those of its newest job.
    """

    __tablename__ = "feed_runs"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    reference_time: Mapped[datetime] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    state: Mapped[RunState] = mapped_column(text_enum(RunState))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    previous_job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    frames: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    fallback: Mapped[bool] = mapped_column(server_default=false(), default=False)
    reason: Mapped[str] = mapped_column(Text, server_default="", default="")
    backfill: Mapped[bool] = mapped_column(server_default=false(), default=False)
    created: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    published: Mapped[datetime | None] = mapped_column(default=None)
    followed_up_job_id: Mapped[str | None] = mapped_column(String(64), default=None)
    products: Mapped[list[ProductFile] | None] = mapped_column(JSON(none_as_null=True), default=None)
    follow_up_problems: Mapped[list[Problem] | None] = mapped_column(JSON(none_as_null=True), default=None)
    status: Mapped[JobStatus | None] = column_property(
        select(Job.status).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )
    problem: Mapped[Problem | None] = column_property(
        select(Job.problem).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )

    __table_args__ = (Index("ix_feed_runs_job", "job_id"),)

    @property
    def served_job_id(self) -> str | None:
        """The job whose nowcast is served for this reference time; None where there is none."""
        return self.job_id if self.status is JobStatus.SUCCESSFUL else self.previous_job_id

    @property
    def lacks_nowcast(self) -> bool:
        """Whether it has no nowcast, and is not about to have one."""
        if self.state is RunState.SKIPPED:
            return True
        return self.status in (JobStatus.FAILED, None) and self.served_job_id is None
