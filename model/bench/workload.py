"""A workload of a benchmark: nowcasts with one model from given frames to a written file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.core.catalog import open_catalog
from model.core.forecast_file import Forecast, ForecastWriter, write_netcdf
from model.core.model_info import ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H
from model.readers import read

PYSTEPS: Final = "pysteps"
"""Reference of pysteps' Lucas-Kanade motion with semi-Lagrangian extrapolation."""
PYSTEPS_FRAMES: Final = 3

WriteNowcast = Callable[[FrameSequence, int, Path], None]
"""Computes a nowcast from frames for a number of lead steps, and writes a file."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Model, frames and settings of a benchmark.

    `model`: a reference, or `pysteps`. `files`: the frames; with `reads` each run reads them from disk, else they are
    read once. `threads`: 0 for one per core. `packages`: a folder of further packages.
    """

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
        """Return the name for tables."""
        return self.model if self.variant == "auto" else f"{self.model} {self.variant}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables for the runtime and the libraries below it."""
        threads = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        return {
            "ECHOCAST_VARIANT": self.variant,
            "ECHOCAST_DEVICE": self.device,
            "ECHOCAST_THREADS": str(self.threads),
            **threads,
        }

    def as_json(self) -> dict[str, Any]:
        """Return the fields, for a child process."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Workload:
        """Return the inverse of `as_json`."""
        return cls(**{**fields, "files": tuple(fields["files"])})


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedWorkload:
    """A workload that can run, and its properties. `run(out)` computes the nowcast and writes it to `out`."""

    run: Callable[[Path], None]
    reference: str
    variant: str
    shape: tuple[int, int]
    frames: int
    wet_percent: float
    floating_point_operations: float
    """Of the network over the whole grid, dry areas included; 0 of a baseline."""


def prepare(workload: Workload) -> PreparedWorkload:
    """Load the model and, unless each run reads them, the frames.

    Raises
    ------
    InputError
        The model does not exist or does not fit the frames, it lacks the variant, or a file cannot be read.
    """
    paths = [Path(file) for file in workload.files]
    frames = read(paths)
    frames_read = None if workload.reads else frames
    shape = frames.grid.shape
    wet = 100 * float((np.nan_to_num(frames.rain_rate[-1]) >= DRY_RAIN_RATE_MM_H).mean())
    nowcast: WriteNowcast = _by_pysteps
    info, variant = None, "Lucas-Kanade on CPU"
    if workload.model != PYSTEPS:
        info = open_catalog(Path(workload.packages) if workload.packages else None).find(workload.model)
        nowcast, variant = _by_echocast(info, workload.variant)

    def run(out: Path) -> None:
        nowcast(read(paths) if frames_read is None else frames_read, workload.steps, out)

    return PreparedWorkload(
        run=run,
        reference=info.reference if info else workload.model,
        variant=variant,
        shape=shape,
        frames=info.input_frames if info else PYSTEPS_FRAMES,
        wet_percent=wet,
        floating_point_operations=operations(info, shape, workload.steps) if info else 0.0,
    )


def _by_echocast(info: ModelInfo, variant: str) -> tuple[WriteNowcast, str]:
    """Return the nowcast with a model of Echocast, loaded in advance as by a worker; and the variant that runs."""
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
    """Write pysteps' forecast as a file like Echocast's, so that both write the same."""
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
    """Return the floating-point operations of the network for one nowcast (a multiply-add is two); 0 of a baseline.

    A recurrent network takes one step for each frame and each lead but one, because the output at the newest frame is
    the first lead. A recurrent-free network runs once for every `input_frames` leads.
    """
    recurrent = any(layer.state_values_per_pixel for layer in info.layers)
    runs = info.input_frames - 1 + steps if recurrent else -(-steps // info.input_frames)
    return 2.0 * sum(layer.macs_per_pixel for layer in info.layers) * shape[0] * shape[1] * runs
