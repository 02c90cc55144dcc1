"""Import of radar files into an archive: worker processes read and encode, this process writes in file order.

`imported.jsonl` in the archive records which file gave which frames, so that a continued import reads no file twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.atomic import translate_write_errors
from model.core.errors import InputError, MixedGrids
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.data.archive import Archive
from model.data.archive_paths import frame_path
from model.data.archive_writer import ArchiveWriter, EncodedFrame, encode_frame
from model.data.line_file import LineFile
from model.data.worker_processes import map_files
from model.readers import read
from model.readers.hko7 import DESCRIPTION

JOURNAL: Final = "imported.jsonl"
FILES_PER_WORKER: Final = 8
"""A process takes about a second to start, which pays off from this number of files on."""
BYTES_PER_PIXEL: Final = 36
"""Peak memory of a process and its GRIB decoder, measured on frames of 3500 x 7000 pixels."""
OPTIONAL: Final = ("source", "licence", "step")
"""Options that need not be repeated for an existing archive."""
FILE_ATTRIBUTES: Final = ("gaps", "frames_without_data", "capped_pixels")
"""Attributes that describe one file, not the archive."""


class FileReader(Protocol):
    """Reads the frames of one file; it can be pickled for another process."""

    def __call__(self, path: Path) -> FrameSequence:
        """Read the frames of one file."""


@dataclass(frozen=True, kw_only=True)
class RadarFileReader:
    """Reads radar files of all known formats; see `model.readers.read`."""

    variable: str | None = None
    zr: str | None = None
    max_dbz: float | None = None

    def __call__(self, path: Path) -> FrameSequence:
        """Read the frames of one file."""
        return read([path], variable=self.variable, zr=self.zr, max_dbz=self.max_dbz)


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files are read, minutes between frames (None: as found in the files), and attributes of the archive."""

    read_file: FileReader = RadarFileReader()
    step_minutes: float | None = None
    attributes: Mapping[str, str]


@dataclass(kw_only=True)
class ImportCounts:
    """Frames written, already present, and rewritten because they were damaged; files skipped."""

    written: int = 0
    present: int = 0
    rewritten: int = 0
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """The encoded frames of a file, and the notes of its reader."""

    frames: Sequence[EncodedFrame]
    notes: tuple[str, ...]


Outcome = EncodedFile | InputError
"""The encoded file, or the reason why it cannot be imported."""


def import_files(
    paths: Sequence[Path],
    root: Path,
    options: ImportOptions,
    *,
    workers: int | None,
    on_file: Callable[[], None],
    on_skipped: Callable[[Path, InputError], None],
    on_note: Callable[[Path, str], None] = lambda path, note: None,
) -> ImportCounts:
    """Import the frames of radar files into an archive.

    Of two files with the same valid time the earlier one counts. Intact frames of the archive stay as they are.
    Memory holds one file per process and the encoded frames of a few files.

    Parameters
    ----------
    paths
        Radar files.
    root
        Folder of the archive; a new archive takes the grid of the first readable file.
    options
        How files are read, the time step, and attributes.
    workers
        Number of processes; None: as cores and memory allow.
    on_file
        Called after each file.
    on_skipped
        Called for each file that cannot be read or is on another grid, with the reason.
    on_note
        Called for each note of a reader about a file.

    Raises
    ------
    InputError
        No file could be read, the time step is unknown, the archive has another description or cannot be written, or
        a process was killed.
    """
    counts = ImportCounts()
    skipped: set[Path] = set()

    def skip(path: Path, error: InputError) -> None:
        counts.skipped += 1
        skipped.add(path)
        on_skipped(path, error)
        on_file()

    if (root / DESCRIPTION).exists():
        grid, step, attributes = _existing_description(Archive(root), options)
    else:
        grid, step, attributes = _new_description(paths, options, skip)
    with ArchiveWriter(root, grid, step, attributes) as writer:
        journal = _Journal(root)

        def unread() -> Iterator[Path]:
            for path in paths:
                if path in skipped:
                    continue
                times = journal.times_of(path)
                if times is not None and all(writer.has_intact(time) for time in times):
                    counts.present += len(times)
                    on_file()
                else:
                    yield path

        encode = partial(_encode, read_file=options.read_file, grid=grid)
        for path, outcome in map_files(encode, unread(), workers or _default_workers(len(paths), grid)):
            if isinstance(outcome, InputError):
                skip(path, outcome)
                continue
            for note in outcome.notes:
                on_note(path, note)
            for frame in outcome.frames:
                _write_frame(writer, frame, counts)
            journal.add(path, [frame.time for frame in outcome.frames])
            on_file()
        journal.finish()
    if not counts.written + counts.present + counts.rewritten:
        raise InputError(f"none of {len(paths)} files could be read", where="FILES", hint="See the lines above")
    return counts


