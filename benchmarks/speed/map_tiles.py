"""`python -m benchmarks.speed.map_tiles`: map tiles a second, and what a crowd at the map does to others.

For each grid and zoom a fresh gateway; clients in another process, on the same cores, ask for every tile of the grid
and every frame once: first cold, each tile drawn, then warm, from memory. Then 60 clients ask for tiles without a
pause, each in its own order, while a probe asks for status and point of a nowcast, as in `benchmarks.speed.views`.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyproj import CRS

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import table
from benchmarks.speed.other_processes import OtherProcesses
from benchmarks.speed.views import CLIENTS, LOADED_SECONDS, Client, _rain, _settings, gateway, probe, send_load
from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.times import basic_text
from service.api.app import create_app
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job
from service.render.web_mercator import MapPicture
from service.store import input_key, result_key

CONNECTIONS: Final = 12
"""Two browsers' worth."""
STEPS: Final = 12
REFERENCE: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
STEREOGRAPHIC: Final = CRS.from_proj4("+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752")
GRIDS: Final = {
    "765 x 700, 1 km, polar stereographic": Grid.regular(
        STEREOGRAPHIC, shape=(765, 700), pixel_size=1000.0, centre=(350_000.0, -4_032_500.0)
    ),
    "3500 x 7000, 0.01 degree": Grid.regular(
        CRS.from_epsg(4326), shape=(3500, 7000), pixel_size=0.01, centre=(-95.0, 37.5)
    ),
}


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tiles at one zoom: of the whole grid at most `most`, in its middle."""

    grid: str
    zoom: int
    most: int = 24


LOADS: Final = tuple(
    Load(grid=name, zoom=zoom) for name, zooms in zip(GRIDS, ((4, 7, 9), (3, 5, 8)), strict=True) for zoom in zooms
)


def write_feed(folder: Path, grid: Grid, *, observed: int = 1, steps: int = STEPS) -> str:
    """Record a feed `bench` with observed frames and the nowcast of the newest one; return the id of the nowcast."""
    app = create_app(_settings(folder))
    context = app.state.context
    context.settings.feeds_path.write_text('[[feed]]\nname = "bench"\nfolder = "/radar"\nclock = "frames"\n')
    rain = _rain(grid.shape, observed + steps)

    def store(item: FrameSequence | Forecast, *keys: str) -> None:
        write_netcdf(item, folder / "file.nc")
        for key in keys:
            context.store.put(key, folder / "file.nc")
        (folder / "file.nc").unlink()

    for index in range(observed):
        time = REFERENCE - timedelta(minutes=5 * (observed - 1 - index))
        times = np.array([np.datetime64(time.replace(tzinfo=None), "ns")])
        sequence = FrameSequence(rain_rate=rain[index : index + 1], times=times, grid=grid)
        key = f"frames/bench-{index}.nc"
        store(sequence, key)
        frame = DecodedFrame(
            valid_time=time, key=key, digest=sequence.digest(), grid="g", pixels=rain[0].size, size=1, coverage=1.0
        )
        file = ArrivedFile(name=f"bench-{index}.h5", size=1, modified_ns=1 + index)
        context.feed_ledger.record_frames("bench", file, [frame])
    forecast = Forecast(
        rain_rate=rain[observed:],
        reference_time=np.datetime64(REFERENCE.replace(tzinfo=None), "ns"),
        lead_minutes=np.arange(1, steps + 1) * 5.0,
        grid=grid,
        attributes={},
    )
    job = Job(kind="feed", model="auto", steps=steps, inputs=[], feed="bench")
    context.feed_ledger.submit(job, context.feed_ledger.find_frame("bench"), model="auto")
    job = context.ledger.claim(job.id, 60)
    store(sequence, input_key(job.id))
    store(forecast, result_key(job.id))
    context.ledger.succeed(job, result_key=result_key(job.id), input_key=input_key(job.id))
    context.close()
    return str(job.id)


def places_of(load: Load) -> list[tuple[int, int]]:
    """Return columns and rows of the tiles, those nearest to the middle of the grid first."""
    grid = GRIDS[load.grid]
    lon, lat = grid.lon_lat(*np.meshgrid(grid.x[:: grid.x.size // 8], grid.y[:: grid.y.size // 8]))
    corners = [MapPicture.around(load.zoom, x, y, 256) for x, y in zip(lon.flat, lat.flat, strict=True)]
    columns, rows = (
        [int(edge + 128) // 256 for edge in edges] for edges in zip(*((c.left, c.top) for c in corners), strict=True)
    )
    middle = (np.mean(columns), np.mean(rows))
    places = [(x, y) for x in range(min(columns), max(columns) + 1) for y in range(min(rows), max(rows) + 1)]
    return sorted(places, key=lambda place: math.dist(place, middle))[: load.most]


def paths_of(load: Load, job_id: str) -> list[str]:
    """Return the addresses of every frame's tiles."""
    frames = [
        f"{basic_text(REFERENCE)}-{basic_text(REFERENCE + timedelta(minutes=5 * step))}-{job_id[:12]}"
        for step in range(1, STEPS + 1)
    ]
    return [f"/v1/feeds/bench/tiles/{frame}/{load.zoom}/{x}/{y}.png" for frame in frames for x, y in places_of(load)]


