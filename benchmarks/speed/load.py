"""`python -m benchmarks.speed.load`: fair turns and readers of a service that is busy, through HTTP, with API keys.

First one client's eight large nowcasts, and the small one of another that comes while the first of them runs. Then
readers who ask for the status of a nowcast once a second, each at its own moment, while others upload one nowcast after
the other, against the same question to the idle service before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.command_line import argument_parser
from benchmarks.speed.service import READY_SECONDS, RESULT_SECONDS, ServiceOptions, served
from benchmarks.speed.synthetic_days import DAYS, write_day
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.ledger import Ledger

FRAMES = 4
LARGE_JOBS, LARGE_STEPS, SMALL_STEPS = 8, 12, 6
SMALL_SIDE, UPLOAD_SIDE = 128, 320
READERS_OF_A_KEY = 20
IDLE_REQUESTS, IDLE_PAUSE_SECONDS = 500, 0.02
POLL_SECONDS = 0.2
SEEDS = itertools.count()


class Client:
    """A client of the service with its own key."""

    def __init__(self, base: str, keys: ApiKeys, name: str) -> None:
        _, secret = keys.create(name, [Scope.NOWCAST, Scope.READ])
        headers = {"Authorization": f"Bearer {secret}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx.AsyncClient(base_url=base, headers=headers, timeout=RESULT_SECONDS, limits=limits)

    async def upload(self, files: list[Path], steps: int) -> httpx.Response:
        """Request a nowcast; each has its own seed, so that none is answered with the result of another."""
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        return await self.http.post("/v1/nowcasts", data={"steps": str(steps), "seed": str(next(SEEDS))}, files=parts)

    async def status(self, job_id: str) -> dict[str, Any]:
        """Return the status of a nowcast."""
        found: dict[str, Any] = (await self.http.get(f"/v1/nowcasts/{job_id}")).json()
        return found

    async def wait(self, job_id: str, *, running: bool = False, pause: float = POLL_SECONDS) -> dict[str, Any]:
        """Return the status once the nowcast runs and has made progress, or once it has ended."""
        while True:
            now = await self.status(job_id)
            begun = now["status"] == "running" and now["progress"]["done"] > 0
            if now["status"] not in ("accepted", "running") or (running and begun):
                return now
            await asyncio.sleep(pause)


async def fair_turns(large: Client, small: Client, folder: Path, side: int) -> dict[str, float]:
    """Return how long a small nowcast takes alone, and while another client's large ones run and wait (s)."""
    big = write_day(DAYS["wide rain"], folder / "large", frames=FRAMES, shape=(side, side))
    little = write_day(DAYS["rain"], folder / "small", frames=FRAMES, shape=(SMALL_SIDE, SMALL_SIDE))
    seconds = []
    for loaded in (False, True):
        jobs = [(await large.upload(big, LARGE_STEPS)).json()["id"] for _ in range(LARGE_JOBS if loaded else 0)]
        if loaded:
            await large.wait(jobs[0], running=True)
        started = time.monotonic()
        done = await small.wait((await small.upload(little, SMALL_STEPS)).json()["id"])
        assert done["status"] == "successful", done
        seconds.append(time.monotonic() - started)
    still_running = (await large.status(jobs[0]))["status"] == "running"
    for job_id in jobs[1:]:
        await large.http.delete(f"/v1/nowcasts/{job_id}")
    first = await large.wait(jobs[0])
    return {
        "small_alone": seconds[0],
        "small_beside_large": seconds[1],
        "large_compute": first["timings"]["compute_seconds"],
        "large_still_running": still_running,
    }


