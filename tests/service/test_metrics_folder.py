"""Metrics of several processes are added up, and stay right when processes end, or are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

PROCESS = """
import os, sys
from service.metrics.folder import metrics_folder, register_process
with metrics_folder():
    from service.metrics.instruments import HTTP_REQUESTS_IN_PROGRESS, JOB_PHASE_DURATION, SANDBOX_KILLS
    from service.metrics.exposition import exposition
    register_process("worker-child")
    print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
    for word in sys.stdin:
        if word.strip() == "scrape":
            print(exposition("")[0].decode() + "END", flush=True)
        else:
            SANDBOX_KILLS.labels("memory").inc()
            HTTP_REQUESTS_IN_PROGRESS.inc()
            JOB_PHASE_DURATION.labels("read").observe(0.2)
            print("done", flush=True)
"""


class Process:
    """A process that counts and scrapes when it is told to."""

    def __init__(self, folder: str | None = None) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        environment = inherited | ({"PROMETHEUS_MULTIPROC_DIR": folder} if folder else {})
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.pid = self._process.pid
        self.folder = Path(self._process.stdout.readline().strip())

    def tell(self, word: str) -> None:
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def count(self, times: int = 1) -> None:
        for _ in range(times):
            self.tell("count")
            assert self._process.stdout.readline() == "done\n"

    def scrape(self) -> dict[str, float]:
        """Samples by name; their labels are not needed here."""
        self.tell("scrape")
        text = "".join(iter(self._process.stdout.readline, "END\n"))
        return {
            sample.name + sample.labels.get("le", ""): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def end(self, number: int | None = None) -> None:
        if number is None:
            self._process.stdin.close()
        else:
            self._process.send_signal(number)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Start processes whose folders lie in an own temporary folder; those that still run end with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = []

    def start(folder=None):
        started.append(Process(folder and str(folder)))
        return started[-1]

    yield start
    for process in started:
        process.end(signal.SIGKILL)


def test_a_scrape_adds_up_the_processes_of_one_folder(processes):
    parent = processes()
    child = processes(parent.folder)
    parent.count(2)
    child.count(3)
    for scraped in (parent.scrape(), child.scrape()):
        assert scraped["echocast_sandbox_kills_total"] == 5
        assert scraped["echocast_job_phase_duration_seconds_count"] == 5
        assert scraped["echocast_http_requests_in_progress"] == 5
        assert scraped["echocast_processes"] == 2
        assert scraped["echocast_process_resident_memory_bytes"] > 1e6


def test_counts_of_killed_processes_stay_and_their_files_do_not_pile_up(processes):
    parent = processes()
    parent.count()
    for number in range(1, 4):
        child = processes(parent.folder)
        child.count()
        child.end(signal.SIGKILL)
        scraped = parent.scrape()
        assert scraped["echocast_sandbox_kills_total"] == 1 + number
        assert scraped["echocast_job_phase_duration_seconds_bucket0.25"] == 1 + number
        assert scraped["echocast_job_phase_duration_seconds_bucket0.1"] == 0
        assert scraped["echocast_job_phase_duration_seconds_bucket+Inf"] == 1 + number
        assert scraped["echocast_job_phase_duration_seconds_count"] == 1 + number
        assert scraped["echocast_job_phase_duration_seconds_sum"] == pytest.approx(0.2 * (1 + number))
        assert scraped["echocast_http_requests_in_progress"] == 1
        assert scraped["echocast_processes"] == 1
    assert {path.stem.rpartition("_")[2] for path in parent.folder.glob("*.db")} == {str(parent.pid), "ended"}


def test_a_folder_is_private_and_ends_with_its_process(processes):
    first, second = processes(), processes()
    second.count()
    assert first.folder != second.folder
    assert first.folder.stat().st_mode & 0o77 == 0
    assert "echocast_sandbox_kills_total" not in first.scrape()
    first.end()
    assert not first.folder.exists()


def test_the_folder_of_a_killed_process_is_deleted_by_the_next_and_those_in_use_are_not(processes):
    killed, alive = processes(), processes()
    killed.end(signal.SIGKILL)
    for folder in (killed.folder, alive.folder):
        os.utime(folder / "owner.lock", (0, 0))
    processes()
    assert not killed.folder.exists()
    assert alive.folder.exists()
