"""Decoding in child processes: libraries that end a process beside HDF5 and OpenCV, or crash on bad files.

A decoder is a script that reads a request from stdin, `{"paths": [...], "max_pixels": n}`, and answers to stdout: for
each file JSON lines and raw values, as its `file_frames` expects them. A line with `error` says why a file cannot be
decoded, one with `unavailable` why none can.
"""

from __future__ import annotations

import importlib.util
import json
import os
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

from model.core.errors import NotARadarFile
from model.core.extras import missing_dependency
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers.source import DAMAGED, MAX_GRID_PIXELS, Budget, Options, Source, reading

SECONDS_PER_FILE: Final = 60.0
MAX_CHILDREN: Final = 4
PIPE_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A format that is decoded in children: the script, what makes frames of its answer about one file, and the library
    that the script needs, which an extra of ours installs. `family`: what the library is for."""

    title: str
    family: str
    library: str
    script: Path
    file_frames: Callable[[Answer, Source, Options], FrameSequence]


@dataclass(frozen=True)
class Answer:
    """What a child answers, line by line."""

    stdout: BufferedReader
    decoder: Decoder

    def line(self) -> dict[str, Any]:
        """The next line.

        Raises
        ------
        MissingDependency
            The library cannot be loaded.
        NotARadarFile
            The file cannot be decoded, or the child is gone.
        """
        line = self.stdout.readline()
        if not line.endswith(b"\n"):
            raise _gone()
        content: dict[str, Any] = json.loads(line)
        if "unavailable" in content:
            problem = f"{self.decoder.library} cannot be loaded ({content['unavailable']})"
            raise missing_dependency(self.decoder.library, problem=problem)
        if "error" in content:
            raise NotARadarFile(f"cannot be read as {self.decoder.title}: {content['error']}", hint=DAMAGED)
        return content

    def values(self, count: int) -> FloatArray:
        """The raw values that follow a line.

        Raises
        ------
        NotARadarFile
            The child is gone before all are there.
        """
        values = np.empty(count, np.float32)
        view = values.data.cast("B")
        while len(view):
            read = self.stdout.readinto(view)
            if not read:
                raise _gone()
            view = view[read:]
        return values


def _gone() -> NotARadarFile:
    return NotARadarFile("decoding it ended in a crash, or took too long", hint=DAMAGED)


def decode(sources: Sequence[Source], options: Options, decoder: Decoder) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames of files, decoded by as many child processes as there are processors to run them.

    Raises
    ------
    MissingDependency
        The decoder's library is not installed.
    """
    if importlib.util.find_spec(decoder.library) is None:
        with reading(sources[0], decoder.title):
            problem = f"{decoder.family} needs {decoder.library}, which is not installed"
            raise missing_dependency(decoder.library, problem=problem)
    children = max(1, min(len(sources), _processors(), MAX_CHILDREN))
    shares = [sources[index::children] for index in range(children)]
    work = _Work()
    with ThreadPoolExecutor(children) as pool:
        try:
            for share in pool.map(lambda share: _decode_share(share, options, decoder, work), shares):
                yield from share
        except BaseException:
            work.stop()  # or the pool would wait for its children to finish
            raise


@dataclass
class _Work:
    """The children of one call; whether one failed, and whether all were stopped."""

    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    failed: bool = False
    stopped: bool = False

    def stop(self) -> None:
        """End every child, those that are about to start too."""
        self.failed = self.stopped = True
        for child in self.children:
            child.kill()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_share(
    sources: Sequence[Source], options: Options, decoder: Decoder, work: _Work
) -> list[tuple[Source, FrameSequence]]:
    """Frames of the files that one child decodes, in order; where one is bad, the other children's next is not read."""
    decoded = []
    try:
        with _child(sources, options.budget, decoder.script, work) as stdout:
            answer = Answer(stdout, decoder)
            for source in sources:
                with reading(source, decoder.title):
                    decoded.append((source, decoder.file_frames(answer, source, options)))
                if work.failed:
                    break
    except BaseException:
        work.failed = True
        raise
    return decoded


@contextmanager
def _child(sources: Sequence[Source], budget: Budget, script: Path, work: _Work) -> Iterator[BufferedReader]:
    """The standard output of a child that decodes `sources`; it is killed when it takes too long."""
    # -P: the folder of the script, with its modules named like libraries, stays off the child's import path.
    command = [sys.executable, "-P", str(script)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES
    ) as process:
        work.children.append(process)
        timer = threading.Timer(SECONDS_PER_FILE * len(sources), process.kill)
        timer.start()
        try:
            if work.stopped:
                process.kill()
            assert process.stdin is not None  # noqa: S101  (it is a pipe)
            most = min(MAX_GRID_PIXELS, budget.max_pixels)
            request = {"paths": [str(source.path) for source in sources], "max_pixels": most}
            with suppress(BrokenPipeError), process.stdin as stdin:  # a child that is gone shows when it is read
                stdin.write(json.dumps(request).encode())
            yield cast(BufferedReader, process.stdout)
        finally:
            timer.cancel()
            process.kill()
