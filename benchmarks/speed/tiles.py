"""`python -m benchmarks.speed.tiles`: seconds and peak memory of a nowcast of a continent, 3500 x 7000 pixels, on CPU.

From files on disk to the written file, once, by a process that does nothing else. The frames are synthetic storms on a
grid of 4 km, drawn out to 1 km, as one CF-netCDF file; or real files, such as those of MRMS, with `--files`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.page import results
from benchmarks.page.results import Row
from benchmarks.speed.synthetic_days import DAYS, STEP_MINUTES
from model.bench.measurement import workload_process
from model.bench.workload import Workload
from model.core.catalog import DEFAULT_MODEL
from model.core.forecast import write_netcdf
from model.core.sequence import FrameSequence
from model.data.synthetic_storms import synthesise, synthetic_grid

SHAPE = (3500, 7000)
FRAMES, STEPS = 4, 12
COARSER = 4
MOST_MB = 3000.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured; `files`: real ones, in place of synthetic frames."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    files: tuple[str, ...] = ()
    threads: int = 0
    variant: str = "auto"


def write_continent(shape: tuple[int, int], path: Path) -> None:
    """Synthetic rain of every 5 min on a grid of 1 km."""
    day = DAYS["rain"]
    coarse = synthesise(
        frames=FRAMES,
        shape=(-(-shape[0] // COARSER), -(-shape[1] // COARSER)),
        step_minutes=STEP_MINUTES,
        seed=day.seed,
        pixel_size_m=1000.0 * COARSER,
        weather=day.weather,
    )
    drawn = [cv2.resize(frame, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) for frame in coarse.rain_rate]
    rain = np.stack([np.asarray(frame, np.float32) for frame in drawn])
    grid = synthetic_grid(shape, 1000.0)
    write_netcdf(FrameSequence(rain_rate=rain, times=coarse.times, grid=grid, attributes=coarse.attributes), path)


def measure(plan: Plan) -> dict[str, Any]:
    """One nowcast, watched."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        files = plan.files
        if not files:
            write_continent(plan.shape, Path(name) / "continent.nc")
            files = (str(Path(name) / "continent.nc"),)
        task = Workload(
            model=DEFAULT_MODEL,
            files=files,
            steps=plan.steps,
            reads=True,
            variant=plan.variant,
            device="cpu",
            threads=plan.threads,
        )
        with workload_process(task, Path(name) / "nowcast.nc") as runner:
            stages = runner.request("stages")["stages"]
            peak_mb = runner.request("memory")["peak_mb"]
            known = runner.properties
    figures = {
        "source": "real files" if plan.files else "synthetic",
        "steps": plan.steps,
        "seconds": sum(stages.values()),
        "stages": stages,
        "peak_mb": peak_mb,
        **known,
    }
    return {**figures, "rows": results.as_json(rows_of(figures))}


def rows_of(figures: Mapping[str, Any]) -> list[Row]:
    """The aim of memory."""
    ny, nx = figures["shape"]
    return [
        Row(
            what=f"{ny} x {nx}, {figures['steps']} frames, CPU, {figures['source']}: peak memory of the process",
            against="a worker's memory",
            aim="below 3 GB",
            measured=f"{figures['peak_mb'] / 1000:.2f} GB; {figures['seconds']:.0f} s",
            reached=MOST_MB / figures["peak_mb"],
        )
    ]


def page(part: Mapping[str, Any]) -> str:
    """The part of docs/performance.md."""
    ny, nx = part["shape"]
    spent: Sequence[tuple[str, float]] = tuple(part["stages"].items())
    return "\n\n".join(
        [
            results.measured_on(part),
            f"{ny} x {nx} pixels ({part['source']}, {part['wet_percent']:g} % wet), {part['steps']} frames, "
            f"{part['variant']}: {part['seconds']:.0f} s from files to the written file, "
            f"{part['peak_mb']:.0f} MB at the process's peak.",
            results.markdown([name for name, _ in spent], [[f"{seconds:.1f} s" for _, seconds in spent]]),
        ]
    )


def main() -> None:
    """Measure, keep the figures, print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", nargs="*", default=[], help="Real radar files, the newest last.")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core.")
    parser.add_argument("--variant", default="auto")
    asked = parser.parse_args()
    plan = Plan(files=tuple(asked.files), steps=asked.steps, threads=asked.threads, variant=asked.variant)
    others = results.Others()
    figures = measure(plan)
    print(json.dumps(results.keep("tiles", {"others_cores": others.cores(), **figures})["tiles"], indent=1))


if __name__ == "__main__":
    main()
