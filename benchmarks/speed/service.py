"""`python -m benchmarks.speed.service`: the service against the engine alone, in the same run.

`echocast serve` as a user starts it, with real uploads over HTTP: radar files of 640 x 710, 12 steps. One client, from
upload (`Prefer: wait`) to the forecast file in its hands, against the same nowcast from the same files by the engine
alone. Then 32 clients at once against the engine alone, kept busy, with as many processes and threads. Redis, gateway,
schedule and clients share the machine's cores with the worker; the engine alone has them for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.page import results
from benchmarks.page.results import Row
from benchmarks.speed.nowcast import FRAMES, SHAPE, STEPS
from benchmarks.speed.peak import peaks_of
from benchmarks.speed.synthetic_days import DAYS, write_day
from model.bench.measurement import Timing, WorkloadProcess, workload_process
from model.bench.workload import Workload
from model.core.catalog import DEFAULT_MODEL

RUNS, CLIENTS = 7, 32
MORE_SHARE, MORE_SECONDS = 0.1, 0.15
"""That a client may wait beyond the engine's time; the larger of the two."""
THROUGHPUT_SHARE = 0.9
READY_SECONDS, RESULT_SECONDS = 120.0, 1800.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    runs: int = RUNS
    clients: int = CLIENTS
    threads: int = 0
    model: str = DEFAULT_MODEL
    variant: str = "auto"
    peaks: bool = True


class Failed(Exception):
    """The service refused, or a nowcast failed."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A request that is ready to be sent, and who sends it."""

    base: str
    body: bytes
    content_type: str

    def result(self) -> dict[str, Any]:
        """Upload, wait, fetch the netCDF: the nowcast's last status.

        Raises
        ------
        Failed
            The nowcast failed, or was not done in time.
        """
        headers = {"Content-Type": self.content_type, "Prefer": "wait=60"}
        status = json.loads(self._call("/v1/nowcasts", headers, self.body))
        until = time.monotonic() + RESULT_SECONDS
        while status["status"] in ("accepted", "running"):
            if time.monotonic() > until:
                raise Failed(f"not done within {RESULT_SECONDS:g} s")
            time.sleep(1.0)  # as Retry-After says
            status = json.loads(self._call(f"/v1/nowcasts/{status['id']}", {}))
        if status["status"] != "successful":
            raise Failed(str(status.get("problem")))
        self._call(f"/v1/nowcasts/{status['id']}/result?format=netcdf", {})
        answer: dict[str, Any] = status
        return answer

    def ready(self) -> bool:
        """Whether the service says that it can serve."""
        try:
            self._call("/readyz", {})
        except Failed:
            return False
        return True

    def _call(self, path: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.base + path, data=body, headers=dict(headers))  # noqa: S310  (http only)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise Failed(f"{path}: {error.code} {error.read().decode(errors='replace')}") from None
        except OSError as error:
            raise Failed(f"{path}: {error}") from None


@contextmanager
def served(plan: Plan, folder: Path) -> Iterator[str]:
    """`echocast serve` on a data folder of its own; its address."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ECHOCAST_", "OMP_NUM_THREADS"))
    }
    task = Workload(model=plan.model, files=(), variant=plan.variant, device="cpu", threads=plan.threads)
    said = folder / "serve.log"
    with said.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--data-dir", str(folder / "data"), "--port", "0"],
            env={**inherited, **task.environment(), "ECHOCAST_LOG_LEVEL": "WARNING"},
            stdout=log,
            stderr=log,
        )
    try:
        yield _address(process, said)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], said: Path) -> str:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"Echocast serves (http://\S+)", said.read_text()):
            return found[1]
        time.sleep(0.05)
    raise SystemExit(f"echocast serve did not start:\n{said.read_text()}")


def measure(plan: Plan) -> dict[str, Any]:
    """Both comparisons, and their rows of the table of aims."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        files = write_day(DAYS["rain"], folder / "rain", frames=FRAMES, shape=plan.shape)
        task = Workload(
            model=plan.model,
            variant=plan.variant,
            files=tuple(map(str, files)),
            steps=plan.steps,
            reads=True,
            device="cpu",
            threads=plan.threads,
        )
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        form = httpx.Request("POST", "http://any", data={"model": plan.model, "steps": str(plan.steps)}, files=parts)
        body, content_type = form.read(), form.headers["Content-Type"]
        with served(plan, folder) as base, workload_process(task, folder / "alone.nc") as engine:
            upload = Upload(base=base, body=body, content_type=content_type)
            until = time.monotonic() + READY_SECONDS
            while not upload.ready() and time.monotonic() < until:
                time.sleep(0.2)
            known = dict(engine.properties)
            peaks = peaks_of("cpu", plan.threads)
            precision = known["variant"].partition(" ")[0]
            peaks.measure([precision] if plan.peaks and known["floating_point_operations"] else [])
            one = one_client(upload, engine, plan.runs)
            many = many_clients(upload, engine, plan.clients)
            peaks.measure(peaks.gflops)
    figures = {"one": one, "many": many, "engine": known, "peak_gflops": peaks.gflops.get(precision)}
    return {**figures, "rows": results.as_json(rows_of(figures, plan))}


