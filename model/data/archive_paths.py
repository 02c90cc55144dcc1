"""Paths of the files of an archive: frames and masks by valid time, as in HKO-7, and the static mask."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.readers.hko7 import FRAMES, MASKS, static_mask
from model.readers.source import Source

STATIC_MASK: Final = "mask_dat.npz"
TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3])[0-5]\d[0-5]\d\.png")


def frame_path(root: Path, time: np.datetime64) -> Path:
    """Return the path of the frame of a valid time (UTC)."""
    return _path(root, FRAMES, time, ".png")


def mask_path(root: Path, time: np.datetime64) -> Path:
    """Return the path of the no-data mask of a valid time (UTC); frames without gaps have no such file."""
    return _path(root, MASKS, time, ".mask")


def _path(root: Path, tree: str, time: np.datetime64, suffix: str) -> Path:
    moment = datetime.fromtimestamp(int(time.astype("datetime64[s]").astype("int64")), UTC)
    return root / tree / f"{moment:%Y/%m/%d}" / f"RAD{moment:%y%m%d%H%M%S}{suffix}"


def list_times(root: Path) -> NDArray[np.datetime64]:
    """Return the valid times (UTC, datetime64[s], ascending) of the frames of an archive.

    Raises
    ------
    InputError
        The name of a frame is not a time of the day of its folder.
    """
    tree = root / FRAMES
    found: list[str] = []
    for folder in sorted(tree.glob("*/*/*")):
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        names = [name for name in names if name.startswith("RAD") and name.endswith(".png")]
        day = folder.relative_to(tree).as_posix().replace("/", "-")
        for name in names:
            if name[3:9] != day.replace("-", "")[2:] or not TIME_OF_DAY.fullmatch(name[9:]) or not _is_day(day):
                raise InputError(
                    "its name is not a time of the day of its folder",
                    where=str(folder / name),
                    hint=f"Name it RADyymmddHHMMSS.png, in {FRAMES}/YYYY/MM/DD, or remove it",
                )
            found.append(f"{day}T{name[9:11]}:{name[11:13]}:{name[13:15]}")
    return np.sort(np.array(found, "datetime64[s]"))


def _is_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def read_static_mask(root: Path, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return the pixels [y, x] outside radar coverage, `exclude_mask` of `mask_dat.npz`; None without that file.

    Raises
    ------
    InputError
        The file is damaged, or its shape is not `shape` (rows, columns).
    """
    path = root / STATIC_MASK
    if not path.exists():
        return None
    mask = static_mask(Source(path=path, name=str(path)))
    if mask.shape != shape:
        what = f"its exclude_mask is {mask.shape}, the archive's frames are {shape}"
        raise InputError(what, where=str(path), hint="Remove it: it belongs to another radar")
    return mask
