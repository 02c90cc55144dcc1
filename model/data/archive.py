"""HKO-7-style archives: `radarPNG/YYYY/MM/DD/RADyymmddHHMM00.png`, 8 bit, with zlib masks beside.

What HKO-7 left outside the files is in `archive.json`: grid, time step, source, licence. A pixel is round(255 p), p of
`model.core.units.hko7_fraction`; a mask (True = the pixel holds data) is written only where a frame has gaps.
Shi et al. 2017, arXiv 1706.03458.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import DuplicateTimes, InputError, MixedGrids
from model.core.grid import Grid
from model.core.units import FloatArray, hko7_fraction, hko7_rain_rate_mm_h
from model.readers.hko7 import grid_of_archive

FRAMES: Final = "radarPNG"
MASKS: Final = "radarPNG_mask"
DESCRIPTION: Final = "archive.json"


def frame_path(root: Path, time: np.datetime64) -> Path:
    """Where the frame of a valid time (UTC) lies."""
    return _path(root, FRAMES, time, ".png")


def mask_path(root: Path, time: np.datetime64) -> Path:
    """Where the no-data mask of a valid time (UTC) lies, if it has one."""
    return _path(root, MASKS, time, ".mask")


class ArchiveWriter:
    """Adds frames to an archive, each written whole or not at all. Use it as a context manager.

    Raises:
        InputError: `root` holds something else, or an archive of another grid.
    """

    def __init__(self, root: Path, grid: Grid, step_minutes: float, attributes: Mapping[str, str]) -> None:
        self.root = root
        self.grid = grid
        path = root / DESCRIPTION
        if path.exists():
            if not Archive(root).grid.matches(grid):
                raise MixedGrids("the archive is on another grid", where=str(root), mend="Choose another folder")
            return
        if root.exists() and any(root.iterdir()):
            raise InputError(
                "the folder is not empty and is not an archive",
                where=str(root),
                mend="Choose an empty folder",
            )
        root.mkdir(parents=True, exist_ok=True)
        description = {
            "schema_version": 1,
            "step_minutes": step_minutes,
            "attributes": dict(attributes),
            "grid": grid_description(grid),
            "noise_below": 0,
        }
        _write_atomically(path, json.dumps(description, indent=2).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def append(self, time: np.datetime64, rain_rate_mm_h: FloatArray) -> None:
        """Write one frame [y, x] (mm h-1, NaN = no data).

        Raises:
            DuplicateTimes: the archive has a frame of that time.
        """
        path = frame_path(self.root, time)
        if path.exists():
            raise DuplicateTimes(f"the archive has a frame of {time}", where=str(path), mend="Leave it out")
        missing = ~np.isfinite(rain_rate_mm_h)
        pixels = np.round(np.nan_to_num(hko7_fraction(rain_rate_mm_h)) * 255).astype(np.uint8)
        if missing.any():
            _write_atomically(mask_path(self.root, time), zlib.compress((~missing).tobytes(), level=1))
        encoded, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not encoded:
            raise RuntimeError(f"OpenCV could not encode the frame of {time}")
        _write_atomically(path, png.tobytes())


class Archive:
    """An archive on disk.

    Raises:
        InputError: `root` is not an archive.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            description = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
            self.step_minutes = float(description["step_minutes"])
            self.attributes: dict[str, str] = description["attributes"]
            self.grid = grid_of_archive(description)
        except FileNotFoundError:
            raise InputError(
                f"no {DESCRIPTION}", where=str(root), mend="Make an archive with: echocast archive import"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"not a description of an archive ({error})",
                where=str(root / DESCRIPTION),
                mend="Import it again",
            ) from None
        self.times = np.array(
            sorted(_time_of(path) for path in (root / FRAMES).glob("*/*/*/RAD*.png")), dtype="datetime64[s]"
        )

    def read_pixels(self, time: np.datetime64) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Pixels [y, x] and where they hold no data.

        Raises:
            InputError: the frame or its mask is missing, truncated, or of another size.
        """
        path = frame_path(self.root, time)
        encoded = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
        if pixels is None or pixels.dtype != np.uint8 or pixels.shape != self.grid.shape:
            raise InputError(
                f"not an 8-bit PNG of {self.grid.shape[1]} x {self.grid.shape[0]} pixels",
                where=str(path),
                mend="Import that frame again",
            )
        frame: NDArray[np.uint8] = pixels.astype(np.uint8, copy=False)
        mask = mask_path(self.root, time)
        if not mask.exists():
            return frame, np.zeros(self.grid.shape, bool)
        try:
            return frame, ~np.frombuffer(zlib.decompress(mask.read_bytes()), bool).reshape(self.grid.shape)
        except (zlib.error, ValueError):
            raise InputError("the mask is damaged", where=str(mask), mend="Import that frame again") from None

    def read(self, time: np.datetime64) -> FloatArray:
        """Rain rate [y, x] (mm h-1, NaN = no data)."""
        pixels, missing = self.read_pixels(time)
        rain = hko7_rain_rate_mm_h(pixels.astype(np.float32) / np.float32(255))
        rain[missing] = np.nan
        return rain

    def digest(self) -> str:
        """SHA-256 (hex) of every frame and mask, in the order of time."""
        sha = hashlib.sha256()
        for time in self.times:
            for path in (frame_path(self.root, time), mask_path(self.root, time)):
                if path.exists():
                    sha.update(path.name.encode())
                    sha.update(hashlib.sha256(path.read_bytes()).digest())
        return sha.hexdigest()


def grid_description(grid: Grid) -> dict[str, object]:
    """A grid as `archive.json` keeps it; `model.readers.hko7.grid_of_archive` is the inverse."""
    return {
        "crs_wkt": grid.crs.to_wkt(),
        "x0": float(grid.x[0]),
        "dx": float(grid.x[-1] - grid.x[0]) / (grid.x.size - 1),
        "nx": grid.x.size,
        "y0": float(grid.y[0]),
        "dy": float(grid.y[-1] - grid.y[0]) / (grid.y.size - 1),
        "ny": grid.y.size,
    }


def _path(root: Path, tree: str, time: np.datetime64, suffix: str) -> Path:
    moment = datetime.fromtimestamp(int(time.astype("datetime64[s]").astype("int64")), UTC)
    return root / tree / f"{moment:%Y/%m/%d}" / f"RAD{moment:%y%m%d%H%M%S}{suffix}"


def _time_of(path: Path) -> np.datetime64:
    moment = datetime.strptime(path.stem, "RAD%y%m%d%H%M%S").replace(tzinfo=UTC)
    return np.datetime64(int(moment.timestamp()), "s")


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
