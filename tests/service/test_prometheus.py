"""A real Prometheus, with the example of its configuration, scrapes a real service and evaluates the alert rules."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.metrics import metric_labels
from tests.patience import WAIT_SECONDS, wait_until

ONLY_AT_TIMES = {
    "echocast_alert_events_total",
    "echocast_alert_messages_total",
    "echocast_device_memory_size_bytes",
    "echocast_device_memory_used_bytes",
    "echocast_feed_files_total",
    "echocast_feed_lag_seconds",
    "echocast_push_messages_total",
    "echocast_sandbox_kills_total",
    "echocast_view_cache_requests_total",
    "echocast_webhook_calls_total",
}
"""Metrics that a service without a GPU, alerts, feeds, hostile files, views, web push and webhooks does not have."""


@pytest.fixture
def prometheus(stack, project: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes the service every second; skips where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt install prometheus)")
    folder = project / "deploy" / "prometheus"
    config = (folder / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8000", urlsplit(stack.url).netloc).replace("interval: 15s", "interval: 1s")
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(folder / "alerts.yml", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://{address}/api/v1", timeout=WAIT_SECONDS) as client:
                yield client
        finally:
            process.terminate()


def test_prometheus_scrapes_a_service_and_evaluates_the_alerts(prometheus: httpx.Client, stack) -> None:
    def get(path: str, **parameters: str) -> dict:
        try:
            response = prometheus.get(path, params=parameters)
        except httpx.TransportError:
            return {}
        return response.json()["data"] if response.status_code == 200 else {}

    def value(query: str) -> float | None:
        result = get("/query", query=query).get("result")
        return float(result[0]["value"][1]) if result else None

    with httpx.Client(base_url=stack.url, timeout=WAIT_SECONDS) as service:
        files = {"files": ("sample.nc", service.get("/sample").content)}
        options = {"model": "extrapolation", "steps": "2"}
        response = service.post("/v1/nowcasts", files=files, data=options, headers={"Prefer": "wait=60"})
        assert response.status_code == 200, response.text

    wait_until(lambda: value("up") == 1, "a scrape")
    [target] = get("/targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    wait_until(lambda: (value('sum(echocast_jobs_finished_total{status="successful"})') or 0) >= 1, "a nowcast")
    wait_until(lambda: value('max(echocast_schedule_last_run_timestamp_seconds{task="reconcile"})'), "the schedule")
    assert value("max(echocast_workers_alive)") == 1
    assert value("max(time() - echocast_worker_heartbeat_timestamp_seconds)") < 3600
    assert value('count(echocast_process_resident_memory_bytes{job="echocast"} > 1e6)') == 4
    metadata = get("/metadata")
    scraped = {
        name if name in metric_labels() else f"{name}_total" for name in metadata if name.startswith("echocast_")
    }
    assert set(metric_labels()) - ONLY_AT_TIMES <= scraped <= set(metric_labels())

    def rules() -> list[dict]:
        return [rule for group in get("/rules").get("groups", []) for rule in group["rules"]]

    wait_until(lambda: bool(rules()) and all(rule["health"] == "ok" for rule in rules()), "the alerts")
    wait_until(lambda: all(rule["state"] == "inactive" for rule in rules()), "no alert")
