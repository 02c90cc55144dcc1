"""The file that a read and its caller share: first the request, then the answer in its place.

The answer is a header of 16 bytes (`MAGIC`, and the length of the text), JSON text, zeros to a multiple of `ALIGNMENT`
bytes, and the arrays one after the other: times (int64, ns since 1970), x and y (float64), rain rate (float32 [time, y,
x]), and where there is one the mask (uint8 [y, x]). Whoever has decoded a file of a stranger is not trusted: nothing is
unpickled, and every size follows from checked lengths.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from model.core import errors
from model.core.errors import InputError
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.readers.limits import check_size
from model.readers.no_data import MAX_RAIN_RATE_MM_H
from model.readers.observation_times import check_times

MAGIC: Final = b"ECHOREAD"
HEADER: Final = struct.Struct("<8sQ")
ALIGNMENT: Final = 4096
REPLY: Final = struct.Struct("<iQ")
"""What the fork server returns of a read: its wait status, and the most resident memory (bytes) that it took."""
MAX_TEXT_BYTES: Final = 1 << 20
"""Of the request's paths and names, and of the answer's attributes, notes and messages."""
MAX_MESSAGE: Final = 2000
BLOCK_BYTES: Final = 1 << 30
"""One write is at most 2 GiB (write(2))."""
PROBLEMS: Final[Mapping[str, type[InputError]]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InputError)
}


class BadAnswer(Exception):
    """An answer does not have the layout, or its content is impossible."""


def write_text(descriptor: int, content: object) -> int:
    """Replace the content of the file by a header and a JSON text; return the offset at which arrays begin."""
    text = json.dumps(content).encode()
    end = -(-(HEADER.size + len(text)) // ALIGNMENT) * ALIGNMENT
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, end)
    os.pwrite(descriptor, HEADER.pack(MAGIC, len(text)) + text, 0)
    return end


def read_text(descriptor: int, most: int = MAX_TEXT_BYTES) -> tuple[Any, int]:
    """Return the content of the JSON text, and the offset at which arrays begin.

    Raises
    ------
    BadAnswer
        There is no such text, or it has more than `most` bytes.
    """
    head = os.pread(descriptor, HEADER.size, 0)
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise BadAnswer("there is no header")
    _, length = HEADER.unpack(head)
    if length > most:
        raise BadAnswer(f"the text has {length:,} bytes")
    text = os.pread(descriptor, length, HEADER.size)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the text is not JSON: {error}") from None
    return content, -(-(HEADER.size + length) // ALIGNMENT) * ALIGNMENT


def write_frames(descriptor: int, sequence: FrameSequence) -> None:
    """Write a sequence as the answer."""
    times, (ny, nx) = sequence.times.astype("int64"), sequence.grid.shape
    offset = write_text(
        descriptor,
        {
            "shape": [len(sequence), ny, nx],
            "mask": sequence.mask is not None,
            "crs": sequence.grid.crs.to_wkt(),
            "attributes": dict(sequence.attributes),
            "notes": list(sequence.notes),
        },
    )
    arrays: list[NDArray[Any]] = [times, sequence.grid.x, sequence.grid.y, sequence.rain_rate]
    if sequence.mask is not None:
        arrays.append(sequence.mask.astype(np.uint8))
    for array in arrays:
        left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        while left:
            written = os.pwrite(descriptor, left[:BLOCK_BYTES], offset)
            left, offset = left[written:], offset + written


def write_problem(descriptor: int, error: InputError) -> None:
    """Write an error of the input as the answer."""
    texts = {name: str(getattr(error, name))[:MAX_MESSAGE] for name in ("what", "where", "hint")}
    write_text(descriptor, {"problem": {"code": error.code, **texts}})


def write_failure(descriptor: int, text: str) -> None:
    """Write an error of the reader, which no file should cause, as the answer; `text` is its traceback."""
    write_text(descriptor, {"failure": text[-10 * MAX_MESSAGE :]})


def read_frames(descriptor: int, max_pixels: int) -> FrameSequence:
    """Return the sequence in an answer, whose frames are mapped copy-on-write.

    Raises
    ------
    InputError
        The answer is this error.
    BadAnswer
        It has not the layout, more than `max_pixels`, or a sequence that no reader makes.
    """
    content, offset = read_text(descriptor)
    try:
        if "failure" in content:
            raise BadAnswer(str(content["failure"]))
        if "problem" not in content:
            return _sequence(descriptor, content, offset, max_pixels)
        problem = _problem(content["problem"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError, OverflowError, CRSError) as error:
        raise BadAnswer(f"{type(error).__name__}: {error}") from error
    raise problem


def _sequence(descriptor: int, content: Mapping[str, Any], offset: int, max_pixels: int) -> FrameSequence:
    frames, ny, nx = (int(length) for length in content["shape"])
    check_size(frames, ny, nx, max_pixels=max_pixels)
    kinds = {"times": ("i8", frames), "x": ("f8", nx), "y": ("f8", ny), "rain_rate": ("f4", frames * ny * nx)}
    if content["mask"]:
        kinds["mask"] = ("u1", ny * nx)
    size = offset + sum(np.dtype(kind).itemsize * count for kind, count in kinds.values())
    if os.fstat(descriptor).st_size != size:
        raise BadAnswer(f"the file has {os.fstat(descriptor).st_size:,} bytes, not {size:,}")
    # The private map keeps the file's memory until its arrays are gone, and lets their owner write to them.
    memory = mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    arrays: dict[str, NDArray[Any]] = {}
    for name, (kind, count) in kinds.items():
        arrays[name] = np.frombuffer(memory, kind, count, offset)
        offset += arrays[name].nbytes
    times = arrays["times"].astype("datetime64[ns]")
    check_times(times)
    rain_rate = arrays["rain_rate"].reshape(frames, ny, nx)
    least, most = (float(reduce(rain_rate, axis=None, initial=0.0)) for reduce in (np.fmin.reduce, np.fmax.reduce))
    if least < 0 or most > MAX_RAIN_RATE_MM_H or not math.isfinite(most):
        raise BadAnswer(f"the rain rates reach from {least} to {most} mm/h")
    return FrameSequence(
        rain_rate=rain_rate,
        times=times,
        grid=Grid(crs=CRS.from_wkt(str(content["crs"])), x=arrays["x"].copy(), y=arrays["y"].copy()),
        mask=arrays["mask"].reshape(ny, nx).astype(np.bool_) if content["mask"] else None,
        attributes={str(name): str(value) for name, value in content["attributes"].items()},
        notes=tuple(str(note) for note in content["notes"]),
    )


def _problem(content: Mapping[str, Any]) -> InputError:
    kind = PROBLEMS[content["code"]]
    what, where, hint = (str(content[name])[:MAX_MESSAGE] for name in ("what", "where", "hint"))
    return kind(what, where=where, hint=hint)
