"""`echocast archive`: import, inspect, split and synthesise archives of radar frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
import numpy as np

from model.core.atomic import translate_write_errors
from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.progress import ProgressBar
from model.core.sequence import FrameSequence
from model.data.archive import Archive
from model.data.archive_info import archive_facts, describe_part, format_facts, pixel_facts, plot_histogram
from model.data.archive_writer import ArchiveWriter
from model.data.hko7_tree import ATTRIBUTES, adopt_hko7
from model.data.import_cli import import_
from model.data.integrity import check_archive
from model.data.pixel_statistics import count_pixels, frames_by_block
from model.data.random_split import GAP_MINUTES, random_split, split_from_lists
from model.data.split import SPLIT, write_split
from model.data.synthetic_storms import DEFAULT_START, WEATHERS, storms, synthesise, synthetic_grid
from model.options import Size

MINUTES_PER_DAY = 1440
MAX_DAMAGED_SHOWN = 10


@click.group()
def archive() -> None:
    """Manage archives of radar frames for training and verification."""


@archive.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), default=24, show_default=True, help="Number of frames.")
@click.option("--days", type=click.IntRange(1), help="Number of whole days instead, each with its own weather.")
@click.option("--size", type=Size(), default="384", show_default=True, help="Pixels: 384, or 480x640.")
@click.option("--step", type=click.FloatRange(0.5, 60), default=5.0, show_default=True, help="Minutes between frames.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same storms.")
@click.option("--weather", type=click.Choice(list(WEATHERS)), default="frontal", show_default=True)
@click.option(
    "--no-data", "sectors", type=click.IntRange(0, 12), default=0, help="Number of sectors without radar coverage."
)
def synth(
    out: Path, frames: int, days: int | None, size: tuple[int, int], step: float, seed: int, weather: str, sectors: int
) -> None:
    """Synthesise storms that move, grow and decay, and write them to OUT.

    If OUT ends in .nc, it is one CF-netCDF file; otherwise the folder of an archive.
    """
    synthesise_frames = partial(
        synthesise,
        frames=frames,
        shape=size,
        step_minutes=step,
        seed=seed,
        weather=WEATHERS[weather](),
        no_data_sectors=sectors,
    )
    if out.suffix == ".nc":
        if days is not None:
            raise click.UsageError("--days makes an archive: name a folder instead of a .nc file")
        sequence = synthesise_frames()
        with translate_write_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_netcdf(sequence, out)
        click.echo(f"{out}: {len(sequence)} frames of {size[0]} x {size[1]} pixels")
        return
    if days is not None and sectors:
        raise click.UsageError("--no-data goes with --frames, not with --days")
    if days is None:
        sequences: Iterable[FrameSequence] = [synthesise_frames()]
        total = frames
    else:
        sequences = _synthetic_days(days, size, step, seed)
        total = days * round(MINUTES_PER_DAY / step)
    written = _write_frames(sequences, out, step, total, {"source": f"Echocast synthetic storms, seed {seed}"})
    click.echo(f"{out}: {written} frames of {size[0]} x {size[1]} pixels")


def _synthetic_days(days: int, size: tuple[int, int], step: float, seed: int) -> Iterator[FrameSequence]:
    """Yield frames one by one; each day has its own seed and kind of weather."""
    grid = synthetic_grid(size, 1000.0)
    midnight = DEFAULT_START.astype("datetime64[D]")
    kinds = list(WEATHERS.values())
    for day in range(days):
        sky = storms(grid, step_minutes=step, seed=seed + day, weather=kinds[(seed + day) % len(kinds)]())
        for frame in range(round(MINUTES_PER_DAY / step)):
            time = (midnight + day).astype("datetime64[ns]") + np.timedelta64(round(frame * step * 60), "s")
            yield FrameSequence(rain_rate=next(sky)[None], times=np.array([time]), grid=grid)


def _write_frames(
    sequences: Iterable[FrameSequence], out: Path, step: float, total: int, attributes: dict[str, str]
) -> int:
    written = 0
    with ExitStack() as stack:
        writer: ArchiveWriter | None = None
        progress = stack.enter_context(ProgressBar("frames", total))
        for sequence in sequences:
            writer = writer or stack.enter_context(ArchiveWriter(out, sequence.grid, step, attributes))
            for time, rain in zip(sequence.times, sequence.rain_rate, strict=True):
                writer.append(np.datetime64(time), rain)
                written += 1
                progress.advance()
    return written


archive.add_command(import_)


@archive.command()
@click.argument("folder", type=click.Path(path_type=Path))
def adopt(folder: Path) -> None:
    """Adopt the official HKO-7 tree in FOLDER as an archive: describe it in archive.json, with checksums.

    FOLDER holds radarPNG/, radarPNG_mask/ and mask_dat.npz. Existing files are not changed.
    """
    with ProgressBar("frames") as progress:
        report = adopt_hko7(folder, progress.advance)
    _print_damaged(report.damaged)
    click.echo(f"{folder}: {report.intact} frames of HKO-7, {len(report.damaged)} damaged frames skipped")
    click.echo(f"Licence: {ATTRIBUTES['licence']}")


@archive.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all gaps and the histogram.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the histogram of rain rates as this PNG.")
@click.option(
    "--check", "check_files", is_flag=True, help="Compare every file with its checksum; exit code 2 if one is damaged."
)
@click.option("--quick", is_flag=True, help="Read no frames: no wet fraction, no histogram.")
def info(folder: Path, as_json: bool, picture: Path | None, check_files: bool, quick: bool) -> None:
    """Show what the archive in FOLDER holds: days, frames, gaps, grid, split, wet fraction."""
    if quick and picture:
        raise click.UsageError("--picture needs the frames: leave --quick out")
    found = Archive(folder)
    facts = archive_facts(found)
    if not quick:
        with ProgressBar("frames", found.times.size) as progress:
            counts = count_pixels(found, progress.advance)
        facts |= pixel_facts(counts)
        if picture:
            plot_histogram(found, counts.total, picture)
    report = None
    if check_files:
        with ProgressBar("checksums", found.times.size) as progress:
            report = check_archive(found, progress.advance)
        damaged = [str(error) for error in report.damaged]
        facts["check"] = {"intact": report.intact, "damaged": damaged, "without_checksum": report.without_checksum}
    click.echo(json.dumps(facts) if as_json else "\n".join(format_facts(facts)))
    _print_damaged(report.damaged if report else [] if quick else counts.damaged)
    if report and report.damaged:
        raise InputError(
            f"{len(report.damaged)} files are damaged",
            where=str(folder),
            hint="Import their files again, or delete them: their frames then count as missing",
        )


def _print_damaged(damaged: Sequence[InputError]) -> None:
    for error in damaged[:MAX_DAMAGED_SHOWN]:
        click.echo(f"damaged: {error}", err=True)
    if len(damaged) > MAX_DAMAGED_SHOWN:
        click.echo(f"damaged: {len(damaged) - MAX_DAMAGED_SHOWN} more", err=True)


@archive.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Share of the days.")
@click.option("--valid", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of the days.")
@click.option("--test", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of the days.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same days.")
@click.option("--hours", type=click.IntRange(1, 24), help="Blocks of this many hours instead of days: for few days.")
@click.option(
    "--gap",
    type=click.FloatRange(0, 1440),
    default=GAP_MINUTES,
    show_default=True,
    help="With --hours: minutes left out between blocks of different parts.",
)
@click.option(
    "--lists",
    nargs=3,
    type=click.Path(path_type=Path),
    metavar="TRAIN VALID TEST",
    help="Lists of days instead, in HKO-7's format.",
)
@click.option("--replace", is_flag=True, help="Replace the existing split.")
def split(
    folder: Path,
    train: float,
    valid: float,
    test: float,
    seed: int,
    hours: int | None,
    gap: float,
    lists: tuple[Path, Path, Path] | None,
    replace: bool,
) -> None:
    """Split the archive in FOLDER by day, for training, validation and test.

    Days are drawn at random, stratified by their rain, or come from --lists. With --hours, blocks of hours are drawn
    instead.
    """
    if hours is not None and gap >= 60 * hours:
        raise click.UsageError(
            f"--gap {gap:g} leaves nothing of a block of {hours} h. Give a shorter gap, or more hours"
        )
    if hours is not None and lists:
        raise click.UsageError("--lists name the days: leave --hours out")
    found = Archive(folder)
    if found.parts() and not replace:
        what = "it already has a split, and earlier scores would belong to other days"
        raise InputError(what, where=str(folder / SPLIT), hint="Keep it, or give --replace")
    if lists:
        parts = split_from_lists(*lists)
    else:
        with ProgressBar("frames", found.times.size) as progress:
            counts = count_pixels(found, progress.advance, frames_by_block(found, hours, gap) if hours else None)
        _print_damaged(counts.damaged)
        fractions = {"train": train, "valid": valid, "test": test}
        parts = random_split(found, fractions, counts, seed, gap_minutes=gap if hours else 0.0)
    write_split(folder, parts)
    facts = archive_facts(found)
    for name, part in facts["split"].items():
        click.echo(f"{name}: {describe_part(part)}")
    unassigned = facts["frames"] - sum(part["frames"] for part in facts["split"].values())
    if unassigned:
        click.echo(f"in no part: {unassigned} frames")
