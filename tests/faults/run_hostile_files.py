"""Send the hostile files to a real `echocast serve`, and report how each ended.

`python -m tests.faults.run_hostile_files [--seed N] [--every N]` exits with 1 if an upload ended as anything but a
problem of the client (4xx), if a process of the service ended, if the worker kept memory, or if a file was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from service.locked_folder import LOCK
from tests.faults.hostile_files import HostileFile, good_files, hostile_files
from tests.patience import WAIT_SECONDS

KEPT_MB: Final = 200
"""Memory that the worker may hold beyond what it held before the first hostile file."""
FAULTS: Final = ("internal", "worker-lost", "time-limit", "missing-dependency")
OF_PROCESSES: Final = ("echocast-metrics-", "echocast-gateway-", "echocast-consumer-", "echocast-worker-")
"""Folders that live as long as a process."""


WORKER, FORK_SERVER = "spawn_main", "workers.sandbox.server"
"""In the command lines of the processes that run jobs, and of those that their reads are forked from."""


class Ending(NamedTuple):
    """How an upload ended: status and code of the problem, `successful` where there is none."""

    kind: str
    status: int
    code: str
    what: str
    seconds: float


class Service:
    """A running `echocast serve`, whose worker is ready; `key` is that of its client, `settings` are variables."""

    def __init__(self, folder: Path, key: str | None = None, **settings: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
        environment = {**inherited, "ECHOCAST_THREADS": "1", "TMPDIR": str(self.temporary), **settings}
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(folder / "data")]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        found = self._wait(lambda: re.search(r"Echocast serves (http://\S+)", self.log.read_text()), "the gateway")
        self.client = httpx.Client(base_url=found[1], headers=headers, timeout=WAIT_SECONDS)
        self._wait(lambda: self.client.get("/readyz").status_code == 200, "the worker")

    def close(self) -> None:
        """Stop it."""
        self.client.close()
        self.process.terminate()
        self.process.wait()

    def upload(self, name: str, content: bytes, kind: str = "") -> Ending:
        """Upload one file, and wait for the end of its nowcast."""
        started = time.monotonic()
        answer = self.client.post(
            "/v1/nowcasts",
            files={"files": (name, content)},
            data={"model": "extrapolation", "steps": "1"},
            headers={"Prefer": "wait=30"},
        )
        while answer.status_code == 202 or answer.json().get("status") in ("accepted", "running"):
            time.sleep(0.2)
            answer = self.client.get(answer.headers.get("location") or answer.url)
        content_of = answer.json()
        problem = content_of.get("problem") or (content_of if answer.status_code >= 400 else {})
        code = str(problem.get("type", "successful")).rsplit("/", 1)[-1]
        status = int(problem.get("status", answer.status_code))
        what = str(problem.get("detail", ""))
        return Ending(kind, status, code, what, time.monotonic() - started)

    def workers(self, kinds: tuple[str, ...] = (WORKER, FORK_SERVER)) -> dict[int, int]:
        """Return the resident memory (MB) of the processes that run jobs and of their fork servers, by process id."""
        memory = {}
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text()
                if any(kind in words for kind in kinds):
                    status = Path(f"/proc/{pid}/status").read_text()
                    memory[pid] = int(status.split("VmRSS:")[1].split()[0]) // 1024
        return memory

    def leftovers(self) -> list[str]:
        """Return what jobs and reads left in the temporary folder, and in the folder of each process of the worker."""
        found = [path for path in self.temporary.glob("echocast-*") if not path.name.startswith(OF_PROCESSES)]
        found += [path for path in self.temporary.glob("echocast-worker-*/*") if path.name != LOCK]
        return sorted(str(path.relative_to(self.temporary)) for path in found)

    def lasting_leftovers(self) -> list[str]:
        """Return the leftovers that do not go away: a job ends for its client before its folder is deleted."""
        with contextlib.suppress(AssertionError):
            self._wait(lambda: not self.leftovers(), "the end of the last job")
        return self.leftovers()

    def _wait(self, condition, what: str):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if found := condition():
                    return found
            time.sleep(0.1)
        raise AssertionError(f"waited {WAIT_SECONDS} s for {what}: {self.log.read_text()}")


def descendants(parent: int) -> Iterator[int]:
    """Yield the processes below a process."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            with contextlib.suppress(FileNotFoundError):
                yield from descendants(int(child))


class Report(NamedTuple):
    """The endings of all uploads, what was wrong, and the memory (MB) of the worker before and after."""

    endings: list[Ending]
    faults: list[str]
    before: int
    after: int


def run(files: list[HostileFile], folder: Path, *, hangs: bool = False) -> Report:
    """Send files to a service of its own, and check what it does.

    `hangs`: a read that waits, for the disk or the processor, ends with the fork server, and may be among the files.
    """
    name, content = "classic.nc", good_files()["classic.nc"]
    service = Service(folder)
    try:
        service.upload(name, content)
        kept = (WORKER,) if hangs else (WORKER, FORK_SERVER)
        processes, before, endings, faults = service.workers(kept), service.workers(), [], []
        for file in files:
            ending = service.upload(file.name, file.make(), file.kind)
            endings.append(ending)
            if not 400 <= ending.status < 500 or ending.code in FAULTS:
                faults.append(f"{file.kind}: {ending.status} {ending.code} {ending.what}")
        good = service.upload(name, content)
        if good.code != "too-few-frames":
            faults.append(f"a good frame after them: {good}")
        after = service.workers()
        if sorted(service.workers(kept)) != sorted(processes):
            faults.append(f"processes of the worker: {sorted(before)} before, {sorted(after)} after")
        if sum(after.values()) > sum(before.values()) + KEPT_MB:
            faults.append(f"memory of the worker: {before} before, {after} after (MB)")
        patience = time.monotonic() + 10  # a nowcast has ended for its client before its folder is deleted
        while service.leftovers() and time.monotonic() < patience:
            time.sleep(0.1)
        faults += [f"left behind: {left}" for left in service.lasting_leftovers()]
        faults += [f"in the log: {line}" for line in service.log.read_text().splitlines() if "Traceback" in line]
    finally:
        service.close()
    return Report(endings, faults, sum(before.values()), sum(after.values()))


def main() -> int:
    """Run the corpus, or each `--every`-th file of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(list(hostile_files(options.seed))[:: options.every], Path(folder))
    for (status, code), count in sorted(Counter((e.status, e.code) for e in report.endings).items()):
        print(f"{count:5} {status} {code}")
    slowest = sorted(report.endings, key=lambda ending: -ending.seconds)[:8]
    print("slowest:", *(f"  {e.seconds:5.1f} s {e.kind}: {e.code}: {e.what[:100]}" for e in slowest), sep="\n")
    print(f"memory of the worker and its fork server: {report.before} MB before, {report.after} MB after")
    print(f"{len(report.endings)} files, {len(report.faults)} faults", *report.faults, sep="\n  ")
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