def one_client(upload: Upload, engine: WorkloadProcess, runs: int) -> dict[str, Any]:
    """Seconds of the engine alone and of upload to result, in turns, after one of each to warm up."""
    alone, through, statuses = [], [], []
    for _ in range(runs + 1):
        alone.append(engine.run())
        began = time.perf_counter()
        statuses.append(upload.result())
        through.append(time.perf_counter() - began)
    timings = [status["timings"] for status in statuses[1:] if status.get("timings")]
    return {
        "alone_s": alone[1:],
        "service_s": through[1:],
        "first_service_s": through[0],
        "model_used": statuses[-1]["model_used"],
        "timings_s": {key: statistics.median(each[key] for each in timings) for key in (timings or [{}])[0]},
    }


def many_clients(upload: Upload, engine: WorkloadProcess, clients: int) -> dict[str, Any]:
    """Nowcasts per second of the engine alone, busy before and after, and of clients that all come at once."""
    half = max(2, clients // 4)
    before = [engine.run() for _ in range(half)]
    failures: list[str] = []
    waited: list[float] = []

    def client(number: int) -> None:
        began = time.perf_counter()
        try:
            upload.result()
            waited.append(time.perf_counter() - began)
        except Failed as error:
            failures.append(f"client {number}: {error}")

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    seconds = time.perf_counter() - began
    after = [engine.run() for _ in range(half)]
    return {
        "clients": clients,
        "failures": failures,
        "seconds": seconds,
        "first_result_s": min(waited, default=None),
        "service_per_s": (clients - len(failures)) / seconds,
        "alone_per_s": len(before + after) / sum(before + after),
        "alone_before_per_s": half / sum(before),
        "alone_after_per_s": half / sum(after),
    }


def rows_of(figures: Mapping[str, Any], plan: Plan) -> list[Row]:
    """Both aims."""
    one, many = figures["one"], figures["many"]
    alone, through = (Timing(seconds=tuple(one[key])) for key in ("alone_s", "service_s"))
    more = statistics.median(after - before for before, after in zip(one["alone_s"], one["service_s"], strict=True))
    allowed = max(MORE_SHARE * alone.median, MORE_SECONDS)
    share = many["service_per_s"] / many["alone_per_s"]
    failed = f"{len(many['failures'])} failures" if many["failures"] else "no failure"
    return [
        Row(
            what=f"service, from upload to result, {plan.shape[0]} x {plan.shape[1]}, one client",
            against="the engine alone",
            aim="at most 10 % or 150 ms more",
            measured=f"{1000 * more:+.0f} ms, {more / alone.median:+.0%} (median of the pairs): {through.summary()} "
            f"against {alone.summary()}",
            # Less than nothing more, by noise, is as good as nothing.
            reached=min(allowed / max(more, 1e-3), 10.0),
        ),
        Row(
            what=f"service, {many['clients']} clients at once",
            against="the engine alone, busy",
            aim="90 % of its throughput, no failure",
            measured=f"{share:.0%}, {failed}: {many['service_per_s']:.3f} against {many['alone_per_s']:.3f} nowcasts/s "
            f"(before {many['alone_before_per_s']:.3f}, after {many['alone_after_per_s']:.3f})",
            reached=0.0 if many["failures"] else share / THROUGHPUT_SHARE,
        ),
    ]


def page(part: Mapping[str, Any]) -> str:
    """The part of docs/performance.md."""
    one, many, engine = part["one"], part["many"], part["engine"]
    timings: Sequence[tuple[str, float]] = tuple(one["timings_s"].items())
    spent = ", ".join(f"{key.removesuffix('_seconds')} {1000 * seconds:.0f} ms" for key, seconds in timings)
    rows = [
        [name, f"{Timing(seconds=tuple(seconds)).median:.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}"]
        for name, seconds in (("engine alone", one["alone_s"]), ("upload to result", one["service_s"]))
    ]
    lines = [
        results.measured_on(part),
        f"{one['model_used']} as {engine['variant']}, {engine['wet_percent']:g} % wet; one worker process, both sides. "
        f"The first upload after the start took {one['first_service_s']:.2f} s.",
        results.markdown(["one client", "median s", "spread"], rows),
        *([f"As the service tells its own time (medians): {spent}."] if spent else []),
        f"{many['clients']} clients at once: {many['seconds']:.1f} s from the first upload to the last result, "
        f"{many['service_per_s']:.3f} nowcasts/s, {len(many['failures'])} failures; the engine alone "
        f"{many['alone_before_per_s']:.3f} before and {many['alone_after_per_s']:.3f} after.",
    ]
    if part["peak_gflops"]:
        rate = engine["floating_point_operations"] * many["service_per_s"] / 1e9
        lines.append(
            f"With all its clients the service reaches {rate:.0f} GFLOP/s, {rate / part['peak_gflops']:.0%} of the "
            "convolution peak, reading and writing included, and dry areas counted as if they were computed."
        )
    return "\n\n".join(lines)


def main() -> None:
    """Measure, keep the figures, print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core.")
    parser.add_argument("--variant", default="auto")
    asked = parser.parse_args()
    plan = Plan(runs=asked.runs, clients=asked.clients, threads=asked.threads, variant=asked.variant)
    print(json.dumps(results.keep("service", measure(plan))["service"], indent=1))


if __name__ == "__main__":
    main()
