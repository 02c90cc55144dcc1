"""`python -m benchmarks.speed.points`: rain at places of a feed, so many times a second, while the feed's runs go on.

`echocast serve` as a user starts it, with a feed whose frames of 640 x 710 arrive every few seconds, far more often
than those of a radar, and are forecast by the default model. Clients in a process of their own ask for random places.
With `--rate` each request is due at its own time, and its time counts from then, whether or not a connection was free:
a service that falls behind shows it. With `--rate 0` each connection asks as soon as it has an answer, which measures
how many answers there can be. Gateway, worker, schedule, Redis and clients share the cores of the machine.

With `--gateways N` the parts run by themselves, as on several machines: a Redis, a worker, a schedule, and N gateways,
among which the clients share their connections.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.command_line import argument_parser
from benchmarks.speed.other_processes import OtherProcesses
from benchmarks.speed.synthetic_days import DAYS, write_day
from service.embedded import find_redis_server

READY_SECONDS: Final = 180.0
FIRST_FRAMES: Final = 6
FEED: Final = """[[feed]]
name = "radar"
folder = {folder}
clock = "frames"
model = {model}
steps = 12
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure: requests a second (0: as many as there can be), for how long, on how many connections."""

    rate: float
    seconds: float
    connections: int
    frame_seconds: float
    shape: tuple[int, int]
    model: str
    gateways: int


@dataclass
class Answers:
    """What came of the requests."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reference_times: Counter[str] = field(default_factory=Counter)
    coverages: Counter[str] = field(default_factory=Counter)


class PointConnection(asyncio.Protocol):
    """A connection that asks for random places, one request at a time."""

    def __init__(self, load: Load, bounds: Sequence[float]) -> None:
        self._load = load
        self._bounds = bounds
        self._received = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for requests."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._load.is_free(self)

    def ask(self, due: float) -> None:
        """Ask for a random place; the request was due at that time."""
        self._due = due
        west, south, east, north = self._bounds
        lon, lat = random.uniform(west, east), random.uniform(south, north)  # noqa: S311
        path = f"/v1/feeds/radar/point?lon={lon:.4f}&lat={lat:.4f}"
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Take the response; when it is whole, be ready again."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received = b""
        answers = self._load.answers
        answers.seconds.append(time.perf_counter() - self._due)
        answers.statuses[head[9:12].decode()] += 1
        answers.reference_times[_member(body, b'"reference_time":"')] += 1
        answers.coverages[_member(body, b'"coverage":"')] += 1
        self._load.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the service closed the connection."""
        self._load.answers.statuses["closed"] += not self._load.ended


def _member(body: bytes, name: bytes) -> str:
    return body.partition(name)[2].partition(b'"')[0].decode()


class Load:
    """Requests at a rate, or as many as there can be."""

    def __init__(self, rate: float) -> None:
        self.answers = Answers()
        self.ended = False
        self._rate = rate
        self._free: deque[PointConnection] = deque()
        self._waiting: deque[float] = deque()

    def is_free(self, connection: PointConnection) -> None:
        """Give a connection the request that waits longest."""
        if self.ended:
            return
        if self._waiting:
            connection.ask(self._waiting.popleft())
        elif self._rate:
            self._free.append(connection)
        else:
            connection.ask(time.perf_counter())

    async def run(self, ports: Sequence[int], bounds: Sequence[float], connections: int, seconds: float) -> None:
        """Send the requests."""
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: PointConnection(self, bounds), "127.0.0.1", ports[number % len(ports)])
            for number in range(connections)
        ]
        started = time.perf_counter()
        if self._rate:
            for number in range(round(self._rate * seconds)):
                due = started + number / self._rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                if self._free:
                    self._free.popleft().ask(due)
                else:
                    self._waiting.append(due)
            while self._waiting or len(self._free) < connections:
                await asyncio.sleep(0.01)
        else:
            await asyncio.sleep(seconds)
        self.ended = True
        for transport, _ in opened:
            transport.close()


def send_load(ports: Sequence[int], bounds: Sequence[float], options: Options, sender: Connection) -> None:
    """Send the requests of a measurement, and then what came of them."""
    load = Load(options.rate)
    started = time.perf_counter()
    asyncio.run(load.run(ports, bounds, options.connections, options.seconds))
    sender.send((load.answers, time.perf_counter() - started, sum(os.times()[:2])))


class Radar:
    """Frames that arrive in a feed's folder, one every few seconds."""

    def __init__(self, folder: Path, files: Sequence[Path], seconds: float) -> None:
        self._folder, self._files, self._seconds = folder, deque(files), seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def arrive(self) -> None:
        """Let the next frame arrive."""
        file = self._files.popleft()
        part = self._folder / f".{file.name}"
        shutil.copy(file, part)
        part.rename(self._folder / file.name)

    def _send(self) -> None:
        while not self._stop.wait(self._seconds) and self._files:
            self.arrive()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def service(folder: Path, options: Options) -> Iterator[list[int]]:
    """Run the service on a data folder, and yield the ports of its gateways."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    environment = {
        **inherited,
        "ECHOCAST_DATA_DIR": str(folder / "data"),
        "ECHOCAST_FEEDS_FILE": str(folder / "feeds.toml"),
        "ECHOCAST_FEED_SCAN_SECONDS": "1",
        "ECHOCAST_FEED_SETTLE_SECONDS": "1",
        "ECHOCAST_MAX_CLIENT_REQUESTS_PER_SECOND": "0",
        "ECHOCAST_LOG_LEVEL": "WARNING",
    }
    with ExitStack() as stack:

        def start(*words: object, nice: int = 0) -> None:
            log = stack.enter_context((folder / f"{words[0]}.log").open("a"))
            command = ["nice", "-n", str(nice), *map(str, words)]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        python = [sys.executable, "-m", "service.cli"]
        if options.gateways:
            socket_path = folder / "redis.sock"
            start(find_redis_server(), "--port", "0", "--unixsocket", socket_path, "--save", "", "--dir", folder)
            environment["ECHOCAST_BROKER_URL"] = f"redis+socket://{socket_path}"
            start(*python, "worker", nice=5)
            start(*python, "beat")
        ports = [18370 + number for number in range(options.gateways or 1)]
        for port in ports:
            start(*python, "serve", "--port", port)
        yield ports


def get(port: int, path: str) -> dict[str, Any] | None:
    """Return the JSON at a path; None where there is none yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except (urllib.error.URLError, ConnectionError):
        return None


