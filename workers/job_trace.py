"""The spans of one attempt at a nowcast: nowcast, and in it read, compute and write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from service.jobs.job import Job
from service.tracing import remote_context, tracer


class JobTrace:
    """A span below the request that asked for the job, until it is closed."""

    def __init__(self, job: Job) -> None:
        attributes: dict[str, str | int] = {
            "echocast.job.id": job.id,
            "echocast.job.kind": job.kind,
            "echocast.job.attempt": job.attempt,
        }
        parent = remote_context({name: str(value) for name, value in (job.origin or {}).items()})
        self._span = tracer.start_span("nowcast", parent, kind=SpanKind.CONSUMER, attributes=attributes)
        self._context = set_span_in_context(self._span)
        self._compute_began: int | None = None
        self._compute_ended = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Trace the block as a phase."""
        with tracer.start_as_current_span(name, self._context):
            yield

    def computed(self, seconds: float) -> None:
        """Extend the phase `compute` by the time that has just passed; frames are written between its parts."""
        self._compute_ended = time.time_ns()
        if self._compute_began is None:
            self._compute_began = self._compute_ended - int(seconds * 1e9)

    def close(self, model: str | None, compute_seconds: float) -> None:
        """End the spans; `model` is the one that ran, and `compute_seconds` the time of `compute` without writing."""
        if self._compute_began is not None:
            attributes = {"echocast.compute_seconds": compute_seconds}
            compute = tracer.start_span("compute", self._context, attributes=attributes, start_time=self._compute_began)
            compute.end(self._compute_ended)
        if model is not None:
            self._span.set_attribute("echocast.model", model)
        self._span.end()

    def failed(self, reason: str) -> None:
        """Mark the nowcast as failed, with the type of its problem."""
        self._span.set_status(Status(StatusCode.ERROR, reason))
