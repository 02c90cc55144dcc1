"""Replay: radar files of the past arrive in a folder again, in the order and at the intervals in which they came."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np

from model.core.atomic import atomic_file, translate_write_errors
from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.times import basic_text
from model.readers import read
from service.feeds.clock import ReplayClock, clock_from
from service.feeds.config import NOWCAST_SUFFIX
from workers.feeds.ingest import utc

SYNTHETIC_SIDE: Final = 192
"""Rows and columns of synthetic frames, of 1 km."""
SYNTHETIC_STEP_MINUTES: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file with one frame: its valid time, the name under which it arrives, and where it lies."""

    valid_time: datetime
    name: str
    path: Path


def arrivals_of(
    paths: Sequence[Path],
    spool: Path,
    *,
    variable: str | None = None,
    zr: str | None = None,
    on_file: Callable[[], None] = lambda: None,
    on_skipped: Callable[[InputError], None],
) -> list[Arrival]:
    """Read the valid times in radar files, and return what arrives, the oldest frame first.

    A file with several frames, as archives have them, arrives as a CF-netCDF file for each.

    Parameters
    ----------
    paths
        Radar files.
    spool
        Folder for the frames of files with several.
    variable, zr
        See `model.readers.read`.
    on_file, on_skipped
        Called after each file, and with the reason for each that cannot be read.
    """
    found: list[Arrival] = []
    for path in paths:
        try:
            frames = read([path], variable=variable, zr=zr)
        except InputError as error:
            on_skipped(error)
        else:
            if len(frames) == 1:
                found.append(Arrival(valid_time=utc(frames.reference_time), name=path.name, path=path))
            else:
                found += split_frames(frames, path.stem, spool)
        on_file()
    return sorted(found, key=lambda arrival: (arrival.valid_time, arrival.name))


def split_frames(frames: FrameSequence, stem: str, spool: Path) -> Iterator[Arrival]:
    """Write each frame as a CF-netCDF file of its own to `spool`, named by `stem` and its valid time."""
    for number, moment in enumerate(frames.times):
        valid_time = utc(moment)
        name = f"{stem}-{basic_text(valid_time)}.nc"
        part = slice(number, number + 1)
        write_netcdf(replace(frames, rain_rate=frames.rain_rate[part], times=frames.times[part]), spool / name)
        yield Arrival(valid_time=valid_time, name=name, path=spool / name)


def synthetic_arrivals(start: datetime, frames: int, spool: Path) -> Iterator[Arrival]:
    """Yield frames of synthetic storms, the first of them valid at `start`, which decides the storms; one at a time."""
    from model.data.synthetic_storms import frontal, storms, synthetic_grid

    grid: Grid = synthetic_grid((SYNTHETIC_SIDE, SYNTHETIC_SIDE), 1000.0)
    first = np.datetime64(start.replace(tzinfo=None), "ns")
    step = np.timedelta64(round(SYNTHETIC_STEP_MINUTES * 60), "s")
    seed = int(start.timestamp())
    attributes = {"source": f"Echocast synthetic storms, seed {seed}"}
    sky = storms(grid, step_minutes=SYNTHETIC_STEP_MINUTES, seed=seed, weather=frontal())
    for number, rain in enumerate(islice(sky, frames)):
        times = np.array([first + number * step])
        frame = FrameSequence(rain_rate=rain[None], times=times, grid=grid, attributes=attributes)
        for arrival in split_frames(frame, "synthetic", spool):
            yield arrival
            arrival.path.unlink()


def replay(
    arrivals: Iterable[Arrival],
    folder: Path,
    *,
    speed: float,
    delay: timedelta,
    history: timedelta = timedelta(0),
    on_arrival: Callable[[Arrival, ReplayClock], None],
) -> None:
    """Put each file into a folder `delay` after its valid time, `speed` times as fast as time passes.

    Parameters
    ----------
    arrivals
        What arrives, the oldest frame first.
    folder
        Where it arrives; the clock of the replay is written there, too.
    speed, delay
        How fast, and how long after its valid time a frame arrives.
    history
        The frames of this time at the beginning are there when the replay starts.
    on_arrival
        Called after each arrival, with the clock.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    coming = iter(arrivals)
    first = next(coming, None)
    if first is None:
        return
    clock = clock_from(first.valid_time + history + delay, speed)
    with translate_write_errors(folder):
        clock.write(folder)
        for arrival in chain([first], coming):
            time.sleep(max(0.0, clock.seconds_until(arrival.valid_time + delay)))
            put(arrival, folder)
            on_arrival(arrival, clock)


def put(arrival: Arrival, folder: Path) -> None:
    """Copy a file into a folder under its name, whole or not at all."""
    with arrival.path.open("rb") as reader, atomic_file(folder / arrival.name) as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)


def radar_files(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden ones and nowcasts."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(NOWCAST_SUFFIX)
    )
