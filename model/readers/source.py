"""What every reader is given (a file and what its user calls it), and the guards that every reader shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NotARadarFile, TooLarge
from model.core.sequence import FrameSequence
from model.core.units import FloatArray, ZRRelation, zr_relation

HEAD_BYTES: Final = 1024
MAX_GRID_PIXELS: Final = 200_000_000
"""A larger declared grid is refused before it is allocated. The largest known: 24.5 million."""
MAX_TOTAL_PIXELS: Final = 1_000_000_000
"""Frames times grid, over all files of one call: 4 GB of float32, forty frames of the largest known composite."""
MAX_FRAMES: Final = 100_000
NO_ECHO_DBZ: Final = -10.0
"""Reflectivity below this is no rain: the least that HKO-7 stores, and about 0.01 mm h-1."""
DAMAGED: Final = "Give a whole file: fetch or copy it again"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read, and the name by which its user knows it (an upload has a temporary path)."""

    path: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller may choose: the variable to read, and the Z-R relation (None: the format's own)."""

    variable: str | None = None
    zr: str | None = None

    def relation(self, default: ZRRelation) -> ZRRelation:
        """The Z-R relation asked for, or the format's `default`.

        Raises:
            InputError: no relation has the name asked for.
        """
        return zr_relation(self.zr) if self.zr else default


class Matches(Protocol):
    """Whether a file is of this format, by its first bytes or by what it holds; never by its name."""

    def __call__(self, head: bytes, path: Path) -> bool: ...


class ReadFrames(Protocol):
    """Frames of files that are all of one format, one sequence per file that holds frames."""

    def __call__(self, sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]: ...


@contextmanager
def reading(source: Source, format_name: str) -> Iterator[None]:
    """Turn what a library raises on a bad file into NotARadarFile, and give every InputError the file's name.

    Decoding libraries raise nearly anything on damaged input (OSError, KeyError, RuntimeError, struct.error,
    ...), so this boundary catches every Exception; the cause stays attached.
    """
    try:
        yield
    except InputError as error:
        if source.name in error.where:
            raise
        where = f"{source.name} ({error.where})" if error.where else source.name
        raise type(error)(error.what, where=where, mend=error.mend) from error
    except MemoryError as error:
        raise TooLarge("there is not enough memory to read it", where=source.name, mend="Give less at once") from error
    except Exception as error:
        text = " ".join(str(error).replace(str(source.path), source.name).split()) or type(error).__name__
        raise NotARadarFile(
            f"cannot be read as {format_name}: {text[:300]}", where=source.name, mend=DAMAGED
        ) from error


def file_by_file(read_file: Callable[[Source, Options], FrameSequence], format_name: str) -> ReadFrames:
    """A `read_frames` for formats where each file stands alone."""

    def read_frames(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
        for source in sources:
            with reading(source, format_name):
                frames = read_file(source, options)
            yield source, frames

    return read_frames


def check_size(*shape: int) -> None:
    """Refuse a declared shape (..., y, x) that no radar has, before it is allocated.

    Raises:
        NotARadarFile: a length is not positive.
        TooLarge: more than `MAX_GRID_PIXELS` on the grid, `MAX_TOTAL_PIXELS` in all, or `MAX_FRAMES`.
    """
    if any(length < 1 for length in shape):
        raise NotARadarFile(f"it declares an empty grid {tuple(shape)}", mend=DAMAGED)
    total = int(np.prod([int(length) for length in shape], dtype=object))
    grid = int(np.prod([int(length) for length in shape[-2:]], dtype=object))
    if grid > MAX_GRID_PIXELS or total > MAX_TOTAL_PIXELS or total > grid * MAX_FRAMES:
        raise TooLarge(
            f"it declares {' x '.join(map(str, shape))} pixels, "
            f"the limit is {MAX_GRID_PIXELS:,} per frame and {MAX_TOTAL_PIXELS:,} in all",
            mend="Crop it, or give fewer frames",
        )


def rain_of_reflectivity(reflectivity_dbz: NDArray[np.floating], relation: ZRRelation) -> FloatArray:
    """Rain rate (mm h-1, float32) of reflectivity (dBZ): none below `NO_ECHO_DBZ`; NaN stays NaN."""
    rain = relation.rain_rate_mm_h(reflectivity_dbz)
    rain[reflectivity_dbz < NO_ECHO_DBZ] = 0.0
    return rain


def describe_zr(relation: ZRRelation) -> str:
    """The attribute that says how reflectivity became rain: `fmi: Z = 223 R^1.53`."""
    return f"{relation.name}: Z = {relation.a:g} R^{relation.b:g}"


def rain_per_hour(amount_mm: FloatArray, interval: np.timedelta64) -> FloatArray:
    """Mean rain rate (mm h-1) of an accumulation (mm) over `interval`.

    Raises:
        NotARadarFile: the interval is not positive.
    """
    hours = float(interval / np.timedelta64(1, "s")) / 3600.0
    if not hours > 0:
        raise NotARadarFile("its accumulation period does not end after it starts", mend="Correct its period")
    return amount_mm / np.float32(hours)


def describe_accumulation(interval: np.timedelta64) -> str:
    """The `quantity` attribute of an accumulation: `accumulation over 5 min`."""
    return f"accumulation over {float(interval / np.timedelta64(1, 's')) / 60:g} min"
