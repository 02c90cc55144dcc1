"""Radar files into an archive: read and encoded by several processes, written by this one in the order of the files.

`imported.jsonl` in the archive says which file gave which frames, so that a run that goes on reads no file twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.atomic import translate_write_errors
from model.core.errors import InputError, MixedGrids
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.data.archive import Archive, ArchiveWriter, EncodedFrame, encode_frame
from model.data.archive_paths import frame_path
from model.data.line_file import LineFile
from model.readers import read
from model.readers.hko7 import DESCRIPTION

JOURNAL: Final = "imported.jsonl"
FILES_PER_WORKER: Final = 8
"""A process takes about a second to start: fewer files than this are not worth one."""
BYTES_PER_PIXEL: Final = 36
"""What a process and its GRIB decoder hold at most, measured on frames of 3500 x 7000 pixels."""
LEFT_OUT: Final = ("source", "licence", "step")
"""What need not be said again of an archive that is there."""
OF_THE_FILE: Final = ("gaps", "frames_without_data", "capped_pixels")
"""Attributes that tell of one file, not of the archive."""


class FileReader(Protocol):
    """The frames of one file. It can be sent to another process."""

    def __call__(self, path: Path) -> FrameSequence: ...


@dataclass(frozen=True, kw_only=True)
class RadarFileReader:
    """Reads files of the formats that are known; see `model.readers.read`."""

    variable: str | None = None
    zr: str | None = None
    max_dbz: float | None = None

    def __call__(self, path: Path) -> FrameSequence:
        return read([path], variable=self.variable, zr=self.zr, max_dbz=self.max_dbz)


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What the user chose: how files are read, minutes between frames, and attributes of the archive."""

    read_file: FileReader = RadarFileReader()
    step_minutes: float | None = None
    attributes: Mapping[str, str]


@dataclass(kw_only=True)
class ImportCounts:
    """What an import did: frames written, frames there already, damaged ones written anew; files passed over."""

    written: int = 0
    there: int = 0
    mended: int = 0
    passed_over: int = 0


@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """The frames of a file as an archive keeps them, and what its reader noted of them."""

    frames: Sequence[EncodedFrame]
    notes: tuple[str, ...]


Outcome = EncodedFile | InputError


def import_files(
    paths: Sequence[Path],
    root: Path,
    choices: ImportOptions,
    *,
    workers: int | None,
    done: Callable[[], None],
    passed_over: Callable[[Path, InputError], None],
    noted: Callable[[Path, str], None] = lambda path, note: None,
) -> ImportCounts:
    """Bring the frames of `paths` into the archive `root`.

    `done` hears of each file, `passed_over` of each that cannot be read or lies on another grid, `noted` of what its
    reader notes of one.

    Of two files with the same valid time the earlier one counts. What was there before is left alone, if it is intact.
    Memory holds one file per process and the encoded frames of a few.

    Raises
    ------
    InputError
        No file could be read; the time step cannot be known; the archive is described otherwise; it cannot
        be written; or a process was killed.
    """
    counts = ImportCounts()
    refused: set[Path] = set()

    def refuse(path: Path, error: InputError) -> None:
        counts.passed_over += 1
        refused.add(path)
        passed_over(path, error)
        done()

    if (root / DESCRIPTION).exists():
        grid, step, attributes = _as_described(Archive(root), choices)
    else:
        grid, step, attributes = _first_seen(paths, choices, refuse)
    with ArchiveWriter(root, grid, step, attributes) as writer:
        journal = _Journal(root)

        def to_read() -> Iterator[Path]:
            for path in paths:
                if path in refused:
                    continue
                times = journal.times_of(path)
                if times is not None and all(writer.has_intact(time) for time in times):
                    counts.there += len(times)
                    done()
                else:
                    yield path

        encode = partial(_encode, read_file=choices.read_file, grid=grid)
        for path, outcome in _in_order(to_read(), encode, workers or _affordable(len(paths), grid)):
            if isinstance(outcome, InputError):
                refuse(path, outcome)
                continue
            for note in outcome.notes:
                noted(path, note)
            for frame in outcome.frames:
                _keep(writer, frame, counts)
            journal.add(path, [frame.time for frame in outcome.frames])
            done()
        journal.finish()
    if not counts.written + counts.there + counts.mended:
        raise InputError(f"none of {len(paths)} files could be read", where="FILES", hint="See the lines above")
    return counts


def _keep(writer: ArchiveWriter, frame: EncodedFrame, counts: ImportCounts) -> None:
    if writer.has_intact(frame.time):
        counts.there += 1
        return
    damaged = frame_path(writer.root, frame.time).exists()
    writer.put(frame)
    counts.mended += damaged
    counts.written += not damaged


def _as_described(archive: Archive, choices: ImportOptions) -> tuple[Grid, float, Mapping[str, str]]:
    """Grid, time step (minutes) and attributes of an archive that is there, if nothing else is asked for."""
    asked = {**choices.attributes, "step": choices.step_minutes}
    kept = {**archive.attributes, "step": archive.step_minutes}
    for name, value in asked.items():
        if value is not None and value != kept.get(name):
            raise InputError(
                f"its {name} is {kept.get(name, 'not known')}, not {value}",
                where=str(archive.root / DESCRIPTION),
                hint=(f"Leave --{name} out" if name in LEFT_OUT else "Ask for the same")
                + ", correct it in that file, or choose another folder",
            )
    return archive.grid, archive.step_minutes, archive.attributes


