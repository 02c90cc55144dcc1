"""Integrity of an archive: its files against their checksums."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.data.archive import Archive, DamagedFrame
from model.data.archive_paths import frame_path, mask_path
from model.data.checksums import Checksums, sha256_hex
from model.data.png import BadPng, verify_frame_png

Result = TypeVar("Result")
BATCH_FRAMES: Final = 1024
"""Frames that are submitted together, so that the results of a long archive do not pile up in memory."""


@dataclass(kw_only=True)
class IntegrityReport:
    """Number of intact frames, damaged files with the reasons, and number of frames without a checksum."""

    intact: int = 0
    damaged: list[DamagedFrame] = field(default_factory=list)
    without_checksum: int = 0


def check_archive(archive: Archive, on_frame: Callable[[], None] = lambda: None) -> IntegrityReport:
    """Compare every file of an archive with its checksum, and decode the frames that have none.

    `on_frame` is called after each frame.
    """
    checksums = Checksums(archive.root).by_name
    report = IntegrityReport()
    checked = set()
    for time, (fault, without_checksum) in map_frames(
        lambda time: _check_frame(archive, time, checksums), archive.times, on_frame
    ):
        checked |= {_name(archive.root, path(archive.root, time)) for path in (frame_path, mask_path)}
        report.without_checksum += without_checksum
        if fault is None:
            report.intact += 1
        else:
            report.damaged.append(fault)
    for name in sorted(set(checksums) - checked):
        path = archive.root / name
        if not path.exists():
            report.damaged.append(DamagedFrame("it is missing", where=str(path)))
        elif sha256_hex(path.read_bytes()) != checksums[name]:
            report.damaged.append(DamagedFrame("its checksum differs", where=str(path), hint="Copy it again"))
    return report


def map_frames(
    work: Callable[[np.datetime64], Result], times: NDArray[np.datetime64], on_frame: Callable[[], None]
) -> Iterator[tuple[np.datetime64, Result]]:
    """Yield each valid time and the result of `work` for it, in order; several threads work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, times.size, BATCH_FRAMES):
            batch = times[first : first + BATCH_FRAMES]
            for time, result in zip(batch, pool.map(work, batch), strict=True):
                on_frame()
                yield time, result


def _check_frame(archive: Archive, time: np.datetime64, checksums: dict[str, str]) -> tuple[DamagedFrame | None, bool]:
    """Return the fault of a frame or its mask, and whether one of the two has no checksum."""
    without_checksum = False
    for path in (frame_path(archive.root, time), mask_path(archive.root, time)):
        name = _name(archive.root, path)
        if not path.exists():
            if name in checksums:
                return DamagedFrame("it is missing", where=str(path)), without_checksum
            continue
        without_checksum |= name not in checksums
        content = path.read_bytes()
        if name in checksums and sha256_hex(content) != checksums[name]:
            fault = "its checksum differs"
            if path.suffix == ".png":
                try:
                    verify_frame_png(content, archive.grid.shape)
                except BadPng as error:
                    fault = str(error)
            return DamagedFrame(fault, where=str(path)), without_checksum
    if without_checksum:
        try:
            archive.read_raw(time)
        except DamagedFrame as error:
            return error, without_checksum
    return None, without_checksum


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
