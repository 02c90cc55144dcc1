"""Files of stacked frames, .npy, .npz and HDF5: read a few frames at a time, and never unpickled."""

from __future__ import annotations

import hashlib
import math
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

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
BLOCK_SIZE: Final = 16_000_000
"""Numbers per block when a whole file is read."""
UNREADABLE: Final = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)
"""Errors of numpy, zipfile and h5py for damaged files."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """An array of frames in a file.

    `path`: the file of the user. `stored`: the file that is read, which for .npz is an unpacked copy. `member`: name
    of the array in an HDF5 file. `axes`: a letter per dimension: n sequences, t frames, c channels, y rows,
    x columns. `gain`, `offset`, `fill`: `scale_factor`, `add_offset` and `_FillValue` of an HDF5 file.
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
        """Return the size along an axis; 1 if the array does not have the axis."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def scaled(self) -> bool:
        """Whether values differ from the stored numbers."""
        return (self.gain, self.offset) != (1.0, 0.0)

    def read(self, sequence: int, first: int, length: int, rows: slice, columns: slice) -> FloatArray:
        """Read frames [t, c, y, x] of a sequence, in the units of the file, NaN for its fill value.

        Raises
        ------
        InputError
            The frames cannot be read.
        """
        index: dict[str, int | slice] = {"n": sequence, "t": slice(first, first + length), "c": slice(None)}
        index |= {"y": rows, "x": columns}
        with _opened(self) as array:
            frames = np.asarray(array[tuple(index[axis] for axis in self.axes)])
        axes = self.axes.replace("n", "")
        frames = frames.transpose([axes.index(axis) for axis in "tcyx" if axis in axes])
        if "c" not in axes:
            frames = frames[:, np.newaxis]
        if frames.dtype.kind == "f":
            frames = frames.astype(np.float32)
        values = np.asarray(frames, np.float32) * np.float32(self.gain) + np.float32(self.offset)
        if self.fill is not None:
            values[frames == self.fill] = np.nan
        return np.ascontiguousarray(values)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all frames in blocks [t, c, y, x]."""
        y, x = self.size("y"), self.size("x")
        step = max(1, BLOCK_SIZE // max(1, self.size("c") * y * x))
        for sequence in range(self.size("n")):
            for first in range(0, self.size("t"), step):
                yield self.read(sequence, first, step, slice(0, y), slice(0, x))


def open_stacks(path: Path, *, axes: str | None, variable: str | None, cache_folder: Path) -> list[Stack]:
    """Open the stack of a file, or those of all files below a folder, by name.

    Parameters
    ----------
    path
        A .npy, .npz or HDF5 file, or a folder.
    axes
        Axes of the arrays; by default tyx, tcyx or ntcyx.
    variable
        Name of the array in each file; by default the only array that may be a stack.
    cache_folder
        Folder where arrays of .npz files are unpacked, once, because only .npy can be memory-mapped.

    Raises
    ------
    InputError
        There is no stack, or one cannot be read.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), hint="Check the path")
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
    if not files or files[0].suffix.lower() not in SUFFIXES:
        problem = "the folder has no stacks" if path.is_dir() else "its name is not that of a stack"
        raise InputError(
            problem, where=str(path), hint=f"Give files ending in {', '.join(SUFFIXES)}, or a folder of them"
        )
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
                raise ValueError("several arrays: name the file .npz")
            shape, dtype = array.shape, array.dtype
    except InputError as error:
        if str(path) in error.where or error.where == str(cache_folder):
            raise
        raise InputError(error.what, where=str(path), hint=error.hint) from None
    except UNREADABLE as error:
        raise InputError(
            f"it cannot be read ({first_line(error)})",
            where=str(path),
            hint="Give an intact file of plain numbers: download or write it again",
        ) from None
    array_text = f"{'' if member is None else f'{member} '}{list(shape)}"
    if dtype.kind not in NUMBERS:
        raise InputError(f"{array_text} holds {dtype}, not numbers", where=str(path), hint="Write it as numbers")
    stack_axes = axes or AXES_OF_DIMENSIONS.get(len(shape), "")
    if len(stack_axes) != len(shape) or not math.prod(shape):
        raise InputError(
            f"{array_text} is not a stack of frames"
            + (f" with the axes {axes}" if axes else "")
            + ("" if math.prod(shape) else ": it is empty"),
            where=str(path),
            hint="Give [t, y, x], [t, c, y, x] or [n, t, c, y, x], or name the axes: --data frames:PATH,axes=ntyx",
        )
    stack = Stack(path=path, stored=stored, member=member, shape=shape, dtype=dtype, axes=stack_axes)
    return replace(stack, **attributes)  # type: ignore[arg-type]


@contextmanager
def _opened(stack: Stack) -> Iterator[Any]:
    """Open the array for one read, so that thousands of files need not stay open."""
    try:
        if stack.member is None:
            yield np.load(stack.stored, mmap_mode="r", allow_pickle=False)
        else:
            with h5py.File(stack.stored, "r") as file:
                yield file[stack.member]
    except UNREADABLE as error:
        raise InputError(f"it cannot be read ({error})", where=str(stack.path), hint="Write it again") from None


def _in_hdf5(path: Path, variable: str | None) -> tuple[str, tuple[int, ...], np.dtype[Any], dict[str, float]]:
    """Return name, shape, type, and scaling attributes of the array of an HDF5 file."""
    check_self_contained(path)
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            shapes[name] = node.shape

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        member = _select_array(path, shapes, variable)
        node = file[member]
        names = {"scale_factor": "gain", "add_offset": "offset", "_FillValue": "fill"}
        attributes = {field: float(np.asarray(node.attrs[n]).item()) for n, field in names.items() if n in node.attrs}
        return member, node.shape, node.dtype, attributes


def _unpacked(path: Path, variable: str | None, cache_folder: Path) -> Path:
    """Unpack the array of a .npz file into a .npy file, once, and return the path of that file."""
    with zipfile.ZipFile(path) as archive:
        shapes = {}
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as file:
                    version = np.lib.format.read_magic(file)
                    form = np.lib.format
                    read_header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
                    shapes[info.filename.removesuffix(".npy")] = read_header(file)[0]
        member = _select_array(path, shapes, variable)
        status = path.stat()
        key = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {member}".encode()).hexdigest()
        unpacked = cache_folder / f"{path.stem}-{key[:12]}.npy"
        if unpacked.exists():
            return unpacked
        info = archive.getinfo(f"{member}.npy")
        with translate_write_errors(cache_folder, hint_disk_full="Make room, or choose another --cache"):
            cache_folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(cache_folder).free
            if info.file_size > free:
                raise InputError(
                    f"{member} needs {info.file_size / 1e9:,.1f} GB unpacked, {free / 1e9:,.1f} GB are free",
                    where=str(cache_folder),
                    hint="Make room, choose another --cache, or write it as .npy, which is read in place",
                )
            with archive.open(info) as packed, atomic_file(unpacked) as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    return unpacked


def _select_array(path: Path, shapes: dict[str, tuple[int, ...]], variable: str | None) -> str:
    """Return the name of the requested array, or of the only one that may be a stack."""
    candidates = {name: shape for name, shape in shapes.items() if len(shape) in AXES_OF_DIMENSIONS}
    listing = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "no array"
    if variable is not None:
        if variable in shapes:
            return variable
        raise InputError(f"it has no array {variable}", where=str(path), hint=f"It holds {listing}")
    if len(candidates) == 1:
        return next(iter(candidates))
    problem = "several arrays may be the frames" if candidates else "no array is a stack of frames"
    raise InputError(
        f"{problem}: {listing}",
        where=str(path),
        hint="Name one: --data frames:PATH,variable=NAME" if candidates else "Give [t, y, x], [t, c, y, x] or more",
    )
