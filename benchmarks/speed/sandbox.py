"""What the sandbox costs: files read in this process and in a process of their own, in turns, on the same machine.

`python -m benchmarks.speed.sandbox [FOLDER]` reads real files below the folder of real radar data. Times on the clock
are medians, processor times means, all of the same run: on a busy machine only the latter compare with an idle one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from model.readers import read
from workers import sandbox

SOURCES: Final = {
    "KNMI": "knmi/*.h5",
    "BoM": "bom/*.nc",
    "OPERA": "opera/*.hdf",
    "FMI": "fmi/*.gz",
    "MRMS": "mrms/*.grib2",
}
FILES: Final = 5
LARGE: Final = 10_000_000
"""Pixels of a frame of which two files are read, twice."""


class Cost(NamedTuple):
    """One kind of read: time on the clock and processor time, of all processes, in ms."""

    wall_ms: float
    processor_ms: float


def compare(paths: list[Path], repeats: int) -> tuple[Cost, Cost]:
    """Return the cost of reads in this process, and in the sandbox."""
    reads: tuple[Callable[[], object], ...] = (
        partial(read, paths),
        partial(sandbox.read, paths, memory_mb=4096, seconds=600),
    )
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for one in reads:
        one()  # fills the caches of libraries, and those of the disk
    for _ in range(repeats):
        for one, found in zip(reads, costs, strict=True):
            started, used = time.perf_counter(), _processor_seconds()
            one()
            found.append(Cost(1000 * (time.perf_counter() - started), 1000 * (_processor_seconds() - used)))
    here, there = (
        Cost(statistics.median(c.wall_ms for c in found), statistics.mean(c.processor_ms for c in found))
        for found in costs
    )
    return here, there


def _processor_seconds() -> float:
    """Return the processor time of this process, of its children that ended, of the fork server and of its reads."""
    own = sum(os.times()[:4])
    fields = Path(f"/proc/{sandbox._server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return own + sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print one row of a Markdown table for each source."""
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("ECHOCAST_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    sandbox.start()
    print(f"load of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| files | pixels of a frame | here | in the sandbox | processor time here | in the sandbox | more |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name, pattern in SOURCES.items():
        paths = sorted(options.folder.glob(pattern))[:FILES]
        if not paths:
            continue
        ny, nx = read(paths[:1]).grid.shape
        if ny * nx > LARGE:
            paths = paths[:2]
        here, there = compare(paths, options.repeats if ny * nx < LARGE else 2)
        print(
            f"| {len(paths)} of {name} | {ny} x {nx} | {here.wall_ms:.0f} ms | {there.wall_ms:.0f} ms "
            f"| {here.processor_ms:.0f} ms | {there.processor_ms:.0f} ms "
            f"| {there.processor_ms - here.processor_ms:+.0f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
