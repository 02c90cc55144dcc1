"""Radar files -> FrameSequence. The format is known by content, never by the file's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ, zr_relation
from model.readers.join import join_frames
from model.readers.plausible import check_max_dbz
from model.readers.registry import Reader, reader_of
from model.readers.source import MAX_TOTAL_PIXELS, Budget, Options, Source

__all__ = ["read"]


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
    looked at; around a path without a name, HKO-7's masks and `archive.json` are. `variable` chooses among a
    file's variables. `zr` names the Z-R relation that turns reflectivity into rain (default: the format's
    own), and `max_dbz` the reflectivity above which an echo is hail and counts as that (default: 55 dBZ); files of
    rain rates and accumulations need neither, and leave them aside. `max_pixels` is the most that all files may hold
    together, frames x rows x columns.

    Values that no atmosphere has are missing (`plausible`). Where reflectivity exceeded the cap, the attribute
    `capped_pixels` counts it.

    Valid times that are missing at the most common step are named in the attribute `gaps`, frames in which no
    pixel holds data in `frames_without_data`, by their files.

    Raises:
        InputError: a file cannot be read, or is a forecast (NotARadarFile), lies on another grid (MixedGrids),
            repeats a valid time (DuplicateTimes), holds no rain or not the variable asked for (UnknownVariable),
            declares an unreasonable size or more than `max_pixels` (TooLarge), or needs an extra that is not
            installed (MissingDependency).
    """
    if names is not None and len(names) != len(paths):
        raise InputError(f"{len(paths)} files came with {len(names)} names", where="names", mend="Name each file once")
    labels = [str(path) for path in paths] if names is None else list(names)
    uploads = names is not None
    sources = [Source(path=Path(path), name=name, upload=uploads) for path, name in zip(paths, labels, strict=True)]
    most = MAX_TOTAL_PIXELS if max_pixels is None else min(max_pixels, MAX_TOTAL_PIXELS)
    cap = DEFAULT_MAX_DBZ if max_dbz is None else check_max_dbz(max_dbz)
    options = Options(variable=variable, zr=zr, max_dbz=cap, budget=Budget(max_pixels=most))
    if zr is not None:
        zr_relation(zr)  # an unknown name is refused before any file is read
    return join_frames(_parts(sources, options))


def _parts(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames by file; the files of one format go to its reader together."""
    groups: dict[str, tuple[Reader, list[Source]]] = {}
    for source in sources:
        reader = reader_of(source)
        groups.setdefault(reader.title, (reader, []))[1].append(source)
    for reader, members in groups.values():
        yield from reader.read_frames(members, options)
