"""`echocast archive`: make an archive from radar files, look at one, or make one up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from model.core.errors import InputError, MixedGrids
from model.core.forecast import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.data.archive import DESCRIPTION, Archive, ArchiveWriter, frame_path
from model.data.synth import DEFAULT_START, WEATHERS, storms, synthesise, synthetic_grid
from model.readers import read

MINUTES_PER_DAY = 1440
Item = TypeVar("Item")


class Size(click.ParamType[tuple[int, int]]):
    """`384` or `480x640` (rows x columns)."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            self.fail(f"{value!r} is not a size: give 384, or 480x640 (rows x columns)", param, ctx)
        return int(parts[0]), int(parts[-1])


@click.group()
def archive() -> None:
    """Archives of radar frames to train and verify on."""


@archive.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), default=24, show_default=True, help="Number of frames.")
@click.option("--days", type=click.IntRange(1), help="Whole days instead, each with weather of its own.")
@click.option("--size", type=Size(), default="384", show_default=True, help="Pixels: 384, or 480x640.")
@click.option("--step", type=click.FloatRange(0.5, 60), default=5.0, show_default=True, help="Minutes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same storms.")
@click.option("--weather", type=click.Choice(list(WEATHERS)), default="frontal", show_default=True)
@click.option("--no-data", "sectors", type=click.IntRange(0, 12), default=0, help="Sectors that the radar cannot see.")
def synth(
    out: Path,
    frames: int,
    days: int | None,
    size: tuple[int, int],
    step: float,
    seed: int,
    weather: str,
    sectors: int,
) -> None:
    """Make up storms that move, grow and decay, and write them to OUT.

    OUT ending in .nc is one CF-netCDF file; anything else is an archive's folder.
    """
    if out.suffix == ".nc":
        if days is not None:
            raise click.UsageError("--days makes an archive: name a folder instead of a .nc file")
        sequence = synthesise(
            frames=frames,
            shape=size,
            step_minutes=step,
            seed=seed,
            weather=WEATHERS[weather](),
            no_data_sectors=sectors,
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        write_netcdf(sequence, out)
        click.echo(f"{out}: {len(sequence)} frames of {size[0]} x {size[1]} pixels")
        return
    if days is not None and sectors:
        raise click.UsageError("--no-data goes with --frames, not with --days")
    if days is None:
        sequences: Iterable[FrameSequence] = [
            synthesise(
                frames=frames,
                shape=size,
                step_minutes=step,
                seed=seed,
                weather=WEATHERS[weather](),
                no_data_sectors=sectors,
            )
        ]
        total = frames
    else:
        sequences = _synthetic_days(days, size, step, seed)
        total = days * round(MINUTES_PER_DAY / step)
    written = _write_all(sequences, out, step, total, {"source": f"Echocast synthetic storms, seed {seed}"})
    click.echo(f"{out}: {written} frames of {size[0]} x {size[1]} pixels")


def _synthetic_days(days: int, size: tuple[int, int], step: float, seed: int) -> Iterator[FrameSequence]:
    """Frames one by one; each day has a seed and a kind of weather of its own."""
    grid = synthetic_grid(size, 1000.0)
    midnight = DEFAULT_START.astype("datetime64[D]")
    kinds = list(WEATHERS.values())
    for day in range(days):
        sky = storms(grid, step_minutes=step, seed=seed + day, weather=kinds[(seed + day) % len(kinds)]())
        for frame in range(round(MINUTES_PER_DAY / step)):
            time = (midnight + day).astype("datetime64[ns]") + np.timedelta64(round(frame * step * 60), "s")
            yield FrameSequence(rain_rate=next(sky)[None], times=np.array([time]), grid=grid)


def _write_all(
    sequences: Iterable[FrameSequence], out: Path, step: float, total: int, attributes: dict[str, str]
) -> int:
    written = 0
    with ExitStack() as stack:
        writer: ArchiveWriter | None = None
        frames = (
            (sequence.grid, time, rain)
            for sequence in sequences
            for time, rain in zip(sequence.times, sequence.rain_rate, strict=True)
        )
        for grid, time, rain in _progress(frames, total, "frames"):
            writer = writer or stack.enter_context(ArchiveWriter(out, grid, step, attributes))
            writer.append(np.datetime64(time), rain)
            written += 1
    return written


@dataclass
class _Import:
    """One run of `archive import`: frames wait until the time step is known, then they are written."""

    root: Path
    step_minutes: float | None
    grid: Grid | None
    attributes: Mapping[str, str]
    waiting: list[FrameSequence] = field(default_factory=list)
    writer: ArchiveWriter | None = None
    written: int = 0
    skipped: int = 0

    def check_grid(self, sequence: FrameSequence) -> None:
        """Raise MixedGrids unless the frames lie on the archive's grid, which is that of the first frames."""
        self.grid = self.grid or sequence.grid
        if not self.grid.matches(sequence.grid):
            raise MixedGrids("it lies on another grid than the archive", mend="Import it into one of its own")

    def add(self, sequence: FrameSequence) -> None:
        """Write the frames, or let them wait; a few, for a frame of a continent takes 100 MB."""
        self.waiting.append(sequence)
        if self.writer is None and self.step_minutes is None:
            steps = _steps_of(self.waiting)
            if steps.size < 2 or (steps.size < 4 and np.unique(steps).size == steps.size):
                return
        self.flush()

    def flush(self) -> None:
        """Write the frames that wait.

        Raises:
            InputError: the time step cannot be known from one frame.
        """
        if self.waiting and self.writer is None and self.step_minutes is None:
            steps = _steps_of(self.waiting)
            if not steps.size:
                raise InputError(
                    "only one valid time was found, so the time step is not known",
                    where="FILES",
                    mend="Give more files, or --step MINUTES",
                )
            self.step_minutes = float(steps.min())
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            self._write(one)

    def _write(self, sequence: FrameSequence) -> None:
        if self.writer is None:
            if self.step_minutes is None:
                raise ValueError("frames are written once the time step is known")
            self.writer = ArchiveWriter(
                self.root, sequence.grid, self.step_minutes, {**sequence.attributes, **self.attributes}
            )
        for time, rain in zip(sequence.times, sequence.rain_rate, strict=True):
            if frame_path(self.root, time).exists():
                self.skipped += 1
            else:
                self.writer.append(np.datetime64(time), rain)
                self.written += 1


def _steps_of(sequences: Sequence[FrameSequence]) -> NDArray[np.float64]:
    """Minutes between the valid times seen."""
    times = np.unique(np.concatenate([sequence.times for sequence in sequences]))
    return np.asarray(np.diff(times) / np.timedelta64(1, "s"), np.float64) / 60


@archive.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The archive.")
@click.option("--variable", help="Variable to read, where a file has several.")
@click.option("--zr", help="Z-R relation for reflectivity; default: the format's own.")
@click.option("--step", type=click.FloatRange(0.5, 60), help="Minutes between frames; default: as found.")
@click.option("--source", help="Whose data this is, for the card of what is trained on it.")
@click.option("--licence", help="Under which licence: kept in archive.json.")
def import_(
    files: tuple[Path, ...],
    out: Path,
    variable: str | None,
    zr: str | None,
    step: float | None,
    source: str | None,
    licence: str | None,
) -> None:
    """Read radar FILES (or folders of them) into the archive --out, one at a time.

    May be run again: frames that the archive has are left alone. A file that cannot be read is named and
    passed over.
    """
    paths = _expanded(files)
    kept = Archive(out) if (out / DESCRIPTION).exists() else None
    named = {key: value for key, value in (("source", source), ("licence", licence)) if value}
    work = _Import(out, kept.step_minutes if kept and step is None else step, kept.grid if kept else None, named)
    bad = 0
    for path in _progress(paths, len(paths), "files"):
        try:
            sequence = read([path], variable=variable, zr=zr)
            work.check_grid(sequence)
        except InputError as error:
            bad += 1
            place = "" if str(path) in str(error) else f"{path}: "
            click.echo(f"passed over: {place}{error}", err=True)
            continue
        work.add(sequence)
    work.flush()
    click.echo(f"{out}: {work.written} frames written, {work.skipped} there already, {bad} files passed over")
    if work.writer is None:
        raise InputError(f"none of {len(paths)} files could be read", where="FILES", mend="See the lines above")


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Files as given; a folder stands for all files below it, by name."""
    paths: list[Path] = []
    for path in files:
        paths += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise InputError("there are no files in it", where=str(files[0]), mend="Name radar files")
    return paths


@archive.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(folder: Path, as_json: bool) -> None:
    """What the archive in FOLDER holds: days, frames, gaps, grid."""
    found = Archive(folder)
    times = found.times
    step = np.timedelta64(round(found.step_minutes * 60), "s")
    days = np.unique(times.astype("datetime64[D]"))
    same_day = np.diff(times.astype("datetime64[D]")) == np.timedelta64(0, "D")
    missing = np.maximum(np.round(np.diff(times)[same_day] / step).astype(int) - 1, 0) if times.size else np.zeros(0)
    dy, dx = found.grid.pixel_size_m
    facts: dict[str, object] = {
        "frames": int(times.size),
        "days": int(days.size),
        "first": f"{times[0]}Z" if times.size else None,
        "last": f"{times[-1]}Z" if times.size else None,
        "step_minutes": found.step_minutes,
        "missing_within_days": int(missing.sum()),
        "rows": found.grid.shape[0],
        "columns": found.grid.shape[1],
        "pixel_size_m": [round(dy, 1), round(dx, 1)],
        "crs": found.grid.crs.name,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):20} {value}")


def _progress(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """A progress bar on stderr, on a terminal only."""
    console = Console(stderr=True)
    return track(items, what, total=total, console=console, disable=not console.is_terminal)
