"""One upload through a real `echocast serve`, followed by its request's id in the log and by its trace."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.patience import WAIT_SECONDS, wait_until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
REQUEST_ID = "front.example-42"


@dataclass
class Observed:
    """What a service has logged and traced."""

    client: httpx.Client
    records: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A service that logs JSON and sends traces to a receiver of OTLP over HTTP."""
    collector = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    found = Observed(httpx.Client(timeout=WAIT_SECONDS))

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.add(self.path)
            for resource in collector.ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found.spans += scope.spans
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={
            **environment,
            "ECHOCAST_DATA_DIR": str(tmp_path_factory.mktemp("data")),
            "ECHOCAST_LOG_FORMAT": "json",
            "ECHOCAST_ACCESS_LOG": "true",
            "ECHOCAST_THREADS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )
    assert process.stderr is not None
    url = next(match[1] for line in process.stderr if (match := re.search(r"serves (http://\S+)", line)))
    found.client.base_url = url
    reader = threading.Thread(target=lambda: found.records.extend(map(json.loads, process.stderr)))
    reader.start()
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
        reader.join(WAIT_SECONDS)
        process.stderr.close()
        receiver.shutdown()
        receiver.server_close()
        found.client.close()


@pytest.fixture(scope="module")
def job(observed: Observed) -> dict[str, Any]:
    """A finished nowcast of a request with an id and a trace of its own."""
    files = {"files": ("sample.nc", observed.client.get("/sample").content)}
    headers = {"X-Request-ID": REQUEST_ID, "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "Prefer": "wait=60"}
    options = {"model": "extrapolation", "steps": "3"}
    response = observed.client.post("/v1/nowcasts", files=files, data=options, headers=headers)
    assert response.headers["X-Request-ID"] == REQUEST_ID
    job = response.json()
    wait_until(
        lambda: observed.client.get(f"/v1/nowcasts/{job['id']}").json()["status"] == "successful", "the nowcast to end"
    )
    return job


def test_the_log_of_gateway_and_worker_follows_a_request(observed: Observed, job: dict[str, Any]) -> None:
    def records(**wanted: object) -> list[dict[str, Any]]:
        return [record for record in observed.records if wanted.items() <= record.items()]

    of_job = {"request_id": REQUEST_ID, "job_id": job["id"], "logger": "workers.nowcast_job"}
    wait_until(lambda: any("completed" in record["message"] for record in records(**of_job)), "the worker's log")
    [access] = records(request_id=REQUEST_ID, logger="service.api.metrics.request_monitor")
    assert (access["method"], access["route"]) == ("POST", "/v1/nowcasts")
    assert access["status"] in (200, 202)
    assert access["process"] != records(**of_job)[0]["process"]


def test_the_trace_leads_from_the_request_through_the_worker(observed: Observed, job: dict[str, Any]) -> None:
    wait_until(lambda: bool(observed.named("nowcast")), "the spans of the worker")
    wait_until(lambda: bool(observed.named("POST /v1/nowcasts")), "the span of the request")
    [request], [nowcast] = observed.named("POST /v1/nowcasts"), observed.named("nowcast")
    [enqueue] = [span for span in observed.named("enqueue") if span.trace_id == request.trace_id]
    phases = [span for span in observed.spans if span.parent_span_id == nowcast.span_id]
    assert {span.name for span in phases} == {"read", "compute", "write"}
    assert {span.trace_id.hex() for span in (request, enqueue, nowcast, *phases)} == {TRACE_ID}
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert enqueue.parent_span_id == nowcast.parent_span_id == request.span_id
    assert all(nowcast.start_time_unix_nano <= span.start_time_unix_nano for span in phases)
    assert all(span.end_time_unix_nano <= nowcast.end_time_unix_nano for span in phases)
    attributes = {item.key: item.value.string_value for item in nowcast.attributes}
    assert (attributes["echocast.job.id"], attributes["echocast.model"]) == (job["id"], "extrapolation@1")
    assert observed.paths == {"/v1/traces"}


def test_probes_are_not_traced(observed: Observed, job: dict[str, Any]) -> None:
    observed.client.get("/healthz")
    observed.client.get("/v1/models")
    wait_until(lambda: bool(observed.named("GET /v1/models")), "the span of a request")
    assert not observed.named("GET /healthz")


@pytest.mark.parametrize("given", ["short", "has spaces", "a" * 65, 'quote"quote', "-starts-badly"])
def test_a_malformed_request_id_is_replaced(observed: Observed, given: str) -> None:
    returned = observed.client.get("/v1/nowcasts/none", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", returned.headers["X-Request-ID"])
    assert returned.json()["id"] == returned.headers["X-Request-ID"]


def test_a_failed_request_is_found_in_the_log_by_the_id_of_its_problem(observed: Observed) -> None:
    problem = observed.client.put("/v1/models", headers={"X-Request-ID": "mine-1234"}).json()
    assert problem["id"] == "mine-1234"
    wait_until(lambda: any(record.get("request_id") == "mine-1234" for record in observed.records), "the log")


def test_nothing_that_could_send_traces_is_loaded_without_an_endpoint(tmp_path: Path) -> None:
    program = (
        "import sys; from service.api.app import create_app; from service.settings import Settings; "
        f"create_app(Settings(data_dir={str(tmp_path)!r})); import workers.lifecycle, workers.tasks, workers.batch; "
        "senders = ('opentelemetry.sdk.trace', 'opentelemetry.exporter'); "
        "print([name for name in sys.modules if name.startswith(senders)])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
        env=environment,
    )
    assert done.stdout.strip() == "[]", done.stderr
