"""Metrics of a worker that runs by itself, at a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.embedded import Supervisor
from service.jobs.job import JobStatus
from tests.patience import WAIT_SECONDS
from workers.context import open_context

Scrape = Callable[..., float]


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def running(supervisor: Supervisor, port: int) -> Iterator[Supervisor]:
    """A Redis, a beat, and a worker that serves its metrics."""
    made = Supervisor(supervisor.settings.model_copy(update={"broker_url": None, "metrics_port": port}))
    made.start()
    made.start_workers()
    yield made
    made.stop()


@pytest.fixture
def scrape(port: int) -> Scrape:
    """The sum of the samples that have the labels; nan while the worker does not answer."""

    def value(name: str, **labels: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_SECONDS) as response:
                text = response.read().decode()
        except OSError:
            return float("nan")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    return value


def test_a_worker_serves_what_its_children_did_and_killed_ones_too(
    running: Supervisor, scrape: Scrape, lab, tmp_path: Path
) -> None:
    context = open_context(running.settings)
    seconds = 0.0
    for number in (1, 2):
        lab.wait_until(lambda: scrape("echocast_processes", process="worker-child") == 1, "a child process")
        job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=3))
        lab.enqueue(context, job)
        assert lab.wait_finished(context.ledger, job).status is JobStatus.SUCCESSFUL
        lab.wait_until(
            lambda counted=number: scrape("echocast_job_phase_duration_seconds_count", phase="write") == counted,
            "the job to be counted",
        )
        assert scrape("echocast_jobs_finished_total", kind="upload", status="successful") == number
        assert scrape("echocast_job_phase_duration_seconds_sum") > seconds
        seconds = scrape("echocast_job_phase_duration_seconds_sum")
        [child] = lab.pool_children(running.children["worker"])
        os.kill(child, signal.SIGKILL)
        lab.wait_dead(child)
    assert scrape("echocast_process_resident_memory_bytes", process="worker") > 1e6
    assert scrape("echocast_disk_free_bytes", folder="temporary") > 0
    context.ledger.close()
