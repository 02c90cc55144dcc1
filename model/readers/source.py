"""What every reader is given (a file and what its user calls it), and the guards that every reader shares."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NotARadarFile, TooLarge, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ, FloatArray
from model.core.zr import ZRRelation, zr_relation
from model.readers.plausible import MOST_MM_H, check_unit, drop_implausible_dbz, most_mm

HEAD_BYTES: Final = 1024
MAX_GRID_PIXELS: Final = 200_000_000
"""A larger declared grid is refused before it is allocated. The largest known: 24.5 million."""
MAX_TOTAL_PIXELS: Final = 1_500_000_000
"""Frames times grid, over all files of one call: 6 GB of float32, sixty frames of the largest known composite."""
MAX_FRAMES: Final = 100_000
LEAST_PIXEL_M: Final = 10.0
"""A smaller size is in another unit: the finest rain radars resolve some tens of metres."""
CAPPED: Final = "capped_pixels"
"""The attribute that counts the pixels whose reflectivity exceeded the cap, where some did."""
ACCUMULATION: Final = "accumulation over "
MEAN: Final = "mean over "
NO_ECHO_DBZ: Final = -10.0
"""Reflectivity below this is no rain: the least that HKO-7 stores, and about 0.01 mm h-1."""
DAMAGED: Final = "Give a whole file: fetch or copy it again"
OBSERVATIONS: Final = "Give observations: a nowcast starts from what radars saw"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read, and the name by which its user knows it.

    Where the user named the path itself, the files around it are the user's too and may be looked at. An
    `upload` has a temporary path, with strangers' files around it. `inner_name` is what a compressed file holds.
    """

    path: Path
    name: str
    upload: bool = False
    inner_name: str | None = None

    @property
    def content_name(self) -> str:
        """The name that tells of the content, where a format has the valid time in the name only."""
        return self.inner_name or self.name


def head_of(source: Source) -> bytes:
    """The first bytes of a file, by which its format is known.

    Raises
    ------
    NotARadarFile
        Absent, a folder, empty, or not to be opened.
    """
    try:
        with source.path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise NotARadarFile("there is no such file", where=source.name, hint="Check the path") from None
    except IsADirectoryError:
        raise NotARadarFile("it is a folder", where=source.name, hint="Give the files in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise NotARadarFile(
            f"it cannot be opened ({reason})", where=source.name, hint="Check the path and its rights"
        ) from None
    if not head:
        raise NotARadarFile("it is empty (0 bytes)", where=source.name, hint="Give a whole file")
    return head


