"""What fuzzing starts from is read, and changed inputs end as frames or InputError, in the sandbox of the workers."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.readers.formats import READERS, detect_reader
from model.readers.source import Source
from tests.faults.fuzz_inputs import TARGETS, Target, mutated
from workers import sandbox

CHANGES = 8
WRITERS = {"GRIB2": "grib", "GeoTIFF": "geotiff"}
"""Formats that only an extra writes, and their targets."""


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> Iterator[None]:
    sandbox.start()
    yield
    sandbox.close()


def read(target: Target, content: bytes, folder: Path) -> FrameSequence:
    names = [target.name, *target.beside]
    paths = [folder / str(number) for number in range(len(names))]
    for path, data in zip(paths, [content, *target.beside.values()], strict=True):
        path.write_bytes(data)
    return sandbox.read(paths, names=names, memory_mb=1024, seconds=60)


def flip(content: bytes, most: int, *, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(3):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data[:most])


def test_every_reader_has_seeds(tmp_path: Path) -> None:
    path, found = tmp_path / "file", set()
    for target in TARGETS.values():
        for content in target.seeds():
            path.write_bytes(content)
            with suppress(InputError):
                found.add(detect_reader(Source(path=path, name=target.name)).title)
    without_writer = {title for title, name in WRITERS.items() if not list(TARGETS[name].seeds())}
    assert found == {reader.title for reader in READERS} - without_writer


@pytest.mark.parametrize("reader", TARGETS)
def test_seeds_are_read_and_changed_ones_end_cleanly(reader: str, tmp_path: Path) -> None:
    target = TARGETS[reader]
    seeds = list(target.seeds())
    if not seeds:
        pytest.skip(f"{reader} needs an extra")
    frames = 0
    for content in seeds:
        with suppress(InputError):
            frames += len(read(target, content, tmp_path))
    assert frames >= (0 if reader == "detection" else 1)
    server = sandbox._server.pid
    for number in range(CHANGES):
        content = seeds[number % len(seeds)]
        mutate = functools.partial(flip, chance=random.Random(number))
        changed = mutated(content, 1 << 20, number, mutate, head=target.head)
        assert changed != content
        with suppress(InputError):
            read(target, changed, tmp_path)
    assert sandbox._server.pid == server
