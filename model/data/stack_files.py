"""Files of stacked frames, .npy, .npz and HDF5: read a few frames at a time, however long they are; never unpickled."""

from __future__ import annotations

import hashlib
import math
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import h5py
import numpy as np

from model.core.atomic import atomic_file, translate_write_errors
from model.core.errors import InputError, first_line
from model.core.units import FloatArray
from model.readers.hdf5 import check_self_contained

HDF5: Final = (".h5", ".hdf5", ".hdf", ".he5")
SUFFIXES: Final = (".npy", ".npz", *HDF5)
AXES_OF_DIMENSIONS: Final = {3: "tyx", 4: "tcyx", 5: "ntcyx"}
NUMBERS: Final = "biuf"
BLOCK_NUMBERS: Final = 16_000_000
"""So many are looked at together where a whole file is gone through."""
UNREADABLE: Final = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)
"""What numpy, zipfile and h5py raise on files that are damaged."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """An array of frames in a file: as the user knows it, and where it lies `stored`.

    `axes`: a letter for each of its dimensions: n sequences, t frames, c channels, y rows, x columns. `gain`, `offset`,
    `fill`: what HDF5 says of its numbers (`scale_factor`, `add_offset`, `_FillValue`).
    """

    path: Path
    stored: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    gain: float = 1.0
    offset: float = 0.0
    fill: float | None = None

    def size(self, axis: str) -> int:
        """How many sequences, frames, channels, rows or columns; one where there is no such axis."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def scaled(self) -> bool:
        """Whether its numbers are other than they are stored."""
        return (self.gain, self.offset) != (1.0, 0.0)

    def read(self, sequence: int, first: int, length: int, rows: slice, columns: slice) -> FloatArray:
        """Frames [t, c, y, x] of a sequence, in the file's own units, NaN where it says that there are no data.

        Raises
        ------
        InputError
            They cannot be read.
        """
        at: dict[str, int | slice] = {"n": sequence, "t": slice(first, first + length), "c": slice(None)}
        at |= {"y": rows, "x": columns}
        with _opened(self) as array:
            frames = np.asarray(array[tuple(at[axis] for axis in self.axes)])
        left = self.axes.replace("n", "")
        frames = frames.transpose([left.index(axis) for axis in "tcyx" if axis in left])
        if "c" not in left:
            frames = frames[:, np.newaxis]
        if frames.dtype.kind == "f":
            frames = frames.astype(np.float32)
        values = np.asarray(frames, np.float32) * np.float32(self.gain) + np.float32(self.offset)
        if self.fill is not None:
            values[frames == self.fill] = np.nan
        return np.ascontiguousarray(values)

    def blocks(self) -> Iterator[FloatArray]:
        """All of it, a part at a time."""
        y, x = self.size("y"), self.size("x")
        step = max(1, BLOCK_NUMBERS // max(1, self.size("c") * y * x))
        for sequence in range(self.size("n")):
            for first in range(0, self.size("t"), step):
                yield self.read(sequence, first, step, slice(0, y), slice(0, x))


def open_stacks(path: Path, *, axes: str | None, variable: str | None, cache_folder: Path) -> list[Stack]:
    """The stack of a file, or those of all files below a folder, by name. Arrays of .npz are unpacked into
    `cache_folder`, once, so that they need not be held in memory.

    Raises
    ------
    InputError
        There is none, or one cannot be read.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), hint="Check the path")
    files = (
        sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
        if path.is_dir()
        else [path]
    )
    if not files or files[0].suffix.lower() not in SUFFIXES:
        what = "no stacks of frames in it" if path.is_dir() else "not a stack of frames, by its name"
        raise InputError(what, where=str(path), hint=f"Give files ending in {', '.join(SUFFIXES)}, or a folder of them")
    return [_stack_of(file, axes, variable, cache_folder) for file in files]


def _stack_of(path: Path, axes: str | None, variable: str | None, cache_folder: Path) -> Stack:
    attributes: dict[str, float] = {}
    try:
        if path.suffix.lower() in HDF5:
            member, shape, dtype, attributes = _in_hdf5(path, variable)
            stored = path
        else:
            member, stored = None, path
            if path.suffix.lower() == ".npz":
                stored = _unpacked(path, variable, cache_folder)
            array = np.load(stored, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays: name it .npz")
            shape, dtype = array.shape, array.dtype
    except InputError as error:
        if str(path) in error.where or error.where == str(cache_folder):
            raise
        raise InputError(error.what, where=str(path), hint=error.hint) from None
    except UNREADABLE as error:
        raise InputError(
            f"it cannot be read ({first_line(error)})",
            where=str(path),
            hint="Give a whole file of plain numbers: fetch or write it again",
        ) from None
    told = f"{'' if member is None else f'{member} '}{list(shape)}"
    if dtype.kind not in NUMBERS:
        raise InputError(f"{told} holds {dtype}, no numbers", where=str(path), hint="Write it as numbers")
    fitting = axes or AXES_OF_DIMENSIONS.get(len(shape), "")
    if len(fitting) != len(shape) or not math.prod(shape):
        raise InputError(
            f"{told} is no stack of frames"
            + (f" with the axes {axes}" if axes else "")
            + ("" if math.prod(shape) else ": it is empty"),
            where=str(path),
            hint="Give [t, y, x], [t, c, y, x] or [n, t, c, y, x], or name its axes: --data frames:PATH,axes=ntyx",
        )
    stack = Stack(path=path, stored=stored, member=member, shape=shape, dtype=dtype, axes=fitting)
    return replace(stack, **attributes)  # type: ignore[arg-type]


@contextmanager
def _opened(stack: Stack) -> Iterator[Any]:
    """The array, to be cut. Opened for each cut: thousands of files are not held open."""
    try:
        if stack.member is None:
            yield np.load(stack.stored, mmap_mode="r", allow_pickle=False)
        else:
            with h5py.File(stack.stored, "r") as file:
                yield file[stack.member]
    except UNREADABLE as error:
        raise InputError(f"it cannot be read ({error})", where=str(stack.path), hint="Write it again") from None


def _in_hdf5(path: Path, variable: str | None) -> tuple[str, tuple[int, ...], np.dtype[Any], dict[str, float]]:
    """Name, shape and type of the array of an HDF5 file, and what its attributes say of its numbers."""
    check_self_contained(path)
    found: dict[str, tuple[int, ...]] = {}

    def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            found[name] = node.shape

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        member = _chosen(path, found, variable)
        node = file[member]
        names = {"scale_factor": "gain", "add_offset": "offset", "_FillValue": "fill"}
        said = {ours: float(np.asarray(node.attrs[n]).item()) for n, ours in names.items() if n in node.attrs}
        return member, node.shape, node.dtype, said


def _unpacked(path: Path, variable: str | None, cache_folder: Path) -> Path:
    """The array of a .npz as a .npy of its own."""
    with zipfile.ZipFile(path) as archive:
        found = {}
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as file:
                    version = np.lib.format.read_magic(file)
                    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2
                    found[info.filename.removesuffix(".npy")] = header(file)[0]
        member = _chosen(path, found, variable)
        state = path.stat()
        key = hashlib.sha256(f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {member}".encode()).hexdigest()
        unpacked = cache_folder / f"{path.stem}-{key[:12]}.npy"
        if unpacked.exists():
            return unpacked
        info = archive.getinfo(f"{member}.npy")
        with translate_write_errors(cache_folder, hint_disk_full="Make room, or choose another --cache"):
            cache_folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(cache_folder).free
            if info.file_size > free:
                raise InputError(
                    f"{member} is {info.file_size / 1e9:,.1f} GB unpacked, and {free / 1e9:,.1f} GB are free",
                    where=str(cache_folder),
                    hint="Make room, choose another --cache, or write it as .npy, which is read where it lies",
                )
            with archive.open(info) as packed, atomic_file(unpacked) as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    return unpacked


def _header_2(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_2_0(file)


def _chosen(path: Path, found: dict[str, tuple[int, ...]], variable: str | None) -> str:
    """The array that is asked for, or the only one that may be a stack."""
    fitting = {name: shape for name, shape in found.items() if len(shape) in AXES_OF_DIMENSIONS}
    told = ", ".join(f"{name} {list(shape)}" for name, shape in found.items()) or "no array"
    if variable is not None:
        if variable in found:
            return variable
        raise InputError(f"it has no array {variable}", where=str(path), hint=f"It holds {told}")
    if len(fitting) == 1:
        return next(iter(fitting))
    what = "several arrays may be its frames" if fitting else "no array in it is a stack of frames"
    raise InputError(
        f"{what}: {told}",
        where=str(path),
        hint="Name one: --data frames:PATH,variable=NAME" if fitting else "Give [t, y, x], [t, c, y, x] or more",
    )
