"""HKO-7-style archives: `radarPNG/YYYY/MM/DD/RADyymmddHHMM00.png`, 8-bit grey, with zlib-compressed masks.

`archive.json` holds what HKO-7's files do not: grid, time step, source, licence, noise. A pixel is round(255 p), with
p of `model.core.normalisation.hko7_fraction`; a mask (True = the pixel holds data) is written only for frames with
gaps. docs/archives.md describes the layout in full. Shi et al. 2017, arXiv 1706.03458.
"""

from __future__ import annotations

import copy
import hashlib
import json
import zlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, TooFewFrames
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.units import FloatArray
from model.data.archive_paths import STATIC_MASK, frame_path, list_times, mask_path, read_static_mask
from model.data.checksums import Checksums, sha256_hex
from model.data.png import BadPng, verify_frame_png
from model.data.split import Days, among, read_split
from model.readers.hko7 import DESCRIPTION, FRAMES, grid_of_archive

RAIN_OF_PIXEL: Final = hko7_rain_rate_mm_h(np.arange(256, dtype=np.float32) / np.float32(255))
"""Rain rate (mm h-1) of each of the 256 pixel values."""


class DamagedFrame(InputError):
    """A frame of an archive that cannot be read: it or its mask is truncated, or of another size or depth."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(
            what, where=where, hint=hint or "Import its file again, or delete it: it then counts as missing"
        )


class Archive:
    """An archive on disk.

    `times`: valid times of the frames (UTC, datetime64[s], ascending). `attributes`: source, licence and how rain
    rates were derived. `noise_below`: pixel values above 0 and below this one are noise, not rain. `static_mask`
    [y, x]: True outside radar coverage (HKO-7's `exclude_mask`), or None. `split`: the part of the split, such as
    `train`, that `times` are restricted to, or None.

    Raises
    ------
    InputError
        `root` is not an archive, or the name of a frame is not a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.split: str | None = None
        try:
            description = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
            self.step_minutes = float(description["step_minutes"])
            self.attributes: dict[str, str] = description["attributes"]
            self.noise_below = int(description.get("noise_below", 0))
            self.grid = grid_of_archive(description)
        except FileNotFoundError:
            hint = "Make an archive with: echocast archive import"
            if (root / FRAMES).is_dir():
                hint = f"If it is the HKO-7 tree, adopt it with: echocast archive adopt {root}"
            raise InputError(f"no {DESCRIPTION}", where=str(root), hint=hint) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"it does not describe an archive ({error})", where=str(root / DESCRIPTION), hint="Import it again"
            ) from None
        self.static_mask = read_static_mask(root, self.grid.shape)
        self.times = list_times(root)

    @property
    def name(self) -> str:
        """Name of the folder, with links resolved; packages and scores identify the archive by it."""
        return self.root.resolve().name

    def only(self, split: str) -> Archive:
        """Return the archive restricted to one part of its split: `train`, `valid` or `test`.

        Raises
        ------
        InputError
            The archive has no split or no such part.
        TooFewFrames
            The part has no frames.
        """
        parts = self.parts()
        if split not in parts:
            what = f"its split has no part {split!r}" if parts else "it has no split"
            hint = f"Leave --split out, or run: echocast archive split {self.root}"
            hint = f"Choose one of {', '.join(parts)}" if parts else hint
            raise InputError(what, where=str(self.root), hint=hint)
        part = copy.copy(self)
        part.split = split
        part.times = self.times[among(self.times, parts[split])]
        if not part.times.size:
            raise TooFewFrames(
                f"it has no frames of the days of {split}",
                where=str(self.root),
                hint=f"Import those days, or split it again: echocast archive split {self.root} --replace",
            )
        return part

    def parts(self) -> dict[str, Days]:
        """Return the days of `train`, `valid` and `test` with their rain amounts; {} without a split.

        The archive need not have frames of all these days.

        Raises
        ------
        InputError
            The lists of days are damaged, or share days.
        """
        return read_split(self.root)

    def read_raw(self, time: np.datetime64) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the stored pixels [y, x] of a frame, and HKO-7's mask: True where a pixel counts in its benchmark.

        In a frame without a mask file, all pixels count except noise and those outside radar coverage.

        Raises
        ------
        DamagedFrame
            The frame or its mask is missing, truncated, or of another size or depth.
        """
        path = frame_path(self.root, time)
        content = path.read_bytes() if path.exists() else b""
        try:
            verify_frame_png(content, self.grid.shape)
        except BadPng as error:
            raise DamagedFrame(str(error), where=str(path)) from None
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint8 or pixels.shape != self.grid.shape:
            raise DamagedFrame("it cannot be decoded", where=str(path))
        frame: NDArray[np.uint8] = pixels.astype(np.uint8, copy=False)
        counts = self._mask(mask_path(self.root, time))
        if counts is None:
            counts = ~self._noise(frame)
        if self.static_mask is not None:
            counts &= ~self.static_mask
        return frame, counts

    def read_pixels(self, time: np.datetime64) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the pixels [y, x] of a frame with noise set to 0, and where data is missing.

        Noise counts as dry, not as missing.

        Raises
        ------
        DamagedFrame
            See `read_raw`.
        """
        frame, counts = self.read_raw(time)
        noise = self._noise(frame)
        missing = ~(counts | noise)
        if self.static_mask is not None:
            missing |= self.static_mask
        frame[noise] = 0
        return frame, missing

    def read(self, time: np.datetime64) -> FloatArray:
        """Return the rain rate [y, x] (mm h-1, NaN = no data) of a frame.

        Raises
        ------
        DamagedFrame
            See `read_raw`.
        """
        pixels, missing = self.read_pixels(time)
        rain: FloatArray = RAIN_OF_PIXEL[pixels]
        rain[missing] = np.nan
        return rain

    def digest(self) -> str:
        """Return a SHA-256 (hex) of all frames of `times` and their masks, the static mask and the split.

        The digest of an archive restricted to one part of its split does not cover the split. Files older than
        `checksums.sha256` are not read: their listed checksums are used.
        """
        checksums = Checksums(self.root)
        since = checksums.path.stat().st_mtime_ns if checksums.by_name else 0
        sha = hashlib.sha256()
        paths = [path(self.root, time) for time in self.times for path in (frame_path, mask_path)]
        for path in [*paths, self.root / STATIC_MASK]:
            if not path.exists():
                continue
            listed = checksums.by_name.get(path.relative_to(self.root).as_posix())
            unchanged = listed is not None and path.stat().st_mtime_ns <= since
            sha.update(path.name.encode())
            sha.update(bytes.fromhex(listed if listed and unchanged else sha256_hex(path.read_bytes())))
        for part, days in self.parts().items() if self.split is None else ():
            sha.update(f"{part} {' '.join(sorted(map(str, days)))}".encode())
        return sha.hexdigest()

    def _noise(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return (frame > 0) & (frame < self.noise_below)

    def _mask(self, path: Path) -> NDArray[np.bool_] | None:
        if not path.exists():
            return None
        rows, columns = self.grid.shape
        try:
            flags = zlib.decompressobj().decompress(path.read_bytes(), rows * columns + 1)
        except zlib.error:
            flags = b""
        values = np.frombuffer(flags, np.uint8)
        if values.size != rows * columns or values.max() > 1:
            raise DamagedFrame(f"the mask is damaged, or its shape is not {rows} x {columns} pixels", where=str(path))
        return values.astype(np.bool_).reshape(rows, columns)
