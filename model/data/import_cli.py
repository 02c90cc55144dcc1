"""`echocast archive import`: radar files or PNG images into an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from model.core.errors import InputError
from model.core.progress import ProgressBar
from model.core.zr import zr_relation
from model.data.archive_import import FileReader, ImportOptions, RadarFileReader, import_files
from model.data.filename_times import TimePattern
from model.data.png_frames import ImageGrid, PixelScale, PngReader
from model.options import max_dbz_option

MAX_SKIPPED_SHOWN: Final = 20
"""Skipped files that are shown one by one; the others are counted by reason."""
MAX_NOTES_SHOWN: Final = 10
"""Notes, and reasons for skipping, that are shown one by one; the others are counted."""
IMAGE_OPTIONS: Final = ("pixel_scale", "nodata", "undetect", "crs", "bounds", "corner", "pixel_size")


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The archive.")
@click.option("--variable", help="Variable to read, where a file has several.")
@click.option("--zr", help="Z-R relation for reflectivity; default: the format's own.")
@max_dbz_option
@click.option("--step", type=click.FloatRange(0.5, 60), help="Minutes between frames; default: as found.")
@click.option("--source", help="Source of the data, for the cards of models that are trained on it.")
@click.option("--licence", help="Licence of the data, for archive.json.")
@click.option("--workers", type=click.IntRange(1), help="Processes that read; default: as cores and memory allow.")
@click.option("--pattern", help="Read PNG images with times (UTC) in their names: '%Y/%m/%d/radar_%H%M.png'.")
@click.option("--pixel-scale", metavar="UNIT:GAIN,OFFSET", help="Scale of pixel values: dbz:0.5,-32 or mm/h:0.1,0.")
@click.option("--nodata", type=click.IntRange(0), multiple=True, help="Pixel value of missing data; may be repeated.")
@click.option("--undetect", type=click.IntRange(0), multiple=True, help="Pixel value of no echo; may be repeated.")
@click.option("--crs", help="CRS of images: EPSG:32633, PROJ string or WKT; default: no location.")
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

    May be run again, also after an interruption: intact frames of the archive stay as they are. A file that cannot be
    read is reported and skipped.
    """
    paths, unmatched = _list_files(files), 0
    attributes = {key: value for key, value in (("source", source), ("licence", licence)) if value}
    read_file: FileReader = RadarFileReader(variable=variable, zr=zr, max_dbz=max_dbz)
    if pattern is not None:
        if pixel_scale is None:
            raise click.UsageError("--pattern reads images, whose pixel values need a scale: add --pixel-scale")
        if variable:
            raise click.UsageError("An image has no variables: leave --variable out")
        read_file = PngReader(
            pattern=TimePattern(pattern),
            scale=PixelScale.parse(
                pixel_scale, nodata=nodata, undetect=undetect, relation=zr_relation(zr) if zr else None, max_dbz=max_dbz
            ),
            place=ImageGrid(crs=crs, bounds=bounds, corner=corner, pixel_size=pixel_size),
        )
        attributes |= read_file.attributes
        paths, unmatched = _match_names(paths, read_file.pattern)
    elif given := [name for name in IMAGE_OPTIONS if click.get_current_context().params[name] not in (None, ())]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for images: add --pattern, or leave it out")
    options = ImportOptions(read_file=read_file, step_minutes=step, attributes=attributes)
    notes: Counter[str] = Counter()
    reasons: list[str] = []

    def on_skipped(path: Path, error: InputError) -> None:
        place = "" if str(path) in str(error) else f"{path}: "
        reasons.append(error.what)
        if len(reasons) <= MAX_SKIPPED_SHOWN:
            click.echo(f"skipped: {place}{error}", err=True)

    def on_note(path: Path, note: str) -> None:
        notes[note] += 1
        if notes[note] == 1 and len(notes) <= MAX_NOTES_SHOWN:
            click.echo(f"note: {path}: {note}", err=True)

    try:
        with ProgressBar("files", len(paths)) as progress:
            counts = import_files(
                paths, out, options, workers=workers, on_file=progress.advance, on_skipped=on_skipped, on_note=on_note
            )
    except KeyboardInterrupt:
        click.echo(f"{out}: stopped. Written frames are kept: the same command continues", err=True)
        raise
    finally:
        _print_counts(reasons[MAX_SKIPPED_SHOWN:])
    repeated = notes.total() - min(len(notes), MAX_NOTES_SHOWN)
    if repeated:
        click.echo(f"note: {repeated} more like these", err=True)
    rewritten = f", {counts.rewritten} damaged frames rewritten" if counts.rewritten else ""
    click.echo(
        f"{out}: {counts.written} frames written, {counts.present} already present{rewritten}, "
        f"{counts.skipped + unmatched} files skipped"
    )


def _print_counts(reasons: Sequence[str]) -> None:
    """Print how many more files were skipped, by reason."""
    kinds = Counter(reasons).most_common()
    for reason, files in kinds[:MAX_NOTES_SHOWN]:
        click.echo(f"skipped: {files} more: {reason}", err=True)
    if others := sum(files for _, files in kinds[MAX_NOTES_SHOWN:]):
        click.echo(f"skipped: {others} more, for other reasons", err=True)


def _list_files(files: Sequence[Path]) -> list[Path]:
    """Return the files, and all files below folders, by name."""
    paths: list[Path] = []
    for path in files:
        paths += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise InputError("the folder has no files", where=str(files[0]), hint="Name radar files")
    return paths


def _match_names(paths: Sequence[Path], pattern: TimePattern) -> tuple[list[Path], int]:
    """Return the files whose names match the pattern, by valid time, and the number of the other files.

    Raises
    ------
    InputError
        No name matches.
    """
    times = {path: time for path in paths if (time := pattern.parse(path)) is not None}
    unmatched = [path for path in paths if path not in times]
    if not times:
        raise InputError(
            f"none of {len(paths)} names matches it, for example {unmatched[0].name}",
            where=f"--pattern {pattern.text}",
            hint="Write the names with %Y %m %d %H %M for the time and * for what varies, and folders if they hold "
            "the date",
        )
    if unmatched:
        text = f"skipped: {len(unmatched)} names do not match --pattern {pattern.text}, the first is {unmatched[0]}"
        click.echo(text, err=True)
    return sorted(times, key=lambda path: (times[path], str(path))), len(unmatched)
