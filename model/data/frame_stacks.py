"""Training windows of stacks of frames, of any length and size, in .npy, .npz and HDF5 files."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NoData, TooFewFrames
from model.core.units import FloatArray
from model.data.stack_files import Stack, open_stacks
from model.data.video_clips import digest_files, window_from_clip
from model.data.windows import Provenance, Window

OPTION: Final = re.compile(r",(axes|variable|range|nodata|crop|step)=([^,]*)$")
NUMBER: Final = r"([-+.\deE]+)"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """How stacks are read.

    `axes`: see `Stack`; by default tyx, tcyx or ntcyx. `variable`: name of the array in a file. `range`: the values
    that become 0 and 1; by default 0 and 255 for bytes, 0 and 1 for other numbers. `nodata`: the value that marks
    missing data, besides NaN. `crop`: side of a random square in pixels; None: whole frames. `step`: minutes between
    frames.

    Raises
    ------
    InputError
        An option has an invalid value.
    """

    axes: str | None = None
    variable: str | None = None
    range: tuple[float, float] | None = None
    nodata: float | None = None
    crop: int | None = None
    step: float = 1.0

    def __post_init__(self) -> None:
        problem = ""
        if self.axes is not None and (
            not set("tyx") <= set(self.axes) <= set("ntcyx") or len(set(self.axes)) < len(self.axes)
        ):
            problem = f"axes={self.axes}: give a letter per dimension: t, y, x, and c (channels) or n (sequences)"
        elif self.range is not None and not (all(map(math.isfinite, self.range)) and self.range[0] < self.range[1]):
            problem = "range: give the smallest and the largest value, as range=0..70"
        elif self.crop is not None and self.crop < 1:
            problem = "crop: give a number of pixels"
        elif not 0 < self.step < math.inf:
            problem = "step: give minutes"
        if problem:
            raise InputError(problem, where="--data frames", hint="Correct it")

    @classmethod
    def parse(cls, text: str) -> tuple[str, StackOptions]:
        """Split `PATH,axes=ntyx,variable=NAME,range=0..70,nodata=-9999,crop=128,step=5` into path and options.

        Raises
        ------
        InputError
            An option is unknown or has an invalid value.
        """
        given: dict[str, str] = {}
        while match := OPTION.search(text):
            given[match[1]] = match[2]
            text = text[: match.start()]
        if re.search(r",\w+=", text) and not Path(text).exists():
            raise InputError(
                f"{text.rpartition(',')[2]} is not an option",
                where="--data frames",
                hint="Choose among axes, variable, range, nodata, crop and step",
            )
        try:
            ends = re.fullmatch(rf"{NUMBER}\.\.{NUMBER}", given["range"]) if "range" in given else None
            if "range" in given and ends is None:
                raise ValueError(given["range"])
            return text, cls(
                axes=given.get("axes"),
                variable=given.get("variable"),
                range=(float(ends[1]), float(ends[2])) if ends else None,
                nodata=float(given["nodata"]) if "nodata" in given else None,
                crop=int(given["crop"]) if "crop" in given else None,
                step=float(given.get("step", 1)),
            )
        except ValueError as error:
            what = f"the value of an option is not a number ({error})"
            raise InputError(what, where="--data frames", hint="Write it like range=0..70") from None


class FrameStackDataset:
    """A data set of windows of stacks of frames; see `model.data.datasets.WindowDataset`.

    The end of each sequence is held out. Sequences that are too short to be cut in two are trained on or held out as a
    whole, in the same proportion; sequences shorter than a window are left out with a warning.

    Parameters
    ----------
    path
        A file, or a folder of files.
    options
        How the files are read.
    cache_folder
        Folder of unpacked arrays.
    context, leads
        Frames in and out.
    channels
        Number of channels that the network reads; None: those of the files.
    multiple
        Sides of frames are padded to multiples of this number, with missing data.
    holdout
        Fraction of each sequence, or of the short sequences, that is held out.

    Raises
    ------
    InputError
        A file cannot be read, files differ in size, or a value is outside the range.
    TooFewFrames
        There is no window to train on, or none to hold out.
    """

    kind: Literal["rain", "frames"] = "frames"

    def __init__(
        self,
        path: Path,
        options: StackOptions,
        cache_folder: Path,
        *,
        context: int = 10,
        leads: int = 10,
        channels: int | None = None,
        multiple: int = 1,
        holdout: float = 0.25,
    ) -> None:
        self.path = path
        self.options = options
        self.context = context
        self.length = context + leads
        self.multiple = multiple
        self.stacks = open_stacks(path, axes=options.axes, variable=options.variable, cache_folder=cache_folder)
        self.channels = self.stacks[0].size("c")
        self._check_shapes(channels)
        self._ranges = [self._range_of(stack) for stack in self.stacks]
        self._training, self._held_out = self._split(holdout)

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches without end; each start in each sequence is equally likely."""
        while True:
            yield [self._window(self._training, int(at), rng) for at in rng.integers(self._training.number, size=batch)]

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return `count` different windows, or all of them, in the order of the files."""
        rng = np.random.default_rng(seed)
        part = self._held_out
        indices = np.sort(rng.choice(part.number, size=min(count, part.number), replace=False, shuffle=False))
        windows = [self._window(part, int(at), rng) for at in indices]
        return [windows[first : first + batch] for first in range(0, len(windows), batch)]

    def provenance(self) -> Provenance:
        """Return the digest of the files and of the options."""
        files = sorted({stack.path for stack in self.stacks})
        digest = hashlib.sha256(f"{digest_files(files)} {self.options}".encode()).hexdigest()
        return Provenance(digest=digest, days=(), sources=(f"frames of {self.path.resolve().name}",))

    def _check_shapes(self, channels: int | None) -> None:
        first = self.stacks[0]
        rows, columns = first.size("y"), first.size("x")
        for stack in self.stacks:
            if [stack.size(axis) for axis in "cyx"] != [first.size(axis) for axis in "cyx"]:
                raise InputError(
                    f"frames are {_size_of(stack)}, those of {first.path} are {_size_of(first)}",
                    where=str(stack.path),
                    hint="Train on files of one size, or crop them to one size",
                )
        if channels is not None and self.channels != channels:
            read_as = ", ".join(first.axes)
            raise InputError(
                f"{list(first.shape)}, read as [{read_as}], has {self.channels} channels, the network reads {channels}",
                where=str(first.path),
                hint=f"If the axes are others, name them: --data frames:{self.path},axes=ntyx; to train on these "
                f"channels, add --set model.channels={self.channels}",
            )
        if self.options.crop is not None and self.options.crop > min(rows, columns):
            what = f"crop={self.options.crop} exceeds the frames of {rows} x {columns}"
            raise InputError(what, where=str(first.path), hint=f"Give {min(rows, columns)} at most, or leave crop out")

    def _range_of(self, stack: Stack) -> tuple[float, float]:
        """Return the values of a stack that become 0 and 1, and check that all values are between them."""
        if self.options.range is None and stack.dtype == np.uint8 and not stack.scaled:
            return 0.0, 255.0
        low, high = self.options.range or (0.0, 1.0)
        lowest, highest = math.inf, -math.inf
        for block in stack.blocks():
            known = block[~np.isnan(self._mask_nodata(block))]
            if known.size:
                lowest, highest = min(lowest, float(known.min())), max(highest, float(known.max()))
        if lowest > highest:
            raise NoData(f"{list(stack.shape)} holds no data", where=str(stack.path), hint="Leave it out")
        tolerance = 1e-5 * (high - low)
        if lowest < low - tolerance or highest > high + tolerance:
            hint = f"Give the values of 0 and 1: --data frames:{self.path},range={lowest:g}..{highest:g}"
            hint += ", and nodata=VALUE if one marks missing data"
            what = f"values are from {lowest:g} to {highest:g}, not from {low:g} to {high:g}"
            raise InputError(what, where=str(stack.path), hint=hint)
        return low, high

    def _mask_nodata(self, values: FloatArray) -> FloatArray:
        """Replace the value that marks missing data by NaN."""
        return values if self.options.nodata is None else np.where(values == self.options.nodata, np.nan, values)

    def _split(self, holdout: float) -> tuple[_WindowIndex, _WindowIndex]:
        """Return the windows to train on and those to hold out."""
        train: list[tuple[int, int, int, int]] = []
        held: list[tuple[int, int, int, int]] = []
        short: list[tuple[int, int, int, int]] = []
        longest = 0
        for index, stack in enumerate(self.stacks):
            frames = stack.size("t")
            longest = max(longest, frames)
            border = min(round(frames * (1 - holdout)), frames - self.length)
            if frames < self.length:
                log.warning("echocast: %s is left out: %d frames, a window needs %d", stack.path, frames, self.length)
                continue
            for sequence in range(stack.size("n")):
                if border >= self.length:
                    train.append((index, sequence, 0, border - self.length + 1))
                    held.append((index, sequence, border, frames - border - self.length + 1))
                else:
                    short.append((index, sequence, 0, frames - self.length + 1))
        number = math.floor(len(short) * holdout + 0.5)
        number = max(number, 0 if held else 1) if len(short) > 1 or not train else 0
        train += short[: len(short) - number]
        held += short[len(short) - number :]
        for stretches, purpose in ((train, "train on"), (held, "hold out")):
            if not stretches:
                raise TooFewFrames(
                    f"no window to {purpose}: the longest sequence has {longest} frames, a window needs {self.length}, "
                    "and one is held out",
                    where=str(self.path),
                    hint=f"Give {2 * self.length} frames or more in a row, or --set windows.leads and windows.context",
                )
        return _WindowIndex(train), _WindowIndex(held)

    def _window(self, windows: _WindowIndex, at: int, rng: np.random.Generator) -> Window:
        index, sequence, first = windows.locate(at)
        stack = self.stacks[index]
        sides = (stack.size("y"), stack.size("x"))
        cut = [slice(0, side) for side in sides]
        if self.options.crop is not None:
            firsts = [int(rng.integers(side - self.options.crop + 1)) for side in sides]
            cut = [slice(corner, corner + self.options.crop) for corner in firsts]
        values = self._mask_nodata(stack.read(sequence, first, self.length, *cut))
        low, high = self._ranges[index]
        values = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32, copy=False)
        padding = [(0, -side % self.multiple) for side in values.shape[2:]]
        values = np.pad(values, [(0, 0), (0, 0), *padding], constant_values=np.float32(np.nan))
        return window_from_clip(values, self.context, self.options.step)


class _WindowIndex:
    """Windows by number, from stretches of (stack, sequence, first start, number of starts)."""

    def __init__(self, stretches: Sequence[tuple[int, int, int, int]]) -> None:
        self._stretches: NDArray[np.int64] = np.array(stretches, np.int64).reshape(-1, 4)
        self._ends = np.cumsum(self._stretches[:, 3])
        self.number = int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, at: int) -> tuple[int, int, int]:
        """Return stack, sequence and first frame of a window."""
        stretch = int(np.searchsorted(self._ends, at, side="right"))
        stack, sequence, first, number = map(int, self._stretches[stretch])
        return stack, sequence, first + at - (int(self._ends[stretch]) - number)


def _size_of(stack: Stack) -> str:
    return f"{stack.size('y')} x {stack.size('x')} with {stack.size('c')} channels, {list(stack.shape)}"
