"""Radar files -> FrameSequence. The format is known by content, never by the file's name; one compression is undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.core.errors import InputError, TooLarge
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ
from model.core.zr import zr_relation
from model.readers.compressed import unpacked
from model.readers.join import checked, join_frames
from model.readers.plausible import check_max_dbz
from model.readers.registry import Reader, reader_of
from model.readers.source import MAX_TOTAL_PIXELS, Budget, Options, Source

__all__ = ["read", "read_sound"]

MAX_LEFT_OUT_NAMED = 5


def read(
    paths: Sequence[Path],
    *,
    names: Sequence[str] | None = None,
    variable: str | None = None,
    zr: str | None = None,
    max_dbz: float | None = None,
    max_pixels: int | None = None,
) -> FrameSequence:
    """Rain rate (mm h-1) of radar files of any known format, as one sequence sorted by valid time.

    `names` are what the user calls the files, where paths are temporary (uploads): they stand in every
    message, and give the time where a format has it in the name only. The files around an upload are never
    looked at; around a path without a name, HKO-7's masks and `archive.json` are. gzip, bzip2 and zip (of one file)
    around a file are undone. `variable` chooses among a file's variables. `zr` names the Z-R relation that turns
    reflectivity into rain (default: the format's own), and `max_dbz` the reflectivity above which an echo is hail and
    counts as that (default: 55 dBZ); files of rain rates and accumulations need neither, and leave them aside.
    `max_pixels` is the most that all files may hold together, frames x rows x columns.

    Values that no atmosphere has are missing (`plausible`). Where reflectivity exceeded the cap, the attribute
    `capped_pixels` counts it.

    Valid times that are missing at the most common step are named in the attribute `gaps`, frames in which no
    pixel holds data in `frames_without_data`, by their files.

    Raises
    ------
    InputError
        A file cannot be read, or is a forecast (NotARadarFile), lies on another grid (MixedGrids),
        repeats a valid time (DuplicateTimes), holds no rain or not the variable asked for (UnknownVariable),
        declares an unreasonable size or more than `max_pixels` (TooLarge), or needs an extra that is not
        installed (MissingDependency).
    """
    return _joined(*_asked(paths, names, variable, zr, max_pixels, max_dbz))


def read_sound(
    paths: Sequence[Path],
    *,
    names: Sequence[str] | None = None,
    variable: str | None = None,
    zr: str | None = None,
    max_dbz: float | None = None,
    max_pixels: int | None = None,
) -> FrameSequence:
    """`read`, without the files that cannot be read, lie on another grid than most, or repeat a valid time, where two
    frames remain.

    The `notes` of the sequence name what was left out, and why; the last of the files first.

    Raises
    ------
    InputError
        As `read`; a path at which there is nothing is an error always, and so is too much.
    """
    sources, options = _asked(paths, names, variable, zr, max_pixels, max_dbz)
    try:
        return _joined(sources, options)
    except TooLarge:
        raise
    except InputError:
        if len(paths) < 3 or not all(Path(path).is_file() for path in paths):
            raise
        parts, left_out = _sound_parts(sources, options)
        if not left_out or sum(len(frames) for _, frames in parts) < 2:
            raise
        named = [f"{source.name} ({left_out[source]})" for source in reversed(sources) if source in left_out]
        more = f" and {len(named) - MAX_LEFT_OUT_NAMED} more" if len(named) > MAX_LEFT_OUT_NAMED else ""
        sequence = join_frames(iter(parts))
        note = f"left out: {', '.join(named[:MAX_LEFT_OUT_NAMED])}{more}"
        return replace(sequence, notes=(*sequence.notes, note))


def _joined(sources: Sequence[Source], options: Options) -> FrameSequence:
    with unpacked(sources, options.budget) as plain:
        return join_frames(_parts(plain, options))


Parts = list[tuple[Source, FrameSequence]]


def _sound_parts(sources: Sequence[Source], options: Options) -> tuple[Parts, dict[Source, str]]:
    """Frames of the files that can be read together, and why others are left out.

    The readers have all files at once, for some belong together: frames and their masks, or their coordinates.
    """
    sound, left_out = list(sources), dict[Source, str]()
    parts: Parts | None = None
    while parts is None:
        try:
            anew = replace(options, budget=Budget(max_pixels=options.budget.max_pixels))
            with unpacked(sound, anew.budget) as plain:
                parts = list(_parts(plain, anew))
        except TooLarge:
            raise
        except InputError as error:
            blamed = [source for source in sound if source.name in error.where]
            if not blamed or len(sound) < 3:
                raise
            culprit = max(blamed, key=lambda source: len(source.name))
            sound.remove(culprit)
            left_out[culprit] = error.what
    by_name = {source.name: source for source in sources}
    parts, others = _on_one_grid(parts)
    left_out |= {by_name[source.name]: "it lies on another grid" for source in others}
    once: Parts = []
    for source, frames in parts:
        repeated = [other.name for other, held in once if np.isin(frames.times, held.times).any()]
        if repeated:
            left_out[by_name[source.name]] = f"{repeated[0]} holds its valid time"
        else:
            once.append((source, frames))
    return once, left_out


def _on_one_grid(parts: Parts) -> tuple[Parts, list[Source]]:
    """Those on the grid of most frames, of two the newer ones', and the files of the others."""
    grids = [next(i for i, (_, other) in enumerate(parts) if other.grid.matches(frames.grid)) for _, frames in parts]
    weight: dict[int, tuple[int, np.datetime64]] = {}
    for grid, (_, frames) in zip(grids, parts, strict=True):
        count, newest = weight.get(grid, (0, frames.times[-1]))
        weight[grid] = (count + len(frames), max(newest, frames.times[-1]))
    most = max(weight, key=lambda grid: weight[grid], default=0)
    one = [part for part, grid in zip(parts, grids, strict=True) if grid == most]
    return one, [source for (source, _), grid in zip(parts, grids, strict=True) if grid != most]


def _asked(
    paths: Sequence[Path],
    names: Sequence[str] | None,
    variable: str | None,
    zr: str | None,
    max_pixels: int | None,
    max_dbz: float | None,
) -> tuple[list[Source], Options]:
    """What is to be read, and how."""
    if names is not None and len(names) != len(paths):
        raise InputError(f"{len(paths)} files came with {len(names)} names", where="names", hint="Name each file once")
    labels = [str(path) for path in paths] if names is None else list(names)
    uploads = names is not None
    sources = [Source(path=Path(path), name=name, upload=uploads) for path, name in zip(paths, labels, strict=True)]
    most = MAX_TOTAL_PIXELS if max_pixels is None else min(max_pixels, MAX_TOTAL_PIXELS)
    cap = DEFAULT_MAX_DBZ if max_dbz is None else check_max_dbz(max_dbz)
    options = Options(variable=variable, zr=zr, max_dbz=cap, budget=Budget(max_pixels=most))
    if zr is not None:
        zr_relation(zr)  # an unknown name is refused before any file is read
    return sources, options


def _parts(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames by file; the files of one format go to its reader together."""
    groups: dict[str, tuple[Reader, list[Source]]] = {}
    for source in sources:
        reader = reader_of(source)
        groups.setdefault(reader.title, (reader, []))[1].append(source)
    for reader, members in groups.values():
        yield from checked(reader.read_frames(members, options))
