"""`python -m benchmarks.speed.service`: the service against the engine alone, in the same run.

`echocast serve` as a user starts it, with real uploads over HTTP: radar files of 640 x 710, 12 steps. First one client,
from the upload (`Prefer: wait`) to the received forecast file, against the same nowcast from the same files by the
engine alone. Then 32 concurrent clients against the engine alone, kept busy, with as many processes and threads. Redis,
gateway, schedule and clients share the cores of the machine with the worker; the engine alone has all of them.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from benchmarks.command_line import add_threads, argument_parser
from benchmarks.page import results
from benchmarks.page.markdown import table
from benchmarks.page.results import AimRow
from benchmarks.speed.nowcast import FRAMES, SHAPE, STEPS
from benchmarks.speed.peak import peaks_of
from benchmarks.speed.synthetic_days import DAYS, write_day
from model.bench.measurement import Timing, WorkloadProcess, workload_process
from model.bench.workload import Workload
from model.core.catalog import DEFAULT_MODEL

RUNS, CLIENTS = 7, 32
MORE_SHARE, MORE_SECONDS = 0.1, 0.15
"""The time that the service may add to that of the engine: the larger of the two."""
THROUGHPUT_SHARE = 0.9
READY_SECONDS, RESULT_SECONDS = 120.0, 1800.0


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """What to measure."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    runs: int = RUNS
    clients: int = CLIENTS
    threads: int = 0
    model: str = DEFAULT_MODEL
    variant: str = "auto"
    peaks: bool = True


class ServiceError(Exception):
    """The service rejected a request, or a nowcast failed."""


