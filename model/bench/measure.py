"""Tasks side by side: each in a process of its own, their runs in turn, so that what else the machine does hits all."""

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

from model.bench.task import Task
from model.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of the runs of one task, after one to warm up."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def told(self) -> str:
        """Median, fastest and slowest run."""
        return f"{self.median:.2f} s ({min(self.seconds):.2f} to {max(self.seconds):.2f})"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a task took. `stages`: seconds of one more run, by where they went (`model.bench.stages`)."""

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
        """GFLOP/s of the network alone, its dry areas counted as if they were computed; None of a baseline.

        Its seconds are those of the median run, shared out as the watched run's.
        """
        network = self.stages.get("network", 0.0) / sum(self.stages.values()) * self.timing.median
        return self.floating_point_operations / network / 1e9 if self.floating_point_operations and network else None

    def as_json(self) -> dict[str, Any]:
        """With median, fastest and slowest run, and GFLOP/s."""
        seconds = self.timing.seconds
        return {
            **{name: value for name, value in asdict(self).items() if name != "timing"},
            "median_s": self.timing.median,
            "min_s": min(seconds),
            "max_s": max(seconds),
            "runs": len(seconds),
            "network_gflops": self.gflops,
        }


class Runner:
    """The process of one task; it ends with the `with` block of `running`."""

    def __init__(self, task: Task, requests: IO[str], answers: IO[str]) -> None:
        self.task = task
        self._requests, self._answers = requests, answers
        self.known = self._answer()

    def ask(self, request: str) -> dict[str, Any]:
        """One answer of the process.

        Raises
        ------
        InputError
            The task cannot be done.
        RuntimeError
            The process ended.
        """
        self._requests.write(f"{request}\n")
        self._requests.flush()
        return self._answer()

    def run(self) -> float:
        """Seconds of one run."""
        return float(self.ask("run")["seconds"])

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the process of {self.task.name} ended: see above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise InputError(error["what"], where=error["where"], hint=error["hint"])
        return answer


@contextmanager
def running(task: Task, out: Path) -> Iterator[Runner]:
    """A process that is ready for `task` and writes its nowcasts to `out`.

    Raises
    ------
    InputError
        The model does not exist or does not fit, or a file cannot be read.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "model.bench.child", json.dumps(task.as_json()), str(out)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, **task.environment()},
    )
    try:
        yield Runner(task, cast(IO[str], process.stdin), cast(IO[str], process.stdout))
    finally:
        process.kill()
        process.communicate()


def side_by_side(
    tasks: Sequence[Task],
    runs: int,
    on_run: Callable[[], object] = lambda: None,
    on_ready: Callable[[Sequence[str]], object] = lambda variants: None,
) -> list[Measured]:
    """Run all tasks in turn, `runs` times after one to warm up. `on_run` is called after each run of each, `on_ready`
    once before the first, with the variants that networks will run as.

    Raises
    ------
    InputError
        A task cannot be done.
    """
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder, ExitStack() as stack:
        runners = [
            stack.enter_context(running(task, Path(folder) / f"{number}.nc")) for number, task in enumerate(tasks)
        ]
        on_ready([runner.known["variant"] for runner in runners if runner.known["floating_point_operations"]])
        seconds: list[list[float]] = [[] for _ in tasks]
        for _ in range(runs + 1):
            for taken, runner in zip(seconds, runners, strict=True):
                taken.append(runner.run())
                on_run()
        return [_measured(runner, taken) for runner, taken in zip(runners, seconds, strict=True)]


def _measured(runner: Runner, seconds: Sequence[float]) -> Measured:
    peak_mb = runner.ask("memory")["peak_mb"]
    known = runner.known
    return Measured(
        name=runner.task.name,
        reference=known["reference"],
        variant=known["variant"],
        shape=tuple(known["shape"]),
        wet_percent=known["wet_percent"],
        timing=Timing(seconds=tuple(seconds[1:])),
        first_seconds=seconds[0],
        peak_mb=peak_mb,
        floating_point_operations=known["floating_point_operations"],
        stages=runner.ask("stages")["stages"],
    )
