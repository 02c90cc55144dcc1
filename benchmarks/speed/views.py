"""`python -m benchmarks.speed.views`: status and point while 60 clients ask for the dearest views.

For each route a fresh gateway, whose caches are empty. A probe asks for the status of a nowcast and for the rain at
random places of it, first alone, then while 60 clients, each on a connection of its own, repeat their request without a
pause. Both phases are of one run, so their ratio holds on a busy machine as well, where the times do not. Gateway,
clients and probe share the cores of the machine. A clock in the gateway's event loop records how late it is called.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvicorn
from fastapi import FastAPI
from pyproj import CRS

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import table
from benchmarks.speed.other_processes import OtherProcesses
from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.api.app import create_app
from service.jobs.job import Job
from service.server import GatewayServer, gateway_protocol
from service.settings import Settings
from service.store import input_key, result_key

CLIENTS: Final = 60
IDLE_SECONDS, LOADED_SECONDS = 10.0, 25.0
PROBES, PERIOD_SECONDS = 4, 0.4
REFERENCE: Final = np.datetime64("2026-06-01T12:00", "ns")
CLOCK_SECONDS: Final = 0.005
NO_REDIS: Final = "redis://127.0.0.1:1/0"
ROTATED_POLE: Final = CRS.from_cf(
    {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
)
GEOSTATIONARY: Final = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84")


@dataclass(frozen=True, kw_only=True)
class ViewedGrid:
    """A grid of the nowcasts that the clients look at."""

    crs: CRS
    shape: tuple[int, int]
    pixel_size: float
    centre: tuple[float, float]
    steps: int
    copies: int = 1

    def grid(self) -> Grid:
        """Return the grid."""
        return Grid.regular(self.crs, shape=self.shape, pixel_size=self.pixel_size, centre=self.centre)


EUROPE: Final = CRS.from_epsg(3035)
GRIDS: Final = {
    "radar": ViewedGrid(crs=EUROPE, shape=(640, 710), pixel_size=1000.0, centre=(4e6, 3e6), steps=12, copies=CLIENTS),
    "large": ViewedGrid(crs=EUROPE, shape=(3500, 7000), pixel_size=500.0, centre=(4e6, 3e6), steps=12),
    "rotated pole": ViewedGrid(crs=ROTATED_POLE, shape=(32, 32), pixel_size=0.1, centre=(0, 0), steps=2),
    "geostationary": ViewedGrid(crs=GEOSTATIONARY, shape=(32, 32), pixel_size=3000.0, centre=(0, 4e6), steps=2),
    "national": ViewedGrid(
        crs=CRS.from_epsg(27700), shape=(32, 32), pixel_size=1000.0, centre=(4e5, 4e5), steps=2, copies=CLIENTS
    ),
}
OBSERVED: Final = 2


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the clients ask for: a path below a nowcast of `grid`, with `{frame}`, `{x}` or `{y}`."""

    name: str
    grid: str
    path: str


LOADS: Final = (
    Load(name="frames, one small result, national grid", grid="national", path="/frames"),
    Load(name="frames, one small result, rotated pole", grid="rotated pole", path="/frames"),
    Load(name="frames, one small result, geostationary", grid="geostationary", path="/frames"),
    Load(name="WebP, one result of 640 x 710", grid="radar", path="/result?format=webp"),
    Load(name="WebP, a result of 640 x 710 for each client", grid="radar", path="/result?format=webp&each"),
    Load(name="GIF, one result of 640 x 710", grid="radar", path="/result?format=gif"),
    Load(name="WebP, one result of 3500 x 7000", grid="large", path="/result?format=webp"),
    Load(name="PNG, every frame of 3500 x 7000", grid="large", path="/frames/{frame}.png"),
    Load(name="point, random places of 3500 x 7000", grid="large", path="/point?x={x}&y={y}"),
)