class UploadClient:
    """A client of the service with a request that is ready, which keeps its connections. Threads may share it."""

    def __init__(self, base: str, body: bytes, content_type: str) -> None:
        self._body = body
        self._content_type = content_type
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.Client(base_url=base, timeout=120, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def fetch_result(self) -> dict[str, Any]:
        """Upload, wait, and fetch the netCDF file; return the last status of the nowcast.

        Raises
        ------
        ServiceError
            The nowcast failed, or took too long.
        """
        headers = {"Content-Type": self._content_type, "Prefer": "wait=60", "Cache-Control": "no-cache"}
        status = json.loads(self._call("/v1/nowcasts", headers, self._body))
        until = time.monotonic() + RESULT_SECONDS
        while status["status"] in ("accepted", "running"):
            if time.monotonic() > until:
                raise ServiceError(f"not finished within {RESULT_SECONDS:g} s")
            time.sleep(1.0)  # as Retry-After says
            status = json.loads(self._call(f"/v1/nowcasts/{status['id']}", {}))
        if status["status"] != "successful":
            raise ServiceError(str(status.get("problem")))
        self._call(f"/v1/nowcasts/{status['id']}/result?format=netcdf", {})
        return dict(status)

    def is_ready(self) -> bool:
        """Return whether the service is ready."""
        try:
            self._call("/readyz", {})
        except ServiceError:
            return False
        return True

    def _call(self, path: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
        method = "GET" if body is None else "POST"
        try:
            response = self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ServiceError(f"{path}: {error}") from None
        if response.is_error:
            raise ServiceError(f"{path}: {response.status_code} {response.text}")
        return response.content


@contextmanager
def served(options: ServiceOptions, folder: Path) -> Iterator[str]:
    """Run `echocast serve` on a data folder of its own, and yield its address."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ECHOCAST_", "OMP_NUM_THREADS"))
    }
    workload = Workload(model=options.model, files=(), variant=options.variant, device="cpu", threads=options.threads)
    log_path = folder / "serve.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--data-dir", str(folder / "data"), "--port", "0"],
            env={**inherited, **workload.environment(), "ECHOCAST_LOG_LEVEL": "WARNING"},
            stdout=log,
            stderr=log,
        )
    try:
        yield _address(process, log_path)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log_path: Path) -> str:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"Echocast serves (http://\S+)", log_path.read_text()):
            return found[1]
        time.sleep(0.05)
    raise SystemExit(f"echocast serve did not start:\n{log_path.read_text()}")


def measure(options: ServiceOptions) -> dict[str, Any]:
    """Return the figures of both comparisons, and their rows of the table of aims."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        files = write_day(DAYS["rain"], folder / "rain", frames=FRAMES, shape=options.shape)
        shared = {"steps": options.steps, "threads": options.threads, "variant": options.variant}
        workload = Workload(model=options.model, files=tuple(map(str, files)), reads=True, device="cpu", **shared)
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        form = httpx.Request(
            "POST", "http://any", data={"model": options.model, "steps": str(options.steps)}, files=parts
        )
        body, content_type = form.read(), form.headers["Content-Type"]
        with (
            served(options, folder) as base,
            workload_process(workload, folder / "alone.nc") as engine,
            UploadClient(base=base, body=body, content_type=content_type) as client,
        ):
            until = time.monotonic() + READY_SECONDS
            while not client.is_ready() and time.monotonic() < until:
                time.sleep(0.2)
            known = dict(engine.properties)
            peaks = peaks_of("cpu", options.threads)
            precision = known["variant"].partition(" ")[0]
            peaks.measure([precision] if options.peaks and known["floating_point_operations"] else [])
            one = one_client(client, engine, options.runs)
            many = many_clients(client, engine, options.clients)
            peaks.measure(peaks.gflops)
    figures = {"one": one, "many": many, "engine": known, "peak_gflops": peaks.gflops.get(precision)}
    return {**figures, "rows": results.as_json(rows_of(figures, options))}


def one_client(client: UploadClient, engine: WorkloadProcess, runs: int) -> dict[str, Any]:
    """Time the engine alone and the service in turns, after one run of each to warm up."""
    alone, through, statuses = [], [], []
    for _ in range(runs + 1):
        alone.append(engine.run())
        started = time.perf_counter()
        statuses.append(client.fetch_result())
        through.append(time.perf_counter() - started)
    timings = [status["timings"] for status in statuses[1:] if status.get("timings")]
    return {
        "alone_s": alone[1:],
        "service_s": through[1:],
        "first_service_s": through[0],
        "model_used": statuses[-1]["model_used"],
        "timings_s": {key: statistics.median(each[key] for each in timings) for key in (timings or [{}])[0]},
    }


def many_clients(client: UploadClient, engine: WorkloadProcess, clients: int) -> dict[str, Any]:
    """Measure nowcasts per second of concurrent clients, and of the engine alone before and after them."""
    half = max(2, clients // 4)
    before = [engine.run() for _ in range(half)]
    failures: list[str] = []
    waits: list[float] = []

    def run_client(number: int) -> None:
        started = time.perf_counter()
        try:
            client.fetch_result()
            waits.append(time.perf_counter() - started)
        except ServiceError as error:
            failures.append(f"client {number}: {error}")

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run_client, range(clients)))
    seconds = time.perf_counter() - started
    after = [engine.run() for _ in range(half)]
    return {
        "clients": clients,
        "failures": failures,
        "seconds": seconds,
        "first_result_s": min(waits, default=None),
        "service_per_s": (clients - len(failures)) / seconds,
        "alone_per_s": len(before + after) / sum(before + after),
        "alone_before_per_s": half / sum(before),
        "alone_after_per_s": half / sum(after),
    }


def rows_of(figures: Mapping[str, Any], options: ServiceOptions) -> list[AimRow]:
    """Return the rows of both aims."""
    one, many = figures["one"], figures["many"]
    alone, through = (Timing(seconds=tuple(one[key])) for key in ("alone_s", "service_s"))
    more = statistics.median(after - before for before, after in zip(one["alone_s"], one["service_s"], strict=True))
    allowed = max(MORE_SHARE * alone.median, MORE_SECONDS)
    share = many["service_per_s"] / many["alone_per_s"]
    failed = f"{len(many['failures'])} failures" if many["failures"] else "no failure"
    return [
        AimRow(
            what=f"service, from upload to result, {options.shape[0]} x {options.shape[1]}, one client",
            against="the engine alone",
            aim="at most 10 % or 150 ms more",
            measured=f"{1000 * more:+.0f} ms, {more / alone.median:+.0%} (median of the pairs): {through.summary()} "
            f"against {alone.summary()}",
            # Noise may make the difference negative, which counts as none.
            reached=min(allowed / max(more, 1e-3), 10.0),
        ),
        AimRow(
            what=f"service, {many['clients']} clients at once",
            against="the engine alone, busy",
            aim="90 % of its throughput, no failure",
            measured=f"{share:.0%}, {failed}: {many['service_per_s']:.3f} against {many['alone_per_s']:.3f} nowcasts/s "
            f"(before {many['alone_before_per_s']:.3f}, after {many['alone_after_per_s']:.3f})",
            reached=0.0 if many["failures"] else share / THROUGHPUT_SHARE,
        ),
    ]


def page(part: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
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
        table(["one client", "median s", "spread"], rows),
        *([f"Times that the service reports (medians): {spent}."] if spent else []),
        f"{many['clients']} clients at once: {many['seconds']:.1f} s from the first upload to the last result, "
        f"{many['service_per_s']:.3f} nowcasts/s, {len(many['failures'])} failures; the engine alone "
        f"{many['alone_before_per_s']:.3f} before and {many['alone_after_per_s']:.3f} after.",
    ]
    if part["peak_gflops"]:
        rate = engine["floating_point_operations"] * many["service_per_s"] / 1e9
        lines.append(
            f"With all clients the service reaches {rate:.0f} GFLOP/s, {rate / part['peak_gflops']:.0%} of the "
            "convolution peak, including reading and writing; dry areas count as if they were computed."
        )
    return "\n\n".join(lines)


def main() -> None:
    """Measure, store the figures and print them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    add_threads(parser)
    parser.add_argument("--variant", default="auto")
    args = parser.parse_args()
    results.store_and_print("service", measure(ServiceOptions(**vars(args))))


if __name__ == "__main__":
    main()