def fetch_all(port: int, paths: Sequence[str], sender: Connection) -> None:
    """Fetch every path once, whenever the pipe's other end says so; send the seconds, and the bytes."""
    clients = [Client(port) for _ in range(CONNECTIONS)]
    while sender.recv():
        left, sizes = list(paths), []
        started = time.perf_counter()

        def run(client: Client, left: list[str] = left, sizes: list[int] = sizes) -> None:
            while left:
                try:
                    path = left.pop()
                except IndexError:
                    return
                status, body, _ = client.get(path)
                if status != 200:
                    raise SystemExit(f"{path} got {status}: {body.decode()}")
                sizes.append(len(body))

        threads = [threading.Thread(target=run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sender.send((time.perf_counter() - started, sum(sizes), len(sizes)))


def measure(load: Load, folder: Path, job_id: str) -> dict[str, Any]:
    """Return tiles a second of one zoom."""
    spawn = multiprocessing.get_context("spawn")
    others = OtherProcesses()
    paths = paths_of(load, job_id)
    with gateway(folder) as port:
        here, there = spawn.Pipe()
        process = spawn.Process(target=fetch_all, args=(port, paths, there))
        process.start()
        rounds = []
        for _ in range(2):
            here.send(True)
            rounds.append(here.recv())
        here.send(False)
        process.join()
    (cold, size, number), (warm, _, _) = rounds
    if number != len(paths):
        raise SystemExit(f"{number} of {len(paths)} tiles came")
    return {
        "grid": load.grid,
        "zoom": load.zoom,
        "tiles": number,
        "kilobytes": size / number / 1000,
        "cold": number / cold,
        "warm": number / warm,
        "others_cores": others.cores(),
    }


def measure_others(folder: Path, job_id: str) -> dict[str, Any]:
    """Return what status and point take alone, and while 60 clients play tiles of their own places."""
    spawn = multiprocessing.get_context("spawn")
    paths = paths_of(Load(grid=next(iter(GRIDS)), zoom=9, most=CLIENTS), job_id)
    rng = np.random.default_rng(0)
    own = [[str(path) for path in rng.permutation(paths)] for _ in range(CLIENTS)]
    with gateway(folder) as port:
        probe(port, job_id, 1.0)
        idle = probe(port, job_id, LOADED_SECONDS / 2)
        here, there = spawn.Pipe()
        process = spawn.Process(target=send_load, args=(port, own, there))
        process.start()
        here.recv()
        here.send("start")
        loaded = probe(port, job_id, LOADED_SECONDS)
        here.send("stop")
        answered = here.recv()
        process.join()
    return {"idle": idle, "loaded": loaded, "statuses": answered["statuses"]}


def main() -> None:
    """Measure and print the tables of docs/tiles.md."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", default="", help="Only the grids whose name contains this text.")
    args = parser.parse_args()
    rows, crowd = [], []
    for name, grid in GRIDS.items():
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
            job_id = write_feed(Path(folder), grid)
            for load in (load for load in LOADS if load.grid == name):
                figures = measure(load, Path(folder), job_id)
                print(json.dumps(figures), file=sys.stderr)
                rows.append(
                    [f"{name}, zoom {load.zoom}", str(figures["tiles"]), f"{figures['kilobytes']:.1f}"]
                    + [f"{figures[key]:.0f}" for key in ("cold", "warm")]
                )
            if not crowd:
                found = measure_others(Path(folder), job_id)
                for kind in ("status", "point"):
                    cells = [
                        f"{1000 * np.percentile(found[phase][kind], share):.1f}"
                        for share in (50, 99)
                        for phase in ("idle", "loaded")
                    ]
                    crowd.append([kind, *cells])
                print(found["statuses"], file=sys.stderr)
    print(table(["grid", "tiles", "kB each", "cold, tiles/s", "warm, tiles/s"], rows))
    head = ["ms", "median alone", "median in the crowd", "p99 alone", "p99 in the crowd"]
    print(table(head, crowd))


if __name__ == "__main__":
    main()
