"""TaxiBJ (Zhang et al. 2017, arXiv 1610.00081): taxis that enter and leave each of 32 x 32 parts of Beijing, every half
hour. Four frames in, four out, two channels; the last four weeks are the test."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.units import FloatArray
from model.data.video_clips import ReadClip, dataset_error, digest_files, fixed_batches, random_batches, require_clips
from model.data.windows import Provenance, Window

CHANNELS: Final = 2
SIDE: Final = 32
STEP_MINUTES: Final = 30.0
TEST_DAYS: Final = 28
OPENSTL_FILE: Final = "dataset.npz"
OPENSTL_ARRAYS: Final = ("X_train", "Y_train", "X_test", "Y_test")
FLOWS: Final = "BJ*_M32x32_T30_InOut.h5"
SITE: Final = (
    "https://github.com/chengtan9907/OpenSTL, file taxibj_dataset.zip, or from the page of DeepST, files "
    "BJ13_M32x32_T30_InOut.h5 to BJ16_M32x32_T30_InOut.h5"
)


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """`number` clips, to train on or to hold out."""

    number: int
    clip: ReadClip


class TaxiBJ:
    """A source of windows of `path`: OpenSTL's `dataset.npz`, the original .h5 files, or a folder of either.

    ImportCounts are scaled by the least and the greatest of the training part, which become 0 and 1.

    Raises
    ------
    InputError
        There is no such file, it holds something else, or its sequences are shorter than a window.
    """

    channels = CHANNELS
    kind: Literal["rain", "frames"] = "frames"

    def __init__(self, path: Path, *, context: int = 4, leads: int = 4) -> None:
        self.path = path
        self.context = context
        self.leads = leads
        self.files = _files(path)
        read = _read_openstl if self.files[0].suffix == ".npz" else _read_flows
        self._training, self._held_out = read(self.files, context + leads)

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Endless windows from before the last four weeks.

        Raises
        ------
        TooFewFrames
            There is none.
        """
        number = require_clips(self._training.number, "train on", self.path, "Add the files of the earlier years")
        return random_batches(self._training.clip, number, self.context, STEP_MINUTES, rng, batch)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Windows of the last four weeks.

        Raises
        ------
        TooFewFrames
            There is none.
        """
        number = require_clips(self._held_out.number, "hold out", self.path, "Add the file of the last year")
        return fixed_batches(self._held_out.clip, number, self.context, STEP_MINUTES, seed, batch, count)

    def provenance(self) -> Provenance:
        """Digest of the files."""
        return Provenance(digest=digest_files(self.files), days=(), sources=("TaxiBJ (Zhang et al. 2017)",))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise dataset_error("no such file or folder", path, SITE)
    if (path / OPENSTL_FILE).is_file():
        return [path / OPENSTL_FILE]
    flows = sorted(path.glob(FLOWS))
    if not flows:
        raise dataset_error(f"neither {OPENSTL_FILE} nor {FLOWS} in it", path, SITE)
    return flows


def _read_openstl(files: list[Path], length: int) -> tuple[ClipSet, ClipSet]:
    """Sequences that are cut already, in [-1, 1]: `X_*` the four frames in and `Y_*` the four out."""
    path = files[0]
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: np.asarray(kept[name], np.float32) for name in OPENSTL_ARRAYS}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        wanted = ", ".join(OPENSTL_ARRAYS)
        raise dataset_error(f"not a numpy archive of {wanted} ({error})", path, SITE) from None
    for name, array in arrays.items():
        if array.ndim != 5 or array.shape[2:] != (CHANNELS, SIDE, SIDE):
            raise dataset_error(f"{name} is {list(array.shape)}, not [n, 4, 2, 32, 32]", path, SITE)
    frames = arrays["X_train"].shape[1] + arrays["Y_train"].shape[1]
    if length > frames:
        raise InputError(
            f"its sequences have {frames} frames, {length} are asked for",
            where=str(path),
            hint="Ask for fewer, or take the original .h5 files",
        )

    def part(which: str) -> ClipSet:
        seen, future = arrays[f"X_{which}"], arrays[f"Y_{which}"]
        if len(seen) != len(future):
            raise dataset_error(f"{len(seen)} sequences in X_{which}, {len(future)} in Y_{which}", path, SITE)
        return ClipSet(number=len(seen), clip=partial(_joined, seen, future, length))

    return part("train"), part("test")


def _joined(seen: FloatArray, future: FloatArray, length: int, index: int) -> FloatArray:
    """From [-1, 1] to [0, 1]."""
    return (np.concatenate([seen[index], future[index]])[:length] + np.float32(1)) / np.float32(2)


def _read_flows(files: list[Path], length: int) -> tuple[ClipSet, ClipSet]:
    """Windows of half hours that follow each other, each wholly before the last four weeks or wholly in them."""
    read = [_read_flow(path) for path in files]
    slots = np.concatenate([times for times, _ in read])
    order = np.argsort(slots, kind="stable")
    slots, flows = slots[order], np.concatenate([flow for _, flow in read])[order]
    border = slots[-1] + 1 - TEST_DAYS * 48
    firsts = np.arange(max(0, len(slots) - length + 1))
    lasts = firsts + length - 1
    unbroken = slots[lasts] - slots[firsts] == length - 1
    before = flows[slots < border]
    least, greatest = (float(before.min()), float(before.max())) if before.size else (0.0, 1.0)
    scaled = (flows - np.float32(least)) / np.float32(max(greatest - least, 1.0))

    def part(chosen_firsts: NDArray[np.intp]) -> ClipSet:
        return ClipSet(number=chosen_firsts.size, clip=partial(_cut, scaled, chosen_firsts, length))

    return part(firsts[unbroken & (slots[lasts] < border)]), part(firsts[unbroken & (slots[firsts] >= border)])


def _cut(frames: FloatArray, firsts: NDArray[np.intp], length: int, index: int) -> FloatArray:
    return frames[firsts[index] : firsts[index] + length]


def _read_flow(path: Path) -> tuple[NDArray[np.int64], FloatArray]:
    """Half hours since 1970 and counts [n, 2, 32, 32] of one file. A date such as 2013070101 ends in 1 to 48."""
    try:
        with h5py.File(path, "r") as file:
            flows = np.asarray(file["data"], np.float32)
            dates = [bytes(date).decode("ascii") for date in file["date"]]
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise dataset_error(f"not an HDF5 file with `data` and `date` ({error})", path, SITE) from None
    if flows.shape != (len(dates), CHANNELS, SIDE, SIDE) or not dates:
        raise dataset_error(f"`data` is {list(flows.shape)} for {len(dates)} dates, not [n, 2, 32, 32]", path, SITE)
    try:
        days = np.array([f"{date[:4]}-{date[4:6]}-{date[6:8]}" for date in dates], "datetime64[D]").astype(np.int64)
        halves = np.array([int(date[8:]) for date in dates], np.int64)
    except ValueError as error:
        raise dataset_error(f"a date is not YYYYMMDD and a half hour ({error})", path, SITE) from None
    return days * 48 + halves - 1, flows
