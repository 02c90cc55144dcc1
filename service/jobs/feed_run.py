"""The ledger's tables of feeds and of their frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, false, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from service.jobs.base import Base, text_enum
from service.jobs.job import Job, JobStatus, Problem


class RunState(StrEnum):
    """What became of a frame.

    `submitted`: its job has the outcome. `waiting`: there are too few frames before it. `skipped`: it was too old, as
    the backlog of a new feed is. `refused`: its valid time is not later than that of the frames before it, or lies in
    the future.
    """

    SUBMITTED = "submitted"
    WAITING = "waiting"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class FrameFile:
    """A file in a feed's folder, as a scan found it."""

    name: str
    size: int
    modified_ns: int


class RegisteredFeed(Base, kw_only=True):
    """A feed whose folder was scanned before: the backlog was skipped at the first scan."""

    __tablename__ = "feeds"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    first_seen: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    last_scan: Mapped[datetime | None] = mapped_column(default=None)
    problem: Mapped[Problem | None] = mapped_column(JSON(none_as_null=True), default=None)


class FeedRun(Base, kw_only=True):
    """One frame of a feed. The primary key is what makes a nowcast happen once per frame.

    `valid_time`: of the frame, once its nowcast was published. `reason`: why it waits, or was skipped or refused.
    `replaces`: the file has changed since an earlier run, so that the nowcast replaces a published one. `status`,
    `problem`: those of the job, where there is one.
    """

    __tablename__ = "feed_runs"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    frame: Mapped[str] = mapped_column(String(512), primary_key=True)
    state: Mapped[RunState] = mapped_column(text_enum(RunState))
    size: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int] = mapped_column(default=0)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    seen: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    valid_time: Mapped[datetime | None] = mapped_column(default=None)
    reason: Mapped[str] = mapped_column(Text, server_default="", default="")
    replaces: Mapped[bool] = mapped_column(server_default=false(), default=False)
    status: Mapped[JobStatus | None] = column_property(
        select(Job.status).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )
    problem: Mapped[Problem | None] = column_property(
        select(Job.problem).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )

    __table_args__ = (Index("ix_feed_runs_seen", "feed", "seen"),)

    def matches(self, frame: FrameFile) -> bool:
        """Whether the frame's file has not changed since this run."""
        return (self.size, self.modified_ns) == (frame.size, frame.modified_ns)
