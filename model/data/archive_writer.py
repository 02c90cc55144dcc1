"""Writing of archives: frames one by one, each atomically, with checksums."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import DuplicateTimes, InputError, MixedGrids
from model.core.grid import Grid
from model.core.locks import file_lock
from model.core.normalisation import hko7_fraction
from model.core.units import FloatArray
from model.data.archive import Archive, DamagedFrame
from model.data.archive_paths import frame_path, mask_path
from model.data.checksums import Checksums, sha256_hex
from model.readers.hko7 import DESCRIPTION

UNFINISHED: Final = ".unfinished"
LOCK: Final = ".lock"


@dataclass(frozen=True, kw_only=True)
class EncodedFrame:
    """A frame as stored in an archive: the PNG and, for a frame with gaps, the compressed mask."""

    time: np.datetime64
    png: bytes
    mask: bytes | None


def encode_frame(time: np.datetime64, rain_rate_mm_h: FloatArray) -> EncodedFrame:
    """Encode rain rates [y, x] (mm h-1, NaN = no data)."""
    missing = ~np.isfinite(rain_rate_mm_h)
    pixels = np.round(np.nan_to_num(hko7_fraction(rain_rate_mm_h)) * 255).astype(np.uint8)
    encoded, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode the frame of {time}")
    mask = zlib.compress((~missing).tobytes(), level=1) if missing.any() else None
    return EncodedFrame(time=time, png=png.tobytes(), mask=mask)


class ArchiveWriter:
    """Adds frames to an archive, each atomically. Use it as a context manager.

    Raises
    ------
    MixedGrids
        `root` is an archive on another grid.
    InputError
        `root` is a folder of other files, cannot be written, or another command is writing to it.
    """

    def __init__(self, root: Path, grid: Grid, step_minutes: float, attributes: Mapping[str, str]) -> None:
        self.root = root
        self.grid = grid
        self._lock = file_lock(root / LOCK, wait=False)
        path = root / DESCRIPTION
        if path.exists():
            if not Archive(root).grid.matches(grid):
                raise MixedGrids("the archive is on another grid", where=str(root), hint="Choose another folder")
            return
        with translate_write_errors(root):
            if root.exists() and any(each.name not in (UNFINISHED, LOCK) for each in root.iterdir()):
                raise InputError(
                    "the folder is not empty and is not an archive", where=str(root), hint="Choose an empty folder"
                )
            root.mkdir(parents=True, exist_ok=True)
            write_atomically(path, archive_description(grid, step_minutes, attributes), folder=root / UNFINISHED)

    def __enter__(self) -> Self:
        with translate_write_errors(self.root):
            try:
                self._lock.acquire()
            except TimeoutError:
                raise InputError(
                    "another command is writing to it", where=str(self.root), hint="Wait until it is done"
                ) from None
            self.checksums = Checksums(self.root)
            self._archive = Archive(self.root)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            shutil.rmtree(self.root / UNFINISHED, ignore_errors=True)
            if kind is None:
                with translate_write_errors(self.root):
                    self.checksums.finish()
        finally:
            self._lock.release()

    def append(self, time: np.datetime64, rain_rate_mm_h: FloatArray) -> None:
        """Write a new frame [y, x] (mm h-1, NaN = no data).

        Raises
        ------
        DuplicateTimes
            The archive has a frame of this time.
        InputError
            The frame cannot be written.
        """
        path = frame_path(self.root, time)
        if path.exists():
            raise DuplicateTimes(f"the archive has a frame of {time}", where=str(path), hint="Leave it out")
        self.put(encode_frame(time, rain_rate_mm_h))

    def put(self, frame: EncodedFrame) -> None:
        """Write a frame; it replaces an existing frame of the same time.

        Raises
        ------
        InputError
            The frame cannot be written.
        """
        digests: dict[str, str] = {}
        with translate_write_errors(self.root):
            # The mask first: after a crash, a frame that exists has its mask.
            files = {mask_path(self.root, frame.time): frame.mask, frame_path(self.root, frame.time): frame.png}
            for path, content in files.items():
                if content is None:
                    path.unlink(missing_ok=True)
                    continue
                write_atomically(path, content, folder=self.root / UNFINISHED, durable=False)
                digests[path.relative_to(self.root).as_posix()] = sha256_hex(content)
            self.checksums.add(digests)

    def has_intact(self, time: np.datetime64) -> bool:
        """Return whether the archive has an intact frame of a time.

        The checksum decides. A frame without a checksum, whose writer was killed before adding it, is decoded, and
        its checksum is added.

        Raises
        ------
        InputError
            The checksum cannot be written.
        """
        if not frame_path(self.root, time).exists():
            return False
        new: dict[str, str] = {}
        for path in (frame_path(self.root, time), mask_path(self.root, time)):
            name = path.relative_to(self.root).as_posix()
            digest = sha256_hex(path.read_bytes()) if path.exists() else None
            if self.checksums.by_name.get(name, digest) != digest:
                return False
            if digest is not None and name not in self.checksums.by_name:
                new[name] = digest
        if new:
            try:
                self._archive.read_raw(time)
            except DamagedFrame:
                return False
            with translate_write_errors(self.root):
                self.checksums.add(new)
        return True


def archive_description(grid: Grid, step_minutes: float, attributes: Mapping[str, str], noise_below: int = 0) -> bytes:
    """Return the content of `archive.json`."""
    description = {
        "schema_version": 1,
        "step_minutes": step_minutes,
        "attributes": dict(attributes),
        "grid": {  # `model.readers.hko7.grid_of_archive` is the inverse
            "crs_wkt": grid.crs.to_wkt(),
            "x0": float(grid.x[0]),
            "dx": float(grid.x[-1] - grid.x[0]) / (grid.x.size - 1),
            "nx": grid.x.size,
            "y0": float(grid.y[0]),
            "dy": float(grid.y[-1] - grid.y[0]) / (grid.y.size - 1),
            "ny": grid.y.size,
        },
        "noise_below": noise_below,
    }
    return json.dumps(description, indent=2).encode()