class Reader:
    """A reader on a connection of its own, with a request of fixed text: HTTP libraries take as long as the gateway.

    Raises
    ------
    OSError, EOFError
        The connection is lost.
    """

    def __init__(self, client: Client, job_id: str) -> None:
        url = client.http.base_url
        self._address = url.host, url.port
        head = {"Host": url.netloc.decode(), "Authorization": client.http.headers["Authorization"]}
        lines = [f"GET /v1/nowcasts/{job_id} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, seconds: list[float], answers: Counter[int]) -> None:
        """Ask for the status once."""
        started = time.monotonic()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        seconds.append(time.monotonic() - started)
        answers[int(head.split(b" ", 2)[1])] += 1
        if b"connection: close" in head:
            writer.close()
            self._streams = None


async def readers_and_uploaders(
    base: str, keys: ApiKeys, folder: Path, readers: int, uploaders: int, duration: float
) -> dict[str, Any]:
    """Return latencies of the status, idle and loaded (s), answers by HTTP status, and nowcasts that were made.

    `generator_cores` is what readers and uploaders themselves took of the processor.
    """
    files = write_day(DAYS["rain"], folder / "upload", frames=FRAMES, shape=(UPLOAD_SIDE, UPLOAD_SIDE))
    uploading = [Client(base, keys, f"uploader-{number}") for number in range(uploaders)]
    made = (await uploading[0].upload(files, SMALL_STEPS)).json()["id"]
    await uploading[0].wait(made)
    idle: list[float] = []
    loaded: list[float] = []
    answers: Counter[int] = Counter()
    alone = Reader(uploading[0], made)
    for _ in range(IDLE_REQUESTS):
        await alone.ask(idle, answers)
        await asyncio.sleep(IDLE_PAUSE_SECONDS)
    reading = [Client(base, keys, f"reader-{number}") for number in range(-(-readers // READERS_OF_A_KEY))]
    finished = Counter[str]()

    async def read(number: int) -> None:
        reader = Reader(reading[number // READERS_OF_A_KEY], own[number // READERS_OF_A_KEY])
        due = began + number / readers
        while due < end:  # each keeps to its own times: those who wait a second after an answer drift into one crowd
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await reader.ask(loaded, answers)
            due += max(1, math.ceil(time.monotonic() - due))

    async def upload(client: Client) -> None:
        while time.monotonic() < end:
            response = await client.upload(files, SMALL_STEPS)
            answers[response.status_code] += 1
            if response.status_code == 202:
                finished[(await client.wait(response.json()["id"], pause=1))["status"]] += 1  # as Retry-After says

    own = [(await client.upload(files, SMALL_STEPS)).json()["id"] for client in reading]
    began, used = time.monotonic(), time.process_time()
    end = began + duration
    await asyncio.gather(*map(read, range(readers)), *map(upload, uploading))
    return {
        "generator_cores": (time.process_time() - used) / (time.monotonic() - began),
        "idle": percentiles(idle),
        "loaded": percentiles(loaded),
        "answers": dict(answers),
        "nowcasts": dict(finished),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile (s)."""
    return {"median": statistics.median(seconds), "p99": statistics.quantiles(seconds, n=100)[98]}


def gateway_memory_mb() -> float:
    """Return the resident memory of `echocast serve`, this process's child (MB)."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # a process that has just ended
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if int(fields["PPid"]) == os.getpid() and "serve" in (status.parent / "cmdline").read_text():
                return int(fields["VmRSS"].split()[0]) * 1024 / 1e6
    raise ProcessLookupError("echocast serve")


async def measure(base: str, folder: Path, args: Any) -> dict[str, Any]:  # noqa: ANN401 - argparse's namespace
    """Return the figures of both parts, and the memory of the gateway before and after (MB)."""
    keys = ApiKeys(Ledger(f"sqlite:///{folder / 'data' / 'ledger.sqlite'}").engine)
    first = Client(base, keys, "first")
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and (await first.http.get("/readyz")).status_code != 200:
        await asyncio.sleep(POLL_SECONDS)
    turns = await fair_turns(Client(base, keys, "large"), Client(base, keys, "small"), folder, args.side)
    before = gateway_memory_mb()
    load = await readers_and_uploaders(base, keys, folder, args.readers, args.uploaders, args.seconds)
    return {"turns": turns, **load, "memory_mb": [before, gateway_memory_mb()]}


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--side", type=int, default=1400, help="Side of the large domain (pixels).")
    parser.add_argument("--readers", type=int, default=200, help="Readers, each asking once a second.")
    parser.add_argument("--uploaders", type=int, default=8, help="Uploaders, each with one nowcast at a time.")
    parser.add_argument("--seconds", type=float, default=600, help="How long they ask and upload (s).")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="echocast-") as name, served(ServiceOptions(), Path(name)) as base:
        figures = asyncio.run(measure(base, Path(name), args))
        print(json.dumps(figures, indent=1))
        if any(status >= 500 for status in figures["answers"]):
            print((Path(name) / "serve.log").read_text(), file=sys.stderr)


if __name__ == "__main__":
    main()
