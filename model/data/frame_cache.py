"""Decoded frames of an archive, kept on disk as they are asked for (docs/decisions/010)."""

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
"""Frames are kept while more than this share of the disk is free; beyond it they are decoded at each use."""
NAMED: Final = 5

log = logging.getLogger(__name__)


class FrameCache:
    """The pixels of an archive, each frame decoded when it is first asked for and then mapped from a file in `folder`.

    Shared by all that reads one archive: the parts of its split, several processes, and runs with one folder. `times`,
    `grid`: the archive's. `minutes`: since its first frame. `damaged`: frames that turned out to be unreadable, by
    index; they are told on stderr, and are gaps.
    """

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive = archive
        self.times = archive.times
        self.grid = archive.grid
        since = archive.times - archive.times[:1]
        self.minutes = since.astype("timedelta64[s]").astype(np.int64) / 60.0
        self.damaged: dict[int, DamagedFrame] = {}
        # Frames of another archive of that name, or with other noise, are other files.
        sha = hashlib.sha256(f"{archive.root.resolve()} {archive.noise_below}".encode())
        sha.update(b"" if archive.static_mask is None else archive.static_mask.tobytes())
        self._folder = folder / f"{archive.name}-{sha.hexdigest()[:12]}"

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Pixels [y, x] of a frame by its place in `times`, at most 254; 255 = no data. Not to be written to.

        Raises
        ------
        DamagedFrame
            It cannot be read.
        """
        if index in self.damaged:
            raise self.damaged[index]
        kept = self._kept_at(self.times[index])
        try:
            return np.memmap(kept, np.uint8, "r", shape=self.grid.shape)
        except (OSError, ValueError):  # not there yet, or cut off by a loss of power
            frame = self._decoded(index)
        self._folder.mkdir(parents=True, exist_ok=True)
        disk = shutil.disk_usage(self._folder)
        if disk.free - frame.nbytes > FREE_SHARE * disk.total:
            try:
                write_atomically(kept, frame.tobytes(), durable=False)
            except OSError as error:
                log.warning("echocast: decoded frames are not kept: %s", error)
        return frame

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        try:
            frame, missing = self.archive.read_pixels(self.times[index])
        except DamagedFrame as error:
            self.damaged[index] = error
            count = len(self.damaged)
            if count <= NAMED or count & (count - 1) == 0:  # then at each doubling
                log.warning("echocast: a damaged frame is passed over, %d so far: %s", count, error)
            raise
        np.minimum(frame, MISSING_PIXEL - 1, out=frame)
        frame[missing] = MISSING_PIXEL
        return frame

    def _kept_at(self, time: np.datetime64) -> Path:
        """By what the frame's files are: one that is imported anew is decoded anew."""
        state = ""
        for path in (frame_path(self.archive.root, time), mask_path(self.archive.root, time)):
            if path.exists():
                found = path.stat()
                state += f"{found.st_size} {found.st_mtime_ns} "
        name = np.datetime_as_string(time, unit="s").replace(":", "").replace("-", "")
        return self._folder / name[:8] / f"{name[9:]}-{zlib.crc32(state.encode()):08x}.u8"
