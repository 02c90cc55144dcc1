"""Where things lie in an archive: frames and masks by valid time, as in HKO-7, and the static mask."""

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
    """Where the frame of a valid time (UTC) lies."""
    return _path(root, FRAMES, time, ".png")


def mask_path(root: Path, time: np.datetime64) -> Path:
    """Where the no-data mask of a valid time (UTC) lies, if it has one."""
    return _path(root, MASKS, time, ".mask")


def _path(root: Path, tree: str, time: np.datetime64, suffix: str) -> Path:
    moment = datetime.fromtimestamp(int(time.astype("datetime64[s]").astype("int64")), UTC)
    return root / tree / f"{moment:%Y/%m/%d}" / f"RAD{moment:%y%m%d%H%M%S}{suffix}"


def list_times(root: Path) -> NDArray[np.datetime64]:
    """Valid times (UTC, datetime64[s], in order) of the frames in an archive's tree.

    Raises
    ------
    InputError
        The name of a frame is no time, or not one of the day whose folder it lies in.
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
                    "its name is not a time of the day that it lies in",
                    where=str(folder / name),
                    hint=f"Name it RADyymmddHHMMSS.png, in {FRAMES}/YYYY/MM/DD, or take it out",
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
    """Where [y, x] the radar never sees: `exclude_mask` of `mask_dat.npz`; None where there is no such file.

    Raises
    ------
    InputError
        The file is damaged, or of another size.
    """
    path = root / STATIC_MASK
    if not path.exists():
        return None
    mask = static_mask(Source(path=path, name=str(path)))
    if mask.shape != shape:
        raise InputError(
            f"its exclude_mask is {mask.shape}, the archive's frames are {shape}",
            where=str(path),
            hint="Take it out: it is of another radar",
        )
    return mask
