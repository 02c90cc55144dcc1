"""The answer of a process that is not trusted: whatever it wrote, the caller gets frames, an error, or a refusal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import TooFewFrames
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from workers.sandbox import layout
from workers.sandbox.fork_server import shared_file

MANY = 10_000
HEAD_OF_FOUR = layout.HEADER.pack(layout.MAGIC, 4)


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = shared_file()
    yield made
    os.close(made)


@pytest.fixture
def sequence() -> FrameSequence:
    grid = Grid.regular(CRS.from_epsg(3035), shape=(4, 5), pixel_size=1000.0, centre=(4e6, 3e6))
    rain_rate = np.arange(40, dtype=np.float32).reshape(2, 4, 5)
    rain_rate[0, 0, 0] = np.nan
    times = np.array(["2026-06-01T12:00", "2026-06-01T12:05"], "datetime64[ns]")
    mask = np.eye(4, 5, dtype=np.bool_)
    return FrameSequence(
        rain_rate=rain_rate, times=times, grid=grid, mask=mask, attributes={"a": "b"}, notes=("a note",)
    )


def test_frames_come_back(descriptor: int, sequence: FrameSequence) -> None:
    layout.write_frames(descriptor, sequence)
    found = layout.read_frames(descriptor, MANY)
    assert found.digest() == sequence.digest()
    assert found.grid.matches(sequence.grid)
    assert found.mask is not None
    assert np.array_equal(found.mask, sequence.mask)
    assert (found.attributes, found.notes) == (sequence.attributes, sequence.notes)


def test_errors_come_back_as_what_they_are(descriptor: int) -> None:
    layout.write_problem(descriptor, TooFewFrames("too few", where="here", hint="more"))
    with pytest.raises(TooFewFrames) as caught:
        layout.read_frames(descriptor, MANY)
    assert (caught.value.what, caught.value.where, caught.value.hint) == ("too few", "here", "more")


def change(name: str, value: object) -> Callable[[dict[str, object]], None]:
    return lambda content: content.update({name: value})


@pytest.mark.parametrize(
    "spoil",
    [
        change("shape", [1, 4, 5]),
        change("shape", [2, 5, 4]),
        change("shape", [2, 4]),
        change("shape", "many"),
        change("mask", False),
        change("crs", "no CRS"),
        change("crs", None),
        change("attributes", ["a"]),
        change("notes", 3),
        change("problem", {"code": "job-state", "what": "", "where": "", "hint": ""}),
        change("problem", "text"),
        change("failure", "Traceback"),
    ],
    ids=["shorter", "other", "flat", "text", "no-mask", "crs", "none", "list", "number", "code", "problem", "failure"],
)
def test_a_text_that_lies_is_refused(
    descriptor: int, sequence: FrameSequence, spoil: Callable[[dict[str, object]], None]
) -> None:
    layout.write_frames(descriptor, sequence)
    content, offset = layout.read_text(descriptor)
    spoil(content)
    text = json.dumps(content).encode()
    assert layout.HEADER.size + len(text) < offset
    os.pwrite(descriptor, layout.HEADER.pack(layout.MAGIC, len(text)) + text, 0)
    with pytest.raises(layout.BadAnswer):
        layout.read_frames(descriptor, MANY)


@pytest.mark.parametrize("shape", [[2, 10**9, 10**9], [10**6, 4, 5]])
def test_a_shape_beyond_the_limits_is_refused(descriptor: int, shape: list[int]) -> None:
    layout.write_text(descriptor, {"shape": shape, "mask": False, "crs": "", "attributes": {}, "notes": []})
    with pytest.raises(layout.BadAnswer, match="TooLarge"):
        layout.read_frames(descriptor, MANY)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, np.int64(2**62).tobytes()),
        (16, np.float64(np.nan).tobytes()),
        (16, np.float64(1e9).tobytes()),
        (16 + 9 * 8, np.float32(-1).tobytes()),
        (16 + 9 * 8, np.float32(np.inf).tobytes()),
    ],
    ids=["time", "nan", "uneven", "negative", "infinite"],
)
def test_impossible_values_are_refused(descriptor: int, sequence: FrameSequence, at: int, value: bytes) -> None:
    layout.write_frames(descriptor, sequence)
    _, offset = layout.read_text(descriptor)
    os.pwrite(descriptor, value, offset + at)
    with pytest.raises(layout.BadAnswer):
        layout.read_frames(descriptor, MANY)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"x" * 100, layout.HEADER.pack(layout.MAGIC, 1 << 40), HEAD_OF_FOUR + b"nope"],
    ids=["empty", "short", "other", "long", "no-json"],
)
def test_other_files_are_no_answers(descriptor: int, content: bytes) -> None:
    os.write(descriptor, content)
    with pytest.raises(layout.BadAnswer):
        layout.read_frames(descriptor, MANY)


def test_a_longer_file_is_refused(descriptor: int, sequence: FrameSequence) -> None:
    layout.write_frames(descriptor, sequence)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size + 1)
    with pytest.raises(layout.BadAnswer, match="bytes"):
        layout.read_frames(descriptor, MANY)
