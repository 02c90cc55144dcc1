"""The ledger's tables. A change here needs a migration under `migrations/versions` (a test compares them)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A timezone-aware UTC time; SQLite keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    pass


class JobRow(Base):
    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(128))
    model_used: Mapped[str | None] = mapped_column(String(128))
    note: Mapped[str] = mapped_column(Text)
    steps: Mapped[int]
    variable: Mapped[str | None] = mapped_column(String(256))
    zr: Mapped[str | None] = mapped_column(String(64))
    inputs: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    feed: Mapped[str | None] = mapped_column(String(128))
    output: Mapped[str | None] = mapped_column(Text)
    progress_done: Mapped[int]
    progress_total: Mapped[int]
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[datetime] = mapped_column(Utc)
    queued: Mapped[datetime | None] = mapped_column(Utc)
    started: Mapped[datetime | None] = mapped_column(Utc)
    finished: Mapped[datetime | None] = mapped_column(Utc)
    result_key: Mapped[str | None] = mapped_column(String(256))
    input_key: Mapped[str | None] = mapped_column(String(256))
    queue_seconds: Mapped[float | None] = mapped_column(Float)
    read_seconds: Mapped[float | None] = mapped_column(Float)
    compute_seconds: Mapped[float | None] = mapped_column(Float)
    write_seconds: Mapped[float | None] = mapped_column(Float)
    attempt: Mapped[int]
    lease: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None] = mapped_column(Utc)
    idempotency_key: Mapped[str | None] = mapped_column(String(256), unique=True)
    request_digest: Mapped[str | None] = mapped_column(String(128))

    __table_args__ = (
        Index("ix_jobs_status_created", "status", "created"),
        Index("ix_jobs_finished", "finished"),
    )


class FeedRow(Base):
    """A feed that has been seen: the backlog of its folder was skipped then."""

    __tablename__ = "feeds"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    first_seen: Mapped[datetime] = mapped_column(Utc)
    last_scan: Mapped[datetime | None] = mapped_column(Utc)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class FeedRunRow(Base):
    """One frame of a feed. The primary key is what makes a nowcast happen once per frame.

    `valid_time`: of the frame whose nowcast was published. `reason`: why there is none. `replaces`: the file has
    changed since an earlier run, so that the nowcast takes the place of the one that may be there.
    """

    __tablename__ = "feed_runs"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    frame: Mapped[str] = mapped_column(String(512), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    seen: Mapped[datetime] = mapped_column(Utc)
    valid_time: Mapped[datetime | None] = mapped_column(Utc)
    reason: Mapped[str] = mapped_column(Text, server_default="")
    replaces: Mapped[bool] = mapped_column(server_default=false())

    __table_args__ = (Index("ix_feed_runs_seen", "feed", "seen"),)