def _write_frame(writer: ArchiveWriter, frame: EncodedFrame, counts: ImportCounts) -> None:
    if writer.has_intact(frame.time):
        counts.present += 1
        return
    damaged = frame_path(writer.root, frame.time).exists()
    writer.put(frame)
    counts.rewritten += damaged
    counts.written += not damaged


def _existing_description(archive: Archive, options: ImportOptions) -> tuple[Grid, float, Mapping[str, str]]:
    """Return grid, time step (minutes) and attributes of an existing archive, unless the options contradict them."""
    requested = {**options.attributes, "step": options.step_minutes}
    existing = {**archive.attributes, "step": archive.step_minutes}
    for name, value in requested.items():
        if value is not None and value != existing.get(name):
            raise InputError(
                f"its {name} is {existing.get(name, 'not known')}, not {value}",
                where=str(archive.root / DESCRIPTION),
                hint=(f"Leave --{name} out" if name in OPTIONAL else "Use the same")
                + ", correct it in that file, or choose another folder",
            )
    return archive.grid, archive.step_minutes, archive.attributes


def _new_description(
    paths: Sequence[Path], options: ImportOptions, skip: Callable[[Path, InputError], None]
) -> tuple[Grid, float, Mapping[str, str]]:
    """Return grid and attributes of the first readable file, and the time step (minutes) of as few files as needed."""
    first = None
    times: list[NDArray[np.datetime64]] = []
    for path in paths:
        try:
            frames = options.read_file(path)
            if first is not None and not first[0].matches(frames.grid):
                raise _other_grid(path)
        except InputError as error:
            skip(path, error)
            continue
        attributes = {name: value for name, value in frames.attributes.items() if name not in FILE_ATTRIBUTES}
        first = first or (frames.grid, {**attributes, **options.attributes})
        times.append(frames.times)
        steps = _steps_of(times)
        if options.step_minutes is not None or steps.size > 3 or np.unique(steps).size < steps.size:
            break
    if first is None:
        raise InputError(f"none of {len(paths)} files could be read", where="FILES", hint="See the lines above")
    step = options.step_minutes
    if step is None:
        steps = _steps_of(times)
        if not steps.size:
            what = "only one valid time was found, so the time step is not known"
            raise InputError(what, where="FILES", hint="Give more files, or --step MINUTES")
        step = float(steps.min())
    return first[0], step, first[1]


def _steps_of(times: Sequence[NDArray[np.datetime64]]) -> NDArray[np.float64]:
    """Return the minutes between successive valid times."""
    return np.asarray(np.diff(np.unique(np.concatenate(times))) / np.timedelta64(1, "s"), np.float64) / 60


def _other_grid(path: Path) -> MixedGrids:
    return MixedGrids(
        "it is on another grid than the archive", where=str(path), hint="Import it into an archive of its own"
    )


def _encode(path: Path, *, read_file: FileReader, grid: Grid) -> Outcome:
    """Read and encode the frames of a file."""
    try:
        frames = read_file(path)
        if not grid.matches(frames.grid):
            raise _other_grid(path)
    except InputError as error:
        return error
    encoded = [encode_frame(time, rain) for time, rain in zip(frames.times, frames.rain_rate, strict=True)]
    return EncodedFile(frames=encoded, notes=frames.notes)


def _default_workers(files: int, grid: Grid) -> int:
    """Return the number of processes: one per core, as far as half of the memory and the number of files allow."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    by_memory = memory // (BYTES_PER_PIXEL * grid.shape[0] * grid.shape[1])
    return max(1, min(os.cpu_count() or 1, -(-files // FILES_PER_WORKER), by_memory))


class _Journal:
    """Which file gave which frames: a line of JSON per file, with path, size and modification time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = LineFile(root / JOURNAL)
        self._lines: dict[str, str] = {}
        for line in self._file.read():
            try:
                self._lines[json.loads(line)["file"]] = line
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line: its file is read again

    def times_of(self, path: Path) -> list[np.datetime64] | None:
        """Return the valid times of the frames of a file; None if the file is new or has changed."""
        name = str(path.resolve())
        if name not in self._lines or not path.exists():
            return None
        entry = json.loads(self._lines[name])
        if [entry.get("bytes"), entry.get("modified_ns")] != self._state(path):
            return None
        return [np.datetime64(time, "s") for time in entry["frames"]]

    def add(self, path: Path, times: Sequence[np.datetime64]) -> None:
        """Record the valid times of the frames of a file."""
        size, modified = self._state(path)
        frames = [str(time.astype("datetime64[s]")) for time in times]
        name = str(path.resolve())
        entry = {"file": name, "bytes": size, "modified_ns": modified, "frames": frames}
        self._lines[name] = json.dumps(entry)
        with translate_write_errors(self._root):
            self._file.append([self._lines[name]])

    def finish(self) -> None:
        """Sort the lines by path."""
        with translate_write_errors(self._root):
            self._file.rewrite(self._lines[name] for name in sorted(self._lines))

    def _state(self, path: Path) -> list[int]:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
