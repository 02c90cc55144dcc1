"""TaxiBJ (Zhang et al. 2017, arXiv 1610.00081): taxi inflow and outflow of 32 x 32 areas of Beijing, every half hour.

Four frames in, four out, two channels; the last four weeks are the test.
"""

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
    """A number of clips, and how to read them."""

    number: int
    read_clip: ReadClip


class TaxiBJ:
    """The TaxiBJ data set; see `model.data.datasets.WindowDataset`.

    Counts are scaled so that the minimum and the maximum of the training part become 0 and 1.

    Parameters
    ----------
    path
        OpenSTL's `dataset.npz`, an original .h5 file, or a folder of either.
    context, leads
        Frames in and out.

    Raises
    ------
    InputError
        The files are missing or not the expected ones, or sequences are shorter than a window.
    """

    channels = CHANNELS
    kind: Literal["rain", "frames"] = "frames"

    def __init__(self, path: Path, *, context: int = 4, leads: int = 4) -> None:
        self.path = path
        self.context = context
        self.leads = leads
        self.files = _find_files(path)
        read = _read_openstl if self.files[0].suffix == ".npz" else _read_flows
        self._training, self._held_out = read(self.files, context + leads)

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches of windows before the last four weeks, without end.

        Raises
        ------
        TooFewFrames
            There are no such windows.
        """
        number = require_clips(self._training.number, "train on", self.path, "Add the files of the earlier years")
        return random_batches(self._training.read_clip, number, self.context, STEP_MINUTES, rng, batch)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return windows of the last four weeks.

        Raises
        ------
        TooFewFrames
            There are no such windows.
        """
        number = require_clips(self._held_out.number, "hold out", self.path, "Add the file of the last year")
        return fixed_batches(self._held_out.read_clip, number, self.context, STEP_MINUTES, seed, batch, count)

    def provenance(self) -> Provenance:
        """Return the digest of the files."""
        return Provenance(digest=digest_files(self.files), days=(), sources=("TaxiBJ (Zhang et al. 2017)",))


def _find_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise dataset_error("no such file or folder", path, SITE)
    if (path / OPENSTL_FILE).is_file():
        return [path / OPENSTL_FILE]
    flows = sorted(path.glob(FLOWS))
    if not flows:
        raise dataset_error(f"the folder has neither {OPENSTL_FILE} nor {FLOWS}", path, SITE)
    return flows


def _read_openstl(files: list[Path], length: int) -> tuple[ClipSet, ClipSet]:
    """Read OpenSTL's sequences in [-1, 1]: `X_*` are the four frames in, `Y_*` the four out."""
    path = files[0]
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name], np.float32) for name in OPENSTL_ARRAYS}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        names = ", ".join(OPENSTL_ARRAYS)
        raise dataset_error(f"not a numpy archive of {names} ({error})", path, SITE) from None
    for name, array in arrays.items():
        if array.ndim != 5 or array.shape[2:] != (CHANNELS, SIDE, SIDE):
            raise dataset_error(f"{name} is {list(array.shape)}, not [n, 4, 2, 32, 32]", path, SITE)
    frames = arrays["X_train"].shape[1] + arrays["Y_train"].shape[1]
    if length > frames:
        what = f"sequences have {frames} frames, a window needs {length}"
        raise InputError(what, where=str(path), hint="Use fewer frames, or the original .h5 files")

    def part(name: str) -> ClipSet:
        context, target = arrays[f"X_{name}"], arrays[f"Y_{name}"]
        if len(context) != len(target):
            raise dataset_error(f"{len(context)} sequences in X_{name}, {len(target)} in Y_{name}", path, SITE)
        return ClipSet(number=len(context), read_clip=partial(_read_sequence, context, target, length))

    return part("train"), part("test")


def _read_sequence(context: FloatArray, target: FloatArray, length: int, index: int) -> FloatArray:
    """Return a sequence [t, 2, 32, 32], converted from [-1, 1] to [0, 1]."""
    return (np.concatenate([context[index], target[index]])[:length] + np.float32(1)) / np.float32(2)


def _read_flows(files: list[Path], length: int) -> tuple[ClipSet, ClipSet]:
    """Read windows of consecutive half hours, each entirely before the last four weeks or entirely within them."""
    read = [_read_flow(path) for path in files]
    slots = np.concatenate([times for times, _ in read])
    order = np.argsort(slots, kind="stable")
    slots, flows = slots[order], np.concatenate([flow for _, flow in read])[order]
    border = slots[-1] + 1 - TEST_DAYS * 48
    firsts = np.arange(max(0, len(slots) - length + 1))
    lasts = firsts + length - 1
    consecutive = slots[lasts] - slots[firsts] == length - 1
    before = flows[slots < border]
    low, high = (float(before.min()), float(before.max())) if before.size else (0.0, 1.0)
    scaled = (flows - np.float32(low)) / np.float32(max(high - low, 1.0))

    def part(starts: NDArray[np.intp]) -> ClipSet:
        return ClipSet(number=starts.size, read_clip=partial(_slice, scaled, starts, length))

    return part(firsts[consecutive & (slots[lasts] < border)]), part(firsts[consecutive & (slots[firsts] >= border)])


def _slice(frames: FloatArray, starts: NDArray[np.intp], length: int, index: int) -> FloatArray:
    return frames[starts[index] : starts[index] + length]


def _read_flow(path: Path) -> tuple[NDArray[np.int64], FloatArray]:
    """Read half hours since 1970 and counts [n, 2, 32, 32]; dates such as 2013070101 end in half hours, 1 to 48."""
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
