"""A job: one nowcast that was requested, and the ledger's table of jobs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Self, TypedDict

from pydantic import BaseModel, Field
from sqlalchemy import JSON, BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from model.core.errors import InputError
from model.core.forecast_output import DETERMINISTIC_OUTPUT, ForecastOutput
from service.jobs.base import Base, ForecastOutputJson, text_enum
from service.log import current_ids
from service.tracing import trace_context

JobKind = Literal["upload", "feed", "challenger"]
"""Who asked for it: a client; a feed; a feed for the sake of its verification (`service.feeds.skill`)."""

ANONYMOUS_ID: Final = "anonymous"
"""The client of jobs of feeds, and of requests to a service that is open to everybody."""


class JobStatus(StrEnum):
    """The statuses of OGC API - Processes."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self not in (JobStatus.ACCEPTED, JobStatus.RUNNING)


class JobInput(TypedDict):
    """One input file: the user's name for it, its key in the store (of a feed: its path), its size in bytes."""

    name: str
    key: str
    size: int


class Problem(TypedDict):
    """Why a job failed. `code` is stable: `InputError.code`, or internal, worker-lost, device-lost or time-limit."""

    code: str
    what: str
    where: str
    hint: str


class Timings(BaseModel):
    """Where the seconds between `created` and `finished` went; the four add up to all of them."""

    queue_seconds: float = Field(
        description="Waiting: in the queue, for others of the batch, for small ones in its place, in failed attempts."
    )
    read_seconds: float = Field(description="Reading the files.")
    compute_seconds: float = Field(description="The forecast; of the whole batch, where several jobs ran as one.")
    write_seconds: float = Field(description="Writing and publishing the result.")


class JobOrigin(TypedDict, total=False):
    """Where a job comes from: the id of the request, and the context of its trace (W3C)."""

    request_id: str
    traceparent: str
    tracestate: str


class IdempotencyConflict(InputError):
    """The Idempotency-Key was used for another request."""

    code = "idempotency-key-reused"


class UnknownJob(InputError):
    """The ledger has no job of that id."""

    code = "unknown-job"


def current_origin() -> JobOrigin | None:
    """Return the origin of a job that is created now; None outside of a request."""
    origin = JobOrigin(**trace_context())  # type: ignore[typeddict-item]
    if request_id := current_ids().get("request_id"):
        origin["request_id"] = request_id
    return origin or None


def new_job_id() -> str:
    """Return an opaque id of 32 hexadecimal digits."""
    return uuid.uuid4().hex


class Job(Base, kw_only=True):
    """A requested nowcast. Times are UTC and timezone-aware.

    `client`: the id of the client that it belongs to. `origin`: the request that created it.
    `forecast_output`: the field, probabilities and members that were asked for. `output`: the file to which a feed's
    nowcast is published. `attempt`: how many attempts were started. `lease`: the
    random token of the worker that runs the job. `work`, `cost_seconds`: what it is expected to cost
    (`service.jobs.costs`), estimated from its files until they are read. `running_limit`: how many jobs of its client
    may run at a time, 0 any number. `upload_bytes`, `result_bytes`: what its files and its result take in the store.
    `models_digest`: of what its result depends on beside the request (`service.jobs.reuse`), None where not known.
    `callback_url`: where its end is reported to (`service.jobs.outbox`).
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default_factory=new_job_id)
    kind: Mapped[JobKind] = mapped_column(String(16), default="upload")
    client: Mapped[str] = mapped_column(String(128), default=ANONYMOUS_ID, server_default=ANONYMOUS_ID)
    status: Mapped[JobStatus] = mapped_column(text_enum(JobStatus), default=JobStatus.ACCEPTED)
    model: Mapped[str] = mapped_column(String(128))
    model_used: Mapped[str | None] = mapped_column(String(128), default=None)
    note: Mapped[str] = mapped_column(Text, default="")
    steps: Mapped[int]
    variable: Mapped[str | None] = mapped_column(String(256), default=None)
    zr: Mapped[str | None] = mapped_column(String(64), default=None)
    inputs: Mapped[list[JobInput]] = mapped_column(JSON)
    forecast_output: Mapped[ForecastOutput] = mapped_column(
        ForecastOutputJson, nullable=True, default=DETERMINISTIC_OUTPUT
    )
    feed: Mapped[str | None] = mapped_column(String(128), default=None)
    output: Mapped[str | None] = mapped_column(Text, default=None)
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int] = mapped_column(init=False)
    problem: Mapped[Problem | None] = mapped_column(JSON(none_as_null=True), default=None)
    created: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    queued: Mapped[datetime | None] = mapped_column(default=None)
    started: Mapped[datetime | None] = mapped_column(default=None)
    finished: Mapped[datetime | None] = mapped_column(default=None)
    result_key: Mapped[str | None] = mapped_column(String(256), default=None)
    input_key: Mapped[str | None] = mapped_column(String(256), default=None)
    queue_seconds: Mapped[float | None] = mapped_column(default=None)
    read_seconds: Mapped[float | None] = mapped_column(default=None)
    compute_seconds: Mapped[float | None] = mapped_column(default=None)
    write_seconds: Mapped[float | None] = mapped_column(default=None)
    attempt: Mapped[int] = mapped_column(default=0)
    lease: Mapped[str | None] = mapped_column(String(32), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    work: Mapped[float] = mapped_column(default=0.0, server_default="0")
    cost_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    running_limit: Mapped[int] = mapped_column(default=0, server_default="0")
    upload_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0", init=False)
    result_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    idempotency_key: Mapped[str | None] = mapped_column(String(256), default=None)
    request_digest: Mapped[str | None] = mapped_column(String(128), default=None)
    models_digest: Mapped[str | None] = mapped_column(String(64), default=None)
    callback_url: Mapped[str | None] = mapped_column(Text, default=None)
    origin: Mapped[JobOrigin | None] = mapped_column(JSON(none_as_null=True), default_factory=current_origin)

    __table_args__ = (
        Index("ix_jobs_status_created", "status", "created"),
        Index("ix_jobs_client_created", "client", "created", "id"),
        Index("ix_jobs_created", "created", "id"),
        Index("ix_jobs_finished", "finished"),
        Index("ix_jobs_request", "client", "request_digest"),
        UniqueConstraint("client", "idempotency_key", name="uq_jobs_client_idempotency_key"),
    )

    def __post_init__(self) -> None:
        """Count progress in lead steps, and the bytes of the files."""
        self.progress_total = self.steps
        self.upload_bytes = sum(item["size"] for item in self.inputs) if self.kind == "upload" else 0

    @property
    def timings(self) -> Timings | None:
        """Where the job's time went; None before a worker has finished it."""
        if None in (self.queue_seconds, self.read_seconds, self.compute_seconds, self.write_seconds):
            return None
        return Timings.model_validate(self, from_attributes=True)


class JobVersion(NamedTuple):
    """What changes while a job runs; two versions of a job differ where a client would notice."""

    attempt: int
    progress_done: int
    status: JobStatus

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the version of a job as it was read."""
        return cls(job.attempt, job.progress_done, job.status)

    def __str__(self) -> str:
        return f"{self.attempt}.{self.progress_done}.{self.status.value}"


def problem_of(error: InputError) -> Problem:
    """Return the problem that an InputError describes."""
    return Problem(code=error.code, what=error.what, where=error.where, hint=error.hint)
