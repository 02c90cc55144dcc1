"""`echocast archive import`: radar files, or images of one's own, into an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np

from model.core.errors import InputError
from model.core.progress import ProgressBar
from model.core.zr import zr_relation
from model.data.archive_import import FileReader, ImportOptions, RadarFileReader, import_files
from model.data.filename_times import TimePattern
from model.data.png_frames import ImageGrid, PixelScale, PngReader
from model.options import max_dbz_option

PASSED_OVER: Final = 20
"""Files that cannot be read and are named; the others are counted by what is wrong with them."""
NAMED: Final = 10
"""Notes, and reasons to pass files over, that are told one by one; the others are counted."""
OF_IMAGES: Final = ("pixel_scale", "nodata", "undetect", "crs", "bounds", "corner", "pixel_size")


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The archive.")
@click.option("--variable", help="Variable to read, where a file has several.")
@click.option("--zr", help="Z-R relation for reflectivity; default: the format's own.")
@max_dbz_option
@click.option("--step", type=click.FloatRange(0.5, 60), help="Minutes between frames; default: as found.")
@click.option("--source", help="Whose data this is, for the card of what is trained on it.")
@click.option("--licence", help="Under which licence: kept in archive.json.")
@click.option("--workers", type=click.IntRange(1), help="Processes that read; default: as cores and memory allow.")
@click.option("--pattern", help="Read PNG images, with times (UTC) in their names: '%Y/%m/%d/radar_%H%M.png'.")
@click.option("--pixel-scale", metavar="UNIT:GAIN,OFFSET", help="What a pixel is: dbz:0.5,-32 or mm/h:0.1,0.")
@click.option("--nodata", type=click.IntRange(0), multiple=True, help="Pixel value of missing data; several times.")
@click.option("--undetect", type=click.IntRange(0), multiple=True, help="Pixel value of no echo; several times.")
@click.option("--crs", help="Of images: EPSG:32633, PROJ string or WKT; default: no place.")
@click.option("--bounds", type=float, nargs=4, metavar="WEST SOUTH EAST NORTH", help="Edges of images, in the CRS.")
@click.option("--corner", type=float, nargs=2, metavar="X Y", help="Upper left corner instead, with --pixel-size.")
@click.option("--pixel-size", type=float, help="Side of a pixel, in the CRS; without --crs in metres.")
def import_(
    files: tuple[Path, ...],
    out: Path,
    variable: str | None,
    zr: str | None,
    max_dbz: float | None,
    step: float | None,
    source: str | None,
    licence: str | None,
    workers: int | None,
    pattern: str | None,
    pixel_scale: str | None,
    nodata: tuple[int, ...],
    undetect: tuple[int, ...],
    crs: str | None,
    bounds: tuple[float, float, float, float] | None,
    corner: tuple[float, float] | None,
    pixel_size: float | None,
) -> None:
    """Read radar FILES (or folders of them) into the archive --out; with --pattern and --pixel-scale, PNG images.

    May be run again, after an interruption too: frames that the archive has are left alone, if they are intact. A file
    that cannot be read is named and passed over.
    """
    paths, strangers = _expanded(files), 0
    attributes = {key: value for key, value in (("source", source), ("licence", licence)) if value}
    read_file: FileReader = RadarFileReader(variable=variable, zr=zr, max_dbz=max_dbz)
    if pattern is not None:
        if pixel_scale is None:
            raise click.UsageError("--pattern is for images, whose values need a meaning: add --pixel-scale")
        if variable:
            raise click.UsageError("An image has no variables: leave --variable out")
        read_file = PngReader(
            pattern=TimePattern(pattern),
            scale=PixelScale.parsed(
                pixel_scale,
                nodata=nodata,
                undetect=undetect,
                relation=zr_relation(zr) if zr else None,
                max_dbz=max_dbz,
            ),
            place=ImageGrid(crs=crs, bounds=bounds, corner=corner, pixel_size=pixel_size),
        )
        attributes |= read_file.attributes
        paths, strangers = _by_time(paths, read_file.pattern)
    elif given := [name for name in OF_IMAGES if click.get_current_context().params[name] not in (None, ())]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for images: add --pattern, or leave it out")
    choices = ImportOptions(read_file=read_file, step_minutes=step, attributes=attributes)
    notes: Counter[str] = Counter()
    refusals: list[str] = []

    def passed_over(path: Path, error: InputError) -> None:
        place = "" if str(path) in str(error) else f"{path}: "
        refusals.append(error.what)
        if len(refusals) <= PASSED_OVER:
            click.echo(f"passed over: {place}{error}", err=True)

    def noted(path: Path, note: str) -> None:
        notes[note] += 1
        if notes[note] == 1 and len(notes) <= NAMED:
            click.echo(f"note: {path}: {note}", err=True)

    try:
        with ProgressBar("files", len(paths)) as progress:
            counts = import_files(
                paths, out, choices, workers=workers, done=progress.advance, passed_over=passed_over, noted=noted
            )
    except KeyboardInterrupt:
        click.echo(f"{out}: stopped. What is written is kept: the same command goes on", err=True)
        raise
    finally:
        _count(refusals[PASSED_OVER:])
    repeated = notes.total() - min(len(notes), NAMED)
    if repeated:
        click.echo(f"note: {repeated} more like these", err=True)
    mended = f", {counts.mended} damaged ones written anew" if counts.mended else ""
    click.echo(
        f"{out}: {counts.written} frames written, {counts.there} there already{mended}, "
        f"{counts.passed_over + strangers} files passed over"
    )


def _count(refusals: Sequence[str]) -> None:
    """How many more files were passed over, by what is wrong with them."""
    kinds = Counter(refusals).most_common()
    for what, files in kinds[:NAMED]:
        click.echo(f"passed over: {files} more: {what}", err=True)
    if others := sum(files for _, files in kinds[NAMED:]):
        click.echo(f"passed over: {others} more, for other reasons", err=True)


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Files as given; a folder stands for all files below it, by name."""
    paths: list[Path] = []
    for path in files:
        paths += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise InputError("there are no files in it", where=str(files[0]), hint="Name radar files")
    return paths


def _by_time(paths: Sequence[Path], pattern: TimePattern) -> tuple[list[Path], int]:
    """The files whose names fit, in the order of their times, and how many do not.

    Raises
    ------
    InputError
        None does.
    """
    times: dict[Path, np.datetime64] = {}
    for path in paths:
        time = pattern.time_of(path)
        if time is not None:
            times[path] = time
    strangers = [path for path in paths if path not in times]
    if not times:
        raise InputError(
            f"none of {len(paths)} names fits it, as {strangers[0].name} does not",
            where=f"--pattern {pattern.text}",
            hint="Write names as they are with %Y %m %d %H %M for the time, * for what varies, and folders if they "
            "tell the date",
        )
    if strangers:
        click.echo(
            f"passed over: {len(strangers)} names do not fit --pattern {pattern.text}, the first is {strangers[0]}",
            err=True,
        )
    return sorted(times, key=lambda path: (times[path], str(path))), len(strangers)
