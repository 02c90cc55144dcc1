"""Decoding in child processes, for libraries that crash on bad files, or end a process that also uses HDF5 or OpenCV.

Where the whole read runs in a process that may be lost (`ReadOptions.isolated`), they decode in that process.

A decoder is a script that reads a request from stdin, `{"paths": [...], "max_pixels": n}`, and writes for each file
JSON lines and raw float32 values to stdout, as the `file_frames` of the decoder expects. A line with `error` tells why
a file cannot be decoded, a line with `unavailable` why the library cannot be loaded.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from model.core.cores import available_cores
from model.core.errors import NotARadarFile
from model.core.extras import missing_dependency
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers.limits import FETCH_AGAIN, MAX_GRID_PIXELS, PixelBudget
from model.readers.source import ReadOptions, Source, input_errors

SECONDS_PER_FILE: Final = 60.0
MAX_CHILDREN: Final = 4
PIPE_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A format whose library is kept out of processes that must live on.

    `family` is the group of formats that `library` decodes; `decoded` yields the output of `script` about one file, of
    which `file_frames` makes frames.
    """

    title: str
    family: str
    library: str
    script: Path
    decoded: Callable[[str, int], Iterator[bytes | memoryview]]
    file_frames: Callable[[DecoderOutput, Source, ReadOptions], FrameSequence]


@dataclass(frozen=True)
class DecoderOutput:
    """The output of a decoder: JSON lines and raw values."""

    stdout: BufferedReader | OwnOutput
    decoder: Decoder

    def line(self) -> dict[str, Any]:
        """Return the next line.

        Raises
        ------
        MissingDependency
            The library cannot be loaded.
        NotARadarFile
            The file cannot be decoded, or the child process has ended.
        """
        line = self.stdout.readline()
        if not line.endswith(b"\n"):
            raise _crashed()
        content: dict[str, Any] = json.loads(line)
        if "unavailable" in content:
            problem = f"{self.decoder.library} cannot be loaded ({content['unavailable']})"
            raise missing_dependency(self.decoder.library, problem=problem)
        if "error" in content:
            problem = f"the file cannot be read as {self.decoder.title}: {content['error']}"
            raise NotARadarFile(problem, hint=FETCH_AGAIN)
        return content

    def values(self, count: int) -> FloatArray:
        """Return the raw values that follow a line.

        Raises
        ------
        NotARadarFile
            The child process has ended before the last value.
        """
        values = np.empty(count, np.float32)
        view = values.data.cast("B")
        while len(view):
            read = self.stdout.readinto(view)
            if not read:
                raise _crashed()
            view = view[read:]
        return values


class OwnOutput:
    """The output of a decoder that runs in this process, piece by piece as it is read."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readline(self) -> bytes:
        """Return the next piece, which is a line."""
        return bytes(next(self._pieces, b""))

    def readinto(self, view: memoryview) -> int:
        """Copy the next bytes to `view`; return how many, 0 at the end."""
        self._rest = self._rest or memoryview(next(self._pieces, b"")).cast("B")
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _crashed() -> NotARadarFile:
    return NotARadarFile("decoding crashed, or took too long", hint=FETCH_AGAIN)


def decode(sources: Sequence[Source], options: ReadOptions, decoder: Decoder) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield the frames of files, decoded in parallel by up to `MAX_CHILDREN` child processes, or in this process.

    Raises
    ------
    MissingDependency
        The library of the decoder is not installed.
    """
    if importlib.util.find_spec(decoder.library) is None:
        with input_errors(sources[0], decoder.title):
            problem = f"{decoder.family} needs {decoder.library}, which is not installed"
            raise missing_dependency(decoder.library, problem=problem)
    if options.isolated:
        for source in sources:
            pieces = decoder.decoded(str(source.path), min(MAX_GRID_PIXELS, options.budget.max_pixels))
            with input_errors(source, decoder.title):
                frames = decoder.file_frames(DecoderOutput(OwnOutput(pieces), decoder), source, options)
            yield source, frames
        return
    count = max(1, min(len(sources), available_cores(), MAX_CHILDREN))
    shares = [sources[index::count] for index in range(count)]
    children = _Children()
    with ThreadPoolExecutor(count) as pool:
        try:
            for share in pool.map(lambda share: _decode_share(share, options, decoder, children), shares):
                yield from share
        except BaseException:
            children.stop()  # otherwise the pool would wait until its children finish
            raise


@dataclass
class _Children:
    """The child processes of one call, and whether one has failed or all were stopped."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    failed: bool = False
    stopped: bool = False

    def stop(self) -> None:
        """Kill every child process, those that are about to start as well."""
        self.failed = self.stopped = True
        for process in self.processes:
            process.kill()


def _decode_share(
    sources: Sequence[Source], options: ReadOptions, decoder: Decoder, children: _Children
) -> list[tuple[Source, FrameSequence]]:
    """Return the frames of the files of one child process; after a failure of any child read no further file."""
    decoded = []
    try:
        with _child(sources, options.budget, decoder.script, children) as stdout:
            output = DecoderOutput(stdout, decoder)
            for source in sources:
                with input_errors(source, decoder.title):
                    decoded.append((source, decoder.file_frames(output, source, options)))
                if children.failed:
                    break
    except BaseException:
        children.failed = True
        raise
    return decoded


@contextmanager
def _child(
    sources: Sequence[Source], budget: PixelBudget, script: Path, children: _Children
) -> Iterator[BufferedReader]:
    """Start a child process that decodes `sources` and yield its standard output; a timer kills it if it is slow."""
    # -P keeps the folder of the script, whose modules have names of libraries, off the import path of the child.
    command = [sys.executable, "-P", str(script)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES
    ) as process:
        children.processes.append(process)
        timer = threading.Timer(SECONDS_PER_FILE * len(sources), process.kill)
        timer.start()
        try:
            if children.stopped:
                process.kill()
            assert process.stdin is not None  # noqa: S101  (it is a pipe)
            max_pixels = min(MAX_GRID_PIXELS, budget.max_pixels)
            request = {"paths": [str(source.path) for source in sources], "max_pixels": max_pixels}
            with suppress(BrokenPipeError), process.stdin as stdin:  # reading shows that the child has ended
                stdin.write(json.dumps(request).encode())
            yield cast(BufferedReader, process.stdout)
        finally:
            timer.cancel()
            process.kill()
