"""One kind of nowcast that is timed: whose, of which frames, to a written file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.core.catalog import ModelInfo, open_catalog
from model.core.forecast import Forecast, ForecastWriter, write_netcdf
from model.core.manifest import LayerProfile
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H
from model.readers import read

PYSTEPS: Final = "pysteps"
"""The model that is pysteps' Lucas-Kanade motion and semi-Lagrangian extrapolation."""
PYSTEPS_FRAMES: Final = 3

Nowcast = Callable[[FrameSequence, int, Path], None]
"""Makes a nowcast from frames, so many steps ahead, and writes it to a file."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """`model`: a reference, or `pysteps`. `files`: its frames; with `reads` they are read from disk in each run, else
    once beforehand. `threads`: 0 is one for each core. `packages`: a folder of more packages."""

    model: str
    files: tuple[str, ...]
    steps: int = 12
    reads: bool = False
    variant: str = "auto"
    device: str = "auto"
    threads: int = 0
    packages: str | None = None

    @property
    def name(self) -> str:
        """As a table has it."""
        return self.model if self.variant == "auto" else f"{self.model} {self.variant}"

    def environment(self) -> dict[str, str]:
        """What the runtime, and the libraries that it stands on, take from the environment."""
        threads = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        return {
            "ECHOCAST_VARIANT": self.variant,
            "ECHOCAST_DEVICE": self.device,
            "ECHOCAST_THREADS": str(self.threads),
            **threads,
        }

    def as_json(self) -> dict[str, Any]:
        """The fields, for a child process."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A task that can be run, and what is known of it. `run(out)` makes the nowcast and writes it to `out`."""

    run: Callable[[Path], None]
    reference: str
    variant: str
    shape: tuple[int, int]
    frames: int
    wet_percent: float
    floating_point_operations: float
    """Of the network over the whole grid, dry areas counted as if they were computed; 0 of a baseline."""


def prepare(task: Task) -> Ready:
    """Load the model and, unless each run reads them, the frames.

    Raises
    ------
    InputError
        The model does not exist or does not fit, its variant is not what was asked for, or a file cannot
        be read.
    """
    paths = [Path(file) for file in task.files]
    frames = read(paths)
    held = None if task.reads else frames
    shape = frames.grid.shape
    wet = 100 * float((np.nan_to_num(frames.rain_rate[-1]) >= DRY_RAIN_RATE_MM_H).mean())
    nowcast: Nowcast = _by_pysteps
    info, variant = None, "Lucas-Kanade on CPU"
    if task.model != PYSTEPS:
        info = open_catalog(Path(task.packages) if task.packages else None).find(task.model)
        nowcast, variant = _by_echocast(info, task.variant)

    def run(out: Path) -> None:
        nowcast(read(paths) if held is None else held, task.steps, out)

    return Ready(
        run=run,
        reference=info.reference if info else task.model,
        variant=variant,
        shape=shape,
        frames=info.input_frames if info else PYSTEPS_FRAMES,
        wet_percent=wet,
        floating_point_operations=operations(info, shape, task.steps) if info else 0.0,
    )


def _by_echocast(info: ModelInfo, variant: str) -> tuple[Nowcast, str]:
    """A nowcast with one of our models, loaded beforehand as a worker does; and which variant runs."""
    from model.runtime.device import EngineOptions
    from model.runtime.load import load_predictor
    from model.runtime.request import ForecastRequest

    predictor = load_predictor(info, options=EngineOptions.from_environment().model_copy(update={"variant": variant}))

    def nowcast(frames: FrameSequence, steps: int, out: Path) -> None:
        request = ForecastRequest.fit(frames, info, steps)
        with ForecastWriter(out, predictor.header(request)) as writer:
            for event in predictor.forecast([request]):
                if event.error is not None:
                    raise event.error
                if event.frame is not None:
                    writer.append(event.frame)

    return nowcast, predictor.variant


def _by_pysteps(frames: FrameSequence, steps: int, out: Path) -> None:
    """pysteps' forecast, in our file, so that both write the same."""
    from model.verify.pysteps_child import extrapolate

    newest = frames.last(PYSTEPS_FRAMES)
    forecast = Forecast(
        rain_rate=extrapolate(newest.rain_rate, steps),
        reference_time=frames.reference_time,
        lead_minutes=frames.time_step_minutes() * np.arange(1, steps + 1, dtype=np.float64),
        grid=frames.grid,
        attributes={"model": PYSTEPS},
    )
    write_netcdf(forecast, out)


def operations(info: ModelInfo, shape: tuple[int, int], steps: int) -> float:
    """Floating-point operations of its network for one nowcast (a multiply-add is two); 0 of a baseline.

    A recurrent network takes a step for each frame and each lead but one, the newest frame's answer being the first
    lead; a network that reads all frames at once runs until it has answered as many as are asked for.
    """
    recurrent = any(layer.state_values_per_pixel for layer in info.layers)
    runs = info.input_frames - 1 + steps if recurrent else -(-steps // info.input_frames)
    return per_run(info.layers, shape) * runs


def per_run(layers: tuple[LayerProfile, ...], shape: tuple[int, int]) -> float:
    """Floating-point operations of one time step, or of one run of a whole-sequence network."""
    return 2.0 * sum(layer.macs_per_pixel for layer in layers) * shape[0] * shape[1]


def task_of(fields: dict[str, Any]) -> Task:
    """The inverse of `Task.as_json`."""
    task = Task(**fields)
    return replace(task, files=tuple(task.files))