@dataclass(kw_only=True)
class Budget:
    """How many pixels the files of one call may hold, and how many those read so far hold."""

    max_pixels: int = MAX_TOTAL_PIXELS
    taken: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def check(self, *shape: int) -> None:
        """Refuse a declared shape (..., y, x) that is no radar's, or that goes beyond what is left.

        Raises
        ------
        NotARadarFile, TooLarge
            See `check_size`.
        """
        check_size(*shape, taken=self.taken, max_pixels=self.max_pixels)

    def take(self, *shape: int) -> None:
        """`check`, then count it: every reader calls this before it allocates frames."""
        with self._lock:
            self.check(*shape)
            self.taken += math.prod(shape)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller may choose: the variable, the Z-R relation (None: the format's own), the cap of reflectivity
    (dBZ), the most pixels."""

    variable: str | None = None
    zr: str | None = None
    max_dbz: float = DEFAULT_MAX_DBZ
    budget: Budget = field(default_factory=Budget)

    def relation(self, default: ZRRelation) -> ZRRelation:
        """The Z-R relation asked for, or the format's `default`.

        Raises
        ------
        InputError
            No relation has the name asked for.
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
    ...), so this boundary catches every Exception; the cause stays attached. What ends work from outside
    (`model.core.interrupt.Interrupted`, KeyboardInterrupt) is a BaseException and passes.
    """
    try:
        yield
    except InputError as error:
        if source.name in error.where:
            raise
        where = f"{source.name} ({error.where})" if error.where else source.name
        raise type(error)(error.what, where=where, hint=error.hint) from error
    except MemoryError as error:
        raise TooLarge("there is not enough memory to read it", where=source.name, hint="Give less at once") from error
    except Exception as error:
        text = " ".join(str(error).replace(str(source.path), source.name).split()) or type(error).__name__
        raise NotARadarFile(
            f"cannot be read as {format_name}: {text[:300]}", where=source.name, hint=DAMAGED
        ) from error


def file_by_file(read_file: Callable[[Source, Options], FrameSequence], format_name: str) -> ReadFrames:
    """A `read_frames` for formats where each file stands alone."""

    def read_frames(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
        for source in sources:
            with reading(source, format_name):
                frames = read_file(source, options)
            yield source, frames

    return read_frames


def check_pixels(grid: Grid) -> None:
    """Refuse projected pixels that are smaller than any radar's: they are in another unit than the projection.

    Raises
    ------
    NotARadarFile
        They are.
    """
    dy, dx = grid.pixel_size_m
    if not grid.crs.is_geographic and min(dy, dx) < LEAST_PIXEL_M:
        raise NotARadarFile(
            f"its pixels are {dx:.3g} x {dy:.3g} m in size, probably because its x and y are in km",
            hint="Give x and y in the unit of their projection, or say their unit (units = 'km' in netCDF)",
        )


def check_size(*shape: int, taken: int = 0, max_pixels: int = MAX_TOTAL_PIXELS) -> None:
    """Refuse a declared shape (..., y, x) that no radar has, before it is allocated.

    Raises
    ------
    NotARadarFile
        A length is not positive.
    TooLarge
        More than `MAX_GRID_PIXELS` on the grid, more than `max_pixels` with those `taken` by files
        before it, or more than `MAX_FRAMES`.
    """
    lengths = [int(length) for length in shape]
    if min(lengths) < 1:
        raise NotARadarFile(f"it declares an empty grid {tuple(lengths)}", hint=DAMAGED)
    total = math.prod(lengths)
    grid = math.prod(lengths[-2:])
    if grid > MAX_GRID_PIXELS or taken + total > max_pixels or total > grid * MAX_FRAMES:
        before = f" after {taken:,} of the files before it" if taken else ""
        raise TooLarge(
            f"it declares {' x '.join(map(str, lengths))} pixels{before}, "
            f"the limit is {MAX_GRID_PIXELS:,} per frame and {max_pixels:,} in all",
            hint="Crop it, or give fewer frames",
        )


def check_one_variable(options: Options, name: str) -> None:
    """For a format that holds one variable only: refuse any other that was asked for.

    Raises
    ------
    UnknownVariable
        Another was asked for.
    """
    if options.variable not in (None, name):
        raise UnknownVariable(
            f"it has no variable {options.variable!r}: this format holds one variable, {name}",
            hint=f"Leave the variable out, or ask for {name}",
        )


def rain_of_reflectivity(
    reflectivity_dbz: FloatArray,
    options: Options,
    default: ZRRelation,
    *,
    pixels: NDArray[np.uint8] | None = None,
) -> tuple[FloatArray, dict[str, str]]:
    """Rain rate (mm h-1, float32) of reflectivity (dBZ, changed in place), and the attributes that say how it was made.

    None below `NO_ECHO_DBZ`. What no atmosphere holds is NaN, and NaN stays NaN (`plausible`); what exceeds the cap of
    the options counts as the cap. Of 8-bit `pixels`, `reflectivity_dbz` is that of the 256 values.

    Raises
    ------
    InputError
        No relation has the name asked for.
    """
    relation = options.relation(default)
    drop_implausible_dbz(reflectivity_dbz)
    above = reflectivity_dbz > np.float32(options.max_dbz)
    capped = int(np.count_nonzero(above if pixels is None else above[pixels]))
    np.minimum(reflectivity_dbz, np.float32(options.max_dbz), out=reflectivity_dbz)
    rain = relation.rain_rate_mm_h(reflectivity_dbz)
    rain[reflectivity_dbz < NO_ECHO_DBZ] = 0.0
    np.minimum(rain, np.float32(MOST_MM_H), out=rain)  # or a high cap would make no data of hail
    return (rain if pixels is None else rain[pixels]), describe_reflectivity(relation, options.max_dbz, capped)


def describe_reflectivity(relation: ZRRelation, max_dbz: float, capped: int) -> dict[str, str]:
    """The attributes that say how reflectivity became rain, and how many pixels exceeded the cap."""
    counted = {CAPPED: str(capped)} if capped else {}
    return {"quantity": "reflectivity", "zr_relation": describe_zr(relation), "max_dbz": f"{max_dbz:g}", **counted}


def describe_zr(relation: ZRRelation) -> str:
    """The attribute that says how reflectivity became rain: `fmi: Z = 223 R^1.53`."""
    return f"{relation.name}: Z = {relation.a:g} R^{relation.b:g}"


def rain_per_hour(amount_mm: FloatArray, interval: np.timedelta64) -> FloatArray:
    """Mean rain rate (mm h-1) of an accumulation (mm) over `interval`; NaN where it exceeds all that ever fell.

    Raises
    ------
    NotARadarFile
        The interval is not positive.
    """
    hours = float(interval / np.timedelta64(1, "s")) / 3600.0
    if not hours > 0:
        raise NotARadarFile("its accumulation period does not end after it starts", hint="Correct its period")
    with np.errstate(over="ignore"):
        rain = amount_mm / np.float32(hours)
    beyond = amount_mm > most_mm(hours)
    check_unit(amount_mm, beyond, "mm")
    rain[beyond] = np.nan
    return rain


def utc_text(time: np.datetime64) -> str:
    """`2010-08-26T00:05Z`, with seconds where there are any."""
    return f"{np.datetime_as_string(time, unit='s').removesuffix(':00')}Z"


def describe_accumulation(interval: np.timedelta64) -> str:
    """The `quantity` attribute of an accumulation: `accumulation over 5 min`."""
    return f"{ACCUMULATION}{float(interval / np.timedelta64(1, 's')) / 60:g} min"


def describe_mean(minutes: float) -> str:
    """The `quantity` attribute of rain rates that are means over so long: `rain rate, mean over 60 min`."""
    return f"rain rate, {MEAN}{minutes:g} min"


def period_minutes(quantity: str) -> float | None:
    """The period that the `quantity` of frames names, the longest where their files differ; None of other frames."""
    found = re.findall(rf"(?:{ACCUMULATION}|{MEAN})([\d.]+(?:e[+]\d+)?) min", quantity)
    return max(map(float, found), default=None)
