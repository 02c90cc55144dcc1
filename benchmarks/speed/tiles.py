"""`python -m benchmarks.speed.tiles`: seconds and peak memory of a nowcast of a continent, 3500 x 7000, on CPU.

One nowcast from files on disk to the written file, in a process of its own. The frames are synthetic storms on a grid
of 4 km, interpolated to 1 km, in one CF-netCDF file; or real files, such as those of MRMS, with `--files`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.command_line import add_threads, argument_parser
from benchmarks.page import results
from benchmarks.page.markdown import table
from benchmarks.page.results import AimRow
from benchmarks.speed.other_processes import OtherProcesses
from benchmarks.speed.synthetic_days import DAYS, STEP_MINUTES
from model.bench.measurement import workload_process
from model.bench.workload import Workload
from model.core.catalog import DEFAULT_MODEL
from model.core.forecast_file import write_netcdf
from model.core.sequence import FrameSequence
from model.data.synthetic_storms import synthesise, synthetic_grid

SHAPE = (3500, 7000)
FRAMES, STEPS = 4, 12
COARSENING = 4
MAX_MB = 3000.0


@dataclass(frozen=True, kw_only=True)
class TilesOptions:
    """What to measure; `files` are real radar files instead of synthetic frames."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    files: tuple[str, ...] = ()
    threads: int = 0
    variant: str = "auto"


def write_continent(shape: tuple[int, int], path: Path) -> None:
    """Write synthetic rain every 5 min on a grid of 1 km."""
    day = DAYS["rain"]
    coarse = synthesise(
        frames=FRAMES,
        shape=(-(-shape[0] // COARSENING), -(-shape[1] // COARSENING)),
        step_minutes=STEP_MINUTES,
        seed=day.seed,
        pixel_size_m=1000.0 * COARSENING,
        weather=day.weather,
    )
    resized = [cv2.resize(frame, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) for frame in coarse.rain_rate]
    rain = np.stack([np.asarray(frame, np.float32) for frame in resized])
    grid = synthetic_grid(shape, 1000.0)
    write_netcdf(FrameSequence(rain_rate=rain, times=coarse.times, grid=grid, attributes=coarse.attributes), path)


def measure(options: TilesOptions) -> dict[str, Any]:
    """Run one nowcast with a profiler; return its figures and its row of the table of aims."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        files = options.files
        if not files:
            write_continent(options.shape, Path(name) / "continent.nc")
            files = (str(Path(name) / "continent.nc"),)
        shared = {"steps": options.steps, "threads": options.threads, "variant": options.variant}
        workload = Workload(model=DEFAULT_MODEL, files=files, reads=True, device="cpu", **shared)
        with workload_process(workload, Path(name) / "nowcast.nc") as runner:
            stages = runner.request("stages")["stages"]
            peak_mb = runner.request("memory")["peak_mb"]
            known = runner.properties
    figures = {
        "source": "real files" if options.files else "synthetic",
        "steps": options.steps,
        "seconds": sum(stages.values()),
        "stages": stages,
        "peak_mb": peak_mb,
        **known,
    }
    return {**figures, "rows": results.as_json(rows_of(figures))}


def rows_of(figures: Mapping[str, Any]) -> list[AimRow]:
    """Return the row of the aim of memory."""
    ny, nx = figures["shape"]
    return [
        AimRow(
            what=f"{ny} x {nx}, {figures['steps']} frames, CPU, {figures['source']}: peak memory of the process",
            against="a worker's memory",
            aim="below 3 GB",
            measured=f"{figures['peak_mb'] / 1000:.2f} GB; {figures['seconds']:.0f} s",
            reached=MAX_MB / figures["peak_mb"],
        )
    ]


def page(part: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
    ny, nx = part["shape"]
    spent: Sequence[tuple[str, float]] = tuple(part["stages"].items())
    return "\n\n".join(
        [
            results.measured_on(part),
            f"{ny} x {nx} pixels ({part['source']}, {part['wet_percent']:g} % wet), {part['steps']} frames, "
            f"{part['variant']}: {part['seconds']:.0f} s from files to the written file, "
            f"{part['peak_mb']:.0f} MB peak memory of the process.",
            table([name for name, _ in spent], [[f"{seconds:.1f} s" for _, seconds in spent]]),
        ]
    )


def main() -> None:
    """Measure, store the figures and print them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--files", nargs="*", default=[], help="Real radar files, the newest last.")
    parser.add_argument("--steps", type=int, default=STEPS)
    add_threads(parser)
    parser.add_argument("--variant", default="auto")
    args = parser.parse_args()
    options = TilesOptions(**{**vars(args), "files": tuple(args.files)})
    others = OtherProcesses()
    figures = measure(options)
    results.store_and_print("tiles", {"others_cores": others.cores(), **figures})


if __name__ == "__main__":
    main()