def write_results(folder: Path, grids: Collection[str]) -> dict[str, list[str]]:
    """Write finished nowcasts of these grids into the ledger and the store of `folder`; return their ids by grid."""
    app = create_app(_settings(folder))
    context = app.state.context
    ids: dict[str, list[str]] = {}
    for name in grids:
        viewed = GRIDS[name]
        rain = _rain(viewed.shape, OBSERVED + viewed.steps)
        times = REFERENCE + np.arange(1 - OBSERVED, 1) * np.timedelta64(5, "m")
        observed = FrameSequence(rain_rate=rain[:OBSERVED], times=times, grid=viewed.grid())
        lead_minutes = np.arange(1, viewed.steps + 1) * 5.0
        forecast = Forecast(
            rain_rate=rain[OBSERVED:],
            reference_time=REFERENCE,
            lead_minutes=lead_minutes,
            grid=viewed.grid(),
            attributes={},
        )
        files = {"input": folder / "input.nc", "result": folder / "result.nc"}
        write_netcdf(observed, files["input"])
        write_netcdf(forecast, files["result"])
        for _ in range(viewed.copies):
            job = context.ledger.claim(context.ledger.create(Job(model="auto", steps=viewed.steps, inputs=[])).id, 60)
            context.ledger.record_model(job, model_used="extrapolation@1", note="")
            context.store.put(input_key(job.id), files["input"])
            context.store.put(result_key(job.id), files["result"])
            context.ledger.succeed(job, result_key=result_key(job.id), input_key=input_key(job.id))
            ids.setdefault(name, []).append(job.id)
        for file in files.values():
            file.unlink()
    context.close()
    return ids


