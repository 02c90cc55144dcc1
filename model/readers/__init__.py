"""Readers of radar files. Content tells the format, never the file name; one layer of compression is removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.core.errors import InputError, TooLarge
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ
from model.core.zr import zr_relation
from model.readers.decompression import decompressed
from model.readers.formats import Reader, detect_reader
from model.readers.limits import MAX_TOTAL_PIXELS, PixelBudget
from model.readers.merging import merge_frames, plausible_frames
from model.readers.no_data import check_max_dbz
from model.readers.source import ReadOptions, Source

__all__ = ["read"]

Parts = list[tuple[Source, FrameSequence]]
MAX_SKIPPED_NAMED = 5


def read(
    paths: Sequence[Path],
    *,
    names: Sequence[str] | None = None,
    variable: str | None = None,
    zr: str | None = None,
    max_dbz: float | None = None,
    max_pixels: int | None = None,
    skip_unreadable: bool = False,
    isolated: bool = False,
) -> FrameSequence:
    """Read radar files of any supported format as one sequence of rain rate (mm h-1), sorted by valid time.

    Parameters
    ----------
    paths
        The files; gzip, bzip2 and zip (of one file) are decompressed.
    names
        Names of uploaded files, whose paths are temporary. Messages use these names, and formats without a valid time
        in the content take it from the name. Files around an upload are never opened; around a path without a name,
        HKO-7's masks and `archive.json` are.
    variable
        The variable to read, where a file has several.
    zr
        The Z-R relation for reflectivity; the default is the format's own.
    max_dbz
        The hail cap (dBZ, default 55): higher reflectivity counts as the cap. Rain rates and accumulations do not use
        it.
    max_pixels
        The most pixels, frames x rows x columns, of all files together.
    skip_unreadable
        Whether to skip files that cannot be read, lie on another grid than most or repeat a valid time, as long as two
        frames remain. The `notes` of the sequence name the skipped files and the reasons, the last file first.
    isolated
        Whether this process reads these files only, and may be lost to one that crashes a library: GRIB and GeoTIFF are
        then decoded in it, and otherwise in child processes.

    Returns
    -------
    FrameSequence
        Implausible values are NaN (`model.readers.no_data`). The attribute `capped_pixels` counts the pixels above the
        hail cap, `gaps` lists valid times that are missing at the most common step, and `frames_without_data` the
        files of frames without any data.

    Raises
    ------
    NotARadarFile
        A file cannot be read, or is a forecast.
    MixedGrids
        The grids of the files differ.
    DuplicateTimes
        A valid time occurs twice.
    UnknownVariable
        A file holds no rain, or not the requested variable.
    TooLarge
        A file declares an unreasonable size, or all files more than `max_pixels`; never skipped.
    MissingDependency
        A format needs an extra that is not installed.
    """
    if names is not None and len(names) != len(paths):
        raise InputError(f"{len(paths)} files came with {len(names)} names", where="names", hint="Name each file once")
    labels = [str(path) for path in paths] if names is None else list(names)
    uploads = names is not None
    sources = [Source(path=Path(path), name=name, upload=uploads) for path, name in zip(paths, labels, strict=True)]
    most = MAX_TOTAL_PIXELS if max_pixels is None else min(max_pixels, MAX_TOTAL_PIXELS)
    cap = DEFAULT_MAX_DBZ if max_dbz is None else check_max_dbz(max_dbz)
    budget = PixelBudget(max_pixels=most)
    options = ReadOptions(variable=variable, zr=zr, max_dbz=cap, budget=budget, isolated=isolated)
    if zr is not None:
        zr_relation(zr)  # refuse an unknown name before any file is read
    try:
        with decompressed(sources, options.budget) as plain:
            return merge_frames(_parts(plain, options))
    except TooLarge:
        raise
    except InputError:
        # A path without a file is always an error, and with fewer than three files no two could agree on the third.
        if not skip_unreadable or len(paths) < 3 or not all(source.path.is_file() for source in sources):
            raise
        parts, skipped = _readable_parts(sources, options)
        if not skipped or sum(len(frames) for _, frames in parts) < 2:
            raise
        named = [f"{source.name} ({skipped[source]})" for source in reversed(sources) if source in skipped]
        more = f" and {len(named) - MAX_SKIPPED_NAMED} more" if len(named) > MAX_SKIPPED_NAMED else ""
        sequence = merge_frames(iter(parts))
        note = f"left out: {', '.join(named[:MAX_SKIPPED_NAMED])}{more}"
        return replace(sequence, notes=(*sequence.notes, note))


def _parts(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield frames by file; all files of one format go to the reader at once."""
    groups: dict[str, tuple[Reader, list[Source]]] = {}
    for source in sources:
        reader = detect_reader(source)
        groups.setdefault(reader.title, (reader, []))[1].append(source)
    for reader, members in groups.values():
        yield from plausible_frames(reader.read_frames(members, options))


def _readable_parts(sources: Sequence[Source], options: ReadOptions) -> tuple[Parts, dict[Source, str]]:
    """Return the frames of the files that can be read together, and the reason for each skipped file.

    Each try reads all remaining files at once, because some belong together: frames with their masks or coordinates.
    """
    readable, skipped = list(sources), dict[Source, str]()
    parts: Parts | None = None
    while parts is None:
        try:
            fresh = replace(options, budget=PixelBudget(max_pixels=options.budget.max_pixels))
            with decompressed(readable, fresh.budget) as plain:
                parts = list(_parts(plain, fresh))
        except TooLarge:
            raise
        except InputError as error:
            blamed = [source for source in readable if source.name in error.where]
            if not blamed or len(readable) < 3:
                raise
            culprit = max(blamed, key=lambda source: len(source.name))
            readable.remove(culprit)
            skipped[culprit] = error.what
    by_name = {source.name: source for source in sources}
    parts, others = _on_one_grid(parts)
    skipped |= {by_name[source.name]: "it lies on another grid" for source in others}
    once: Parts = []
    for source, frames in parts:
        repeated = [other.name for other, earlier in once if np.isin(frames.times, earlier.times).any()]
        if repeated:
            skipped[by_name[source.name]] = f"{repeated[0]} has the same valid time"
        else:
            once.append((source, frames))
    return once, skipped


def _on_one_grid(parts: Parts) -> tuple[Parts, list[Source]]:
    """Return the parts on the grid of most frames, of equally many the newer, and the files of the other parts."""
    grids = [next(i for i, (_, other) in enumerate(parts) if other.grid.matches(frames.grid)) for _, frames in parts]
    weight: dict[int, tuple[int, np.datetime64]] = {}
    for grid, (_, frames) in zip(grids, parts, strict=True):
        count, newest = weight.get(grid, (0, frames.times[-1]))
        weight[grid] = (count + len(frames), max(newest, frames.times[-1]))
    most = max(weight, key=lambda grid: weight[grid], default=0)
    same = [part for part, grid in zip(parts, grids, strict=True) if grid == most]
    return same, [source for (source, _), grid in zip(parts, grids, strict=True) if grid != most]
