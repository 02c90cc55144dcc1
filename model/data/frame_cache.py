"""Decoded frames of an archive, cached on disk on first use (docs/decisions/010)."""

from __future__ import annotations

import hashlib
import logging
import shutil
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.atomic import write_atomically
from model.data.archive import Archive, DamagedFrame
from model.data.archive_paths import frame_path, mask_path

MISSING_PIXEL: Final = 255
FREE_SHARE: Final = 0.1
"""Frames are cached while more than this share of the disk is free; otherwise each use decodes them again."""
MAX_REPORTED: Final = 5

log = logging.getLogger(__name__)


class FrameCache:
    """The pixels of an archive: each frame is decoded on first use, then memory-mapped from a file in `folder`.

    The splits of an archive, processes and training runs share one folder. `times`, `grid`: those of the archive.
    `minutes`: minutes since the first frame. `damaged`: unreadable frames by index, which are logged and count as
    missing.
    """

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive = archive
        self.times = archive.times
        self.grid = archive.grid
        since = archive.times - archive.times[:1]
        self.minutes = since.astype("timedelta64[s]").astype(np.int64) / 60.0
        self.damaged: dict[int, DamagedFrame] = {}
        # Another archive of the same name, or the same archive with another noise level or mask, has other pixels.
        sha = hashlib.sha256(f"{archive.root.resolve()} {archive.noise_below}".encode())
        sha.update(b"" if archive.static_mask is None else archive.static_mask.tobytes())
        self._folder = folder / f"{archive.name}-{sha.hexdigest()[:12]}"

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return the read-only pixels [y, x] of the frame at an index of `times`: 0 to 254, or 255 for no data.

        Raises
        ------
        DamagedFrame
            The frame cannot be read.
        """
        if index in self.damaged:
            raise self.damaged[index]
        path = self._path_of(self.times[index])
        try:
            return np.memmap(path, np.uint8, "r", shape=self.grid.shape)
        except (OSError, ValueError):  # not cached yet, or truncated by a loss of power
            frame = self._decoded(index)
        self._folder.mkdir(parents=True, exist_ok=True)
        disk = shutil.disk_usage(self._folder)
        if disk.free - frame.nbytes > FREE_SHARE * disk.total:
            try:
                write_atomically(path, frame.tobytes(), durable=False)
            except OSError as error:
                log.warning("echocast: decoded frames are not cached: %s", error)
        return frame

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        try:
            frame, missing = self.archive.read_pixels(self.times[index])
        except DamagedFrame as error:
            self.damaged[index] = error
            count = len(self.damaged)
            if count <= MAX_REPORTED or count & (count - 1) == 0:  # later ones at each power of two
                log.warning("echocast: a damaged frame is skipped, %d so far: %s", count, error)
            raise
        np.minimum(frame, MISSING_PIXEL - 1, out=frame)
        frame[missing] = MISSING_PIXEL
        return frame

    def _path_of(self, time: np.datetime64) -> Path:
        """Return a path that depends on the state of the frame's files, so that a replaced frame is decoded again."""
        state = ""
        for path in (frame_path(self.archive.root, time), mask_path(self.archive.root, time)):
            if path.exists():
                status = path.stat()
                state += f"{status.st_size} {status.st_mtime_ns} "
        name = np.datetime_as_string(time, unit="s").replace(":", "").replace("-", "")
        return self._folder / name[:8] / f"{name[9:]}-{zlib.crc32(state.encode()):08x}.u8"