def wait_for(port: int, path: str) -> dict[str, Any]:
    """Return the JSON at a path as soon as there is one."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if (found := get(port, path)) is not None:
            return found
        time.sleep(0.5)
    raise SystemExit(f"nothing is at {path} after {READY_SECONDS:g} s")


def measure(options: Options) -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        arriving = folder / "arriving"
        arriving.mkdir()
        quoted = {"folder": json.dumps(str(arriving)), "model": json.dumps(options.model)}
        (folder / "feeds.toml").write_text(FEED.format(**quoted))
        frames = FIRST_FRAMES + 10 + round(options.seconds / options.frame_seconds)
        radar = Radar(
            arriving,
            write_day(DAYS["rain"], folder / "radar", frames=frames, shape=options.shape),
            options.frame_seconds,
        )
        for _ in range(FIRST_FRAMES):
            radar.arrive()
        with service(folder, options) as ports:
            job = next(
                link["href"] for link in wait_for(ports[0], "/v1/feeds/radar/latest")["links"] if link["rel"] == "item"
            )
            bounds = wait_for(ports[0], f"{job}/frames")["grid"]["bounds"]
            for port in ports:
                wait_for(port, f"/v1/feeds/radar/point?lon={bounds[0]}&lat={bounds[1]}")
            with radar:
                time.sleep(options.frame_seconds)
                return _figures(ports, bounds, options)


def _figures(ports: Sequence[int], bounds: Sequence[float], options: Options) -> dict[str, Any]:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    others = OtherProcesses()
    process = spawn.Process(target=send_load, args=(ports, bounds, options, there))
    process.start()
    answers, took, client_seconds = here.recv()
    process.join()
    details = get(ports[0], "/v1/feeds/radar")
    assert details is not None
    milliseconds = 1000 * np.asarray(answers.seconds)
    p50, p99, p999 = np.percentile(milliseconds, [50, 99, 99.9])
    return {
        "asked_a_second": options.rate or None,
        "answered_a_second": round(len(milliseconds) / took, 1),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "p999_ms": round(float(p999), 2),
        "longest_ms": round(float(milliseconds.max()), 1),
        "statuses": dict(answers.statuses),
        "coverages": dict(answers.coverages),
        "nowcasts_served": len(answers.reference_times),
        "runs": Counter(run["status"] for run in details["runs"]),
        "client_cores": round(client_seconds / took, 2),
        "all_cores": others.cores(),
        "cores": os.cpu_count(),
        "gateways": options.gateways or "echocast serve",
    }


def main() -> None:
    """Measure and print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rate", type=float, default=1000.0, help="Requests a second; 0: as many as there can be.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--frame-seconds", type=float, default=10.0, help="Seconds between two frames.")
    parser.add_argument("--shape", type=int, nargs=2, default=(640, 710))
    parser.add_argument("--model", default="auto")
    parser.add_argument("--gateways", type=int, default=0, help="0: `echocast serve` with everything embedded.")
    args = parser.parse_args()
    print(json.dumps(measure(Options(**{**vars(args), "shape": tuple(args.shape)})), indent=1))


if __name__ == "__main__":
    main()
