"""What a job is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypedDict

from model.core.errors import InputError

JobKind = Literal["upload", "feed"]


class JobStatus(StrEnum):
    """OGC API - Processes' words."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def finished(self) -> bool:
        return self not in (JobStatus.ACCEPTED, JobStatus.RUNNING)


class JobInput(TypedDict):
    """One input file: its name outside, its key in the store (kind feed: its path), its bytes."""

    name: str
    key: str
    size: int


class Problem(TypedDict):
    """Why a job failed. `code` is stable (`InputError.code`, or internal, worker-lost, device-lost, time-limit)."""

    code: str
    what: str
    where: str
    hint: str


class Timings(TypedDict):
    """Where the seconds between a job's creation and its end went; together they are all of them.

    `queue_seconds`: in the queue, in attempts before the last, and waiting for others of its batch. `read_seconds`: its
    files. `compute_seconds`: the forecast, of the whole batch where it ran in one. `write_seconds`: its result, until
    it is published.
    """

    queue_seconds: float
    read_seconds: float
    compute_seconds: float
    write_seconds: float


class IdempotencyConflict(InputError):
    code = "idempotency-key-reused"


class UnknownJob(InputError):
    code = "unknown-job"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A nowcast that was asked for, as the ledger has it. Times are UTC and timezone-aware."""

    id: str
    kind: JobKind
    status: JobStatus
    model: str
    steps: int
    inputs: tuple[JobInput, ...]
    created: datetime
    variable: str | None = None
    zr: str | None = None
    feed: str | None = None
    output: str | None = None
    model_used: str | None = None
    note: str = ""
    progress_done: int = 0
    progress_total: int = 0
    problem: Problem | None = None
    started: datetime | None = None
    finished: datetime | None = None
    result_key: str | None = None
    input_key: str | None = None
    queue_seconds: float | None = None
    read_seconds: float | None = None
    compute_seconds: float | None = None
    write_seconds: float | None = None
    attempt: int = 0
    lease: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What a caller gives to `Ledger.create`. `output`: the file that a feed's nowcast is also put at."""

    kind: JobKind = "upload"
    model: str
    steps: int
    inputs: tuple[JobInput, ...]
    variable: str | None = None
    zr: str | None = None
    feed: str | None = None
    output: str | None = None


def new_job_id() -> str:
    """An opaque id, 32 hexadecimal digits."""
    return uuid.uuid4().hex


def problem_of(error: InputError) -> Problem:
    """The problem that an InputError is."""
    return Problem(code=error.code, what=error.what, where=error.where, hint=error.hint)