def _first_seen(
    paths: Sequence[Path], choices: ImportOptions, refuse: Callable[[Path, InputError], None]
) -> tuple[Grid, float, Mapping[str, str]]:
    """Grid and attributes of the first file that can be read, and the time step (minutes), from as few as tell it."""
    first = None
    times: list[NDArray[np.datetime64]] = []
    for path in paths:
        try:
            frames = choices.read_file(path)
            if first is not None and not first[0].matches(frames.grid):
                raise _other_grid(path)
        except InputError as error:
            refuse(path, error)
            continue
        kept = {name: value for name, value in frames.attributes.items() if name not in OF_THE_FILE}
        first = first or (frames.grid, {**kept, **choices.attributes})
        times.append(frames.times)
        steps = _steps_of(times)
        if choices.step_minutes is not None or steps.size > 3 or np.unique(steps).size < steps.size:
            break
    if first is None:
        raise InputError(f"none of {len(paths)} files could be read", where="FILES", hint="See the lines above")
    step = choices.step_minutes
    if step is None:
        steps = _steps_of(times)
        if not steps.size:
            raise InputError(
                "only one valid time was found, so the time step is not known",
                where="FILES",
                hint="Give more files, or --step MINUTES",
            )
        step = float(steps.min())
    return first[0], step, first[1]


def _steps_of(times: Sequence[NDArray[np.datetime64]]) -> NDArray[np.float64]:
    """Minutes between the valid times seen."""
    return np.asarray(np.diff(np.unique(np.concatenate(times))) / np.timedelta64(1, "s"), np.float64) / 60


def _other_grid(path: Path) -> MixedGrids:
    return MixedGrids("it lies on another grid than the archive", where=str(path), hint="Import it into one of its own")


def _encode(path: Path, *, read_file: FileReader, grid: Grid) -> Outcome:
    """The frames of a file as an archive keeps them, or why there are none."""
    try:
        frames = read_file(path)
        if not grid.matches(frames.grid):
            raise _other_grid(path)
    except InputError as error:
        return error
    encoded = [encode_frame(time, rain) for time, rain in zip(frames.times, frames.rain_rate, strict=True)]
    return EncodedFile(frames=encoded, notes=frames.notes)


def _in_order(paths: Iterator[Path], encode: Callable[[Path], Outcome], workers: int) -> Iterator[tuple[Path, Outcome]]:
    """Files and what they became, in their order, by so many processes; at most two files each are under way."""
    if workers == 1:
        yield from ((path, encode(path)) for path in paths)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    waiting: deque[tuple[Path, Future[Outcome]]] = deque()
    try:
        for path in paths:
            with _uninterrupted():  # a process that this starts hears no interrupt before _begin_worker either
                waiting.append((path, pool.submit(encode, path)))
            if len(waiting) >= 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes that read files was killed; mostly that is for want of memory",
            where="--workers",
            hint="Run the same command again with fewer: what is written is kept",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits; processes started meanwhile never hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """An interrupt at the terminal is the parent's to hear; and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _affordable(files: int, grid: Grid) -> int:
    """How many processes: one per core, but not more than the files are worth nor than half of the memory holds."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    by_memory = memory // (BYTES_PER_PIXEL * grid.shape[0] * grid.shape[1])
    return max(1, min(os.cpu_count() or 1, -(-files // FILES_PER_WORKER), by_memory))


class _Journal:
    """Which file gave which frames: a line of JSON per file, by its path, size and time of change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._list = LineFile(root / JOURNAL)
        self._lines: dict[str, str] = {}
        for line in self._list.read():
            try:
                self._lines[json.loads(line)["file"]] = line
            except (ValueError, KeyError, TypeError):
                continue  # damaged: that file is read again

    def times_of(self, path: Path) -> list[np.datetime64] | None:
        """Valid times of the frames of a file; None where it is not known or has changed."""
        name = str(path.resolve())
        if name not in self._lines or not path.exists():
            return None
        entry = json.loads(self._lines[name])
        if [entry.get("bytes"), entry.get("modified_ns")] != self._state(path):
            return None
        return [np.datetime64(time, "s") for time in entry["frames"]]

    def add(self, path: Path, times: Sequence[np.datetime64]) -> None:
        size, modified = self._state(path)
        frames = [str(time.astype("datetime64[s]")) for time in times]
        name = str(path.resolve())
        entry = {"file": name, "bytes": size, "modified_ns": modified, "frames": frames}
        self._lines[name] = json.dumps(entry)
        with translate_write_errors(self._root):
            self._list.append([self._lines[name]])

    def finish(self) -> None:
        """Sort by path."""
        with translate_write_errors(self._root):
            self._list.rewrite(self._lines[name] for name in sorted(self._lines))

    def _state(self, path: Path) -> list[int]:
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]
