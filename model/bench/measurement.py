"""Measure workloads in interleaved runs, each in its own process: load from other programs affects all alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from model.bench.workload import Workload
from model.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of the runs of one workload, after one warm-up run."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of the runs."""
        return statistics.median(self.seconds)

    def summary(self) -> str:
        """Return the median, the fastest and the slowest run as text."""
        return f"{self.median:.2f} s ({min(self.seconds):.2f} to {max(self.seconds):.2f})"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Time and memory of one workload. `stages`: seconds of one more run by stage (`model.bench.stage_profile`)."""

    name: str
    reference: str
    variant: str
    shape: tuple[int, int]
    wet_percent: float
    timing: Timing
    first_seconds: float
    peak_mb: float
    floating_point_operations: float
    stages: Mapping[str, float]

    @property
    def gflops(self) -> float | None:
        """Return the GFLOP/s of the network alone; None of a baseline.

        Dry areas count as if they were computed. The time is the network's share of the median run, as profiled.
        """
        network = self.stages.get("network", 0.0) / sum(self.stages.values()) * self.timing.median
        return self.floating_point_operations / network / 1e9 if self.floating_point_operations and network else None

    def as_json(self) -> dict[str, Any]:
        """Return the fields, the median, fastest and slowest run, and the GFLOP/s."""
        seconds = self.timing.seconds
        return {
            **{name: value for name, value in asdict(self).items() if name != "timing"},
            "median_s": self.timing.median,
            "min_s": min(seconds),
            "max_s": max(seconds),
            "runs": len(seconds),
            "network_gflops": self.gflops,
        }


class WorkloadProcess:
    """A process that runs one workload (see `model.bench.child`); it ends with the block of `workload_process`."""

    def __init__(self, workload: Workload, requests: IO[str], responses: IO[str]) -> None:
        self.workload = workload
        self._requests, self._responses = requests, responses
        self.properties = self._response()

    def request(self, request: str) -> dict[str, Any]:
        """Send a request, and return the response.

        Raises
        ------
        InputError
            The workload cannot run.
        RuntimeError
            The process ended.
        """
        self._requests.write(f"{request}\n")
        self._requests.flush()
        return self._response()

    def run(self) -> float:
        """Run once, and return the seconds."""
        return float(self.request("run")["seconds"])

    def _response(self) -> dict[str, Any]:
        line = self._responses.readline()
        if not line:
            raise RuntimeError(f"the process of {self.workload.name} ended: see above")
        response: dict[str, Any] = json.loads(line)
        if "error" in response:
            error = response["error"]
            raise InputError(error["what"], where=error["where"], hint=error["hint"])
        return response


@contextmanager
def workload_process(workload: Workload, out: Path) -> Iterator[WorkloadProcess]:
    """Start a process that prepares a workload, and writes its nowcasts to `out`.

    Raises
    ------
    InputError
        The model does not exist or does not fit the frames, or a file cannot be read.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "model.bench.child", json.dumps(workload.as_json()), str(out)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**inherited, **workload.environment()}
    )
    try:
        yield WorkloadProcess(workload, cast(IO[str], process.stdin), cast(IO[str], process.stdout))
    finally:
        process.kill()
        process.communicate()


def run_interleaved(
    workloads: Sequence[Workload],
    runs: int,
    on_run: Callable[[], object] = lambda: None,
    on_ready: Callable[[Sequence[str]], object] = lambda variants: None,
) -> list[Measurement]:
    """Run all workloads in turn, `runs` times after one warm-up run.

    Parameters
    ----------
    workloads, runs
        What to run, and how often.
    on_run
        Called after each run of each workload.
    on_ready
        Called before the first run, with the variants of the networks.

    Raises
    ------
    InputError
        A workload cannot run.
    """
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder, ExitStack() as stack:
        processes = [
            stack.enter_context(workload_process(workload, Path(folder) / f"{number}.nc"))
            for number, workload in enumerate(workloads)
        ]
        known = [process.properties for process in processes]
        on_ready([each["variant"] for each in known if each["floating_point_operations"]])
        seconds: list[list[float]] = [[] for _ in workloads]
        for _ in range(runs + 1):
            for taken, process in zip(seconds, processes, strict=True):
                taken.append(process.run())
                on_run()
        return [_measurement(process, taken) for process, taken in zip(processes, seconds, strict=True)]


def _measurement(process: WorkloadProcess, seconds: Sequence[float]) -> Measurement:
    peak_mb = process.request("memory")["peak_mb"]
    properties = process.properties
    return Measurement(
        **{**properties, "shape": tuple(properties["shape"])},
        name=process.workload.name,
        timing=Timing(seconds=tuple(seconds[1:])),
        first_seconds=seconds[0],
        peak_mb=peak_mb,
        stages=process.request("stages")["stages"],
    )
