"""Traces by OpenTelemetry, exported where an OTLP endpoint is set; otherwise spans are the API's own, which do nothing.

The request of an upload begins a trace, and its context is stored with the job: the message that makes a worker run the
job need not be the job's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from model.core.extras import optional_imports

if TYPE_CHECKING:
    from opentelemetry.context import Context

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

tracer: Final = trace.get_tracer("echocast")
_propagator: Final = TraceContextTextMapPropagator()


def start_tracing(process: str) -> None:
    """Export the spans of this process (gateway, worker) by OTLP over HTTP, if an endpoint is set.

    Raises
    ------
    MissingDependency
        The extra `otel` is not installed.
    """
    if not any(map(os.environ.get, ENDPOINTS)):
        return
    with optional_imports(ENDPOINTS[-1], "traces cannot be exported"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    name = os.environ.get("OTEL_SERVICE_NAME") or f"echocast-{process}"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version("echocast")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def stop_tracing() -> None:
    """Export what is left, for a process that ends without the interpreter's own clean-up."""
    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is not None:
        shutdown()


def trace_context() -> dict[str, str]:
    """Return the context of the current span as W3C headers; empty without one."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers


def remote_context(headers: Mapping[str, str]) -> Context:
    """Return the context that `trace_context` returned in another process."""
    return _propagator.extract(headers)