def _rain(shape: tuple[int, int], frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return showers (mm h-1) [time, y, x] that move east."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[: shape[0], : shape[1]]
    showers = np.maximum(0, 6 * (np.sin(x / 37) + np.cos(y / 53) - 0.6)) * rng.gamma(2, 0.5, shape)
    return np.stack([np.roll(showers, 3 * frame, axis=1) for frame in range(frames)]).astype(np.float32)


def _settings(folder: Path) -> Settings:
    """Return the settings of a gateway that lets one address ask as often as 60 clients do."""
    return Settings(data_dir=folder, broker_url=NO_REDIS, max_client_requests_per_second=0)


@contextmanager
def gateway(folder: Path) -> Iterator[int]:
    """Run the gateway in a process of its own, and yield its port."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(folder, sender))
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def _serve(folder: Path, sender: Connection) -> None:
    settings = _settings(folder)
    app = create_app(settings)
    _add_clock(app)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:  # as `echocast serve`
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        sender.send(listener.getsockname()[1])
        config = uvicorn.Config(app, http=gateway_protocol(settings), log_config=None, access_log=False)
        GatewayServer(config, lambda: None).run(sockets=[listener])


def _add_clock(app: FastAPI) -> None:
    """Add a route that returns the delays (s) of the event loop since it was last asked."""
    delays: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + CLOCK_SECONDS
            await asyncio.sleep(CLOCK_SECONDS)
            delays.append(time.perf_counter() - due)

    clock: list[asyncio.Task[None]] = []

    @app.get("/delays")
    async def recorded() -> list[float]:
        if not clock:
            clock.append(asyncio.create_task(tick()))
        now = list(delays)
        delays.clear()
        return now


class Client:
    """A client on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def get(self, path: str) -> tuple[int, bytes, float]:
        """Return status, body and seconds."""
        started = time.perf_counter()
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        return response.status, body, time.perf_counter() - started


def send_load(port: int, paths: list[list[str]], sender: Connection) -> None:
    """Repeat the requests of each client until the pipe's other end sends something; send what came of them."""
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    stop = threading.Event()

    def run(own: list[str]) -> None:
        client, number = Client(port), 0
        while not stop.is_set():
            status, _, took = client.get(own[number % len(own)])
            number += 1
            statuses[status] += 1
            seconds.append(took)
            if status == 503:
                time.sleep(1.0)  # as Retry-After says

    threads = [threading.Thread(target=run, args=(own,)) for own in paths]
    sender.send("ready")
    sender.recv()
    for thread in threads:
        thread.start()
    sender.recv()
    stop.set()
    for thread in threads:
        thread.join()
    sender.send({"statuses": dict(statuses), "seconds": seconds})


def paths_of(load: Load, ids: dict[str, list[str]]) -> list[list[str]]:
    """Return the requests of each client."""
    rng = np.random.default_rng(1)
    frames = OBSERVED + GRIDS[load.grid].steps
    own: list[list[str]] = []
    for client in range(CLIENTS):
        known = ids[load.grid]
        job = known[client % len(known)] if load.path.endswith("&each") else known[0]
        own.append(
            [
                f"/v1/nowcasts/{job}{load.path.removesuffix('&each')}".format(
                    frame=(client + number) % frames, x=rng.random(), y=rng.random()
                )
                for number in range(frames if "{" in load.path else 1)
            ]
        )
    return own


def probe(port: int, job_id: str, seconds: float) -> dict[str, list[float]]:
    """Ask for status and point on several connections, each at its own times; return the seconds of each request."""
    taken: dict[str, list[float]] = {"status": [], "point": []}
    started = time.perf_counter()

    def run(number: int) -> None:
        client, rng, due = Client(port), np.random.default_rng(number), started + number * PERIOD_SECONDS / PROBES
        while due < started + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            for name, path in (("status", ""), ("point", f"/point?x={rng.random()}&y={rng.random()}")):
                status, body, took = client.get(f"/v1/nowcasts/{job_id}{path}")
                if status != 200:
                    raise SystemExit(f"the probe got {status}: {body.decode()}")
                taken[name].append(took)
            due += PERIOD_SECONDS

    with ThreadPoolExecutor(PROBES) as pool:
        list(pool.map(run, range(PROBES)))
    return taken


def measure(load: Load, folder: Path, ids: dict[str, list[str]]) -> dict[str, Any]:
    """Return the figures of one route."""
    spawn = multiprocessing.get_context("spawn")
    others = OtherProcesses()
    probed = ids["radar"][-1]
    with gateway(folder) as port:
        probe(port, probed, 2 * PERIOD_SECONDS)  # warms up
        Client(port).get("/delays")
        idle = probe(port, probed, IDLE_SECONDS)
        idle_delays = json.loads(Client(port).get("/delays")[1])
        here, there = spawn.Pipe()
        process = spawn.Process(target=send_load, args=(port, paths_of(load, ids), there))
        process.start()
        here.recv()
        here.send("start")
        loaded = probe(port, probed, LOADED_SECONDS)
        delays = json.loads(Client(port).get("/delays")[1])
        here.send("stop")
        answered = here.recv()
        process.join()
    return {
        "load": load.name,
        "idle_ms": {name: _summary(taken) for name, taken in idle.items()},
        "loaded_ms": {name: _summary(taken) for name, taken in loaded.items()},
        "idle_delay_ms": _summary(idle_delays),
        "loaded_delay_ms": _summary(delays),
        "statuses": answered["statuses"],
        "answers_ms": _summary(answered["seconds"]),
        "others_cores": others.cores(),
    }


def _summary(seconds: list[float]) -> dict[str, float]:
    milliseconds = 1000 * np.asarray(seconds)
    median, p99 = np.percentile(milliseconds, [50, 99])
    return {"median": median, "p99": p99, "max": milliseconds.max(), "number": len(seconds)}


def page(figures: list[dict[str, Any]]) -> str:
    """Return the table of docs/reliability.md."""
    rows = []
    for each in figures:
        cells = [each["load"]]
        for name in ("status", "point"):
            idle, loaded = each["idle_ms"][name], each["loaded_ms"][name]
            cells.append(f"{idle['median']:.1f} → {loaded['median']:.1f} ({loaded['median'] / idle['median']:.1f} x)")
            cells.append(f"{idle['p99']:.0f} → {loaded['p99']:.0f} ({loaded['p99'] / idle['p99']:.1f} x)")
        cells.append(f"{each['idle_delay_ms']['p99']:.0f} → {each['loaded_delay_ms']['p99']:.0f}")
        cells.append(", ".join(f"{number} x {status}" for status, number in sorted(each["statuses"].items())))
        rows.append(cells)
    head = ["60 clients on", "status, median ms", "status, p99", "point, median ms", "point, p99", "event loop, p99 ms"]
    return table([*head, "answers"], rows)


def main() -> None:
    """Measure and print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", default="", help="Only the routes whose name contains this text.")
    args = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        loads = [load for load in LOADS if args.only in load.name]
        ids = write_results(folder, {"radar", *(load.grid for load in loads)})
        for load in loads:
            figures.append(measure(load, folder, ids))
            print(json.dumps(figures[-1]), file=sys.stderr)
    print(page(figures))


if __name__ == "__main__":
    main()
