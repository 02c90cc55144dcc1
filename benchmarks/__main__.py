"""`make bench`: how long a nowcast takes, as ratios against a peer in the same run.

From radar frames in memory to the forecast written as a file: 5 frames of 640 x 710 at 5 min, 12 steps. The peer is
pysteps (Lucas-Kanade motion and semi-Lagrangian extrapolation), where it is installed; its file is written by us.
Runs alternate, the medians are compared, and the machine is named.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.core.catalog import Catalog
from model.core.forecast import Forecast, write_netcdf
from model.core.sequence import FrameSequence
from model.data.synth import synthesise
from model.runtime.load import load_predictor
from model.runtime.together import nowcast

SHAPE = (640, 710)
FRAMES = 5
STEPS = 12
RUNS = 5

Task = Callable[[FrameSequence, Path], None]


def echocast_task(name: str) -> Task:
    """A nowcast with one of our models, loaded beforehand as a worker does."""
    predictor = load_predictor(Catalog().find(name))
    return lambda frames, out: write_netcdf(nowcast(frames, predictor, STEPS), out)


def pysteps_task(frames: FrameSequence, out: Path) -> None:
    """pysteps' Lucas-Kanade and extrapolation, on decibels as its guide does."""
    from pysteps import motion, nowcasts
    from pysteps.utils import transformation

    decibels, _ = transformation.dB_transform(np.nan_to_num(frames.rain_rate[-3:]), threshold=0.1, zerovalue=-15.0)
    velocity = motion.get_method("LK")(decibels)
    rain = nowcasts.get_method("extrapolation")(frames.rain_rate[-1], velocity, STEPS)
    forecast = Forecast(
        rain_rate=rain.astype(np.float32),
        reference_time=frames.reference_time,
        lead_minutes=5.0 * np.arange(1, STEPS + 1),
        grid=frames.grid,
        attributes={"model": "pysteps"},
    )
    write_netcdf(forecast, out)


def main() -> None:
    """Time every task in turn and print JSON."""
    frames = synthesise(frames=FRAMES, shape=SHAPE, step_minutes=5.0, seed=1)
    tasks: dict[str, Task] = {name: echocast_task(name) for name in ("extrapolation", "rain-ms-predrnn")}
    if importlib.util.find_spec("pysteps"):
        tasks["pysteps Lucas-Kanade + extrapolation"] = pysteps_task
    else:
        print("pysteps is not installed: no peer to compare with. pip install pysteps", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS + 1):  # the first run warms up
            for name, task in tasks.items():
                began = time.perf_counter()
                task(frames, Path(folder) / "nowcast.nc")
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    peer = medians.get("pysteps Lucas-Kanade + extrapolation")
    answer = {
        "task": f"{FRAMES} frames of {SHAPE[0]} x {SHAPE[1]} at 5 min to a written file of {STEPS} steps",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "wet_percent": round(100 * float((np.nan_to_num(frames.rain_rate[-1]) >= 0.1).mean()), 1),
        "models": {
            name: {
                "median_s": round(median, 3),
                "min_s": round(min(seconds[name][1:]), 3),
                "max_s": round(max(seconds[name][1:]), 3),
                **({"peer_over_this": round(peer / median, 2)} if peer else {}),
            }
            for name, median in medians.items()
        },
    }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
