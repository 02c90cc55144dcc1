"""The official HKO-7 tree as an archive: it comes without a description and without checksums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import InputError
from model.core.zr import HKO7
from model.data.archive import DamagedFrame
from model.data.archive_paths import STATIC_MASK, frame_path, list_times, mask_path, read_static_mask
from model.data.archive_writer import UNFINISHED, archive_description
from model.data.checksums import Checksums, sha256_hex
from model.data.integrity import IntegrityReport, map_frames
from model.data.png import BadPng, verify_frame_png
from model.readers.hko7 import DESCRIPTION, FRAMES, NOISE_BELOW, SHAPE, hko7_grid
from model.readers.rain_rate import describe_zr

STEP_MINUTES: Final = 6.0
ATTRIBUTES: Final = {
    "title": "HKO-7",
    "source": "HKO-7: Hong Kong Observatory, radar CAPPI at 2 km, 512 km around Hong Kong (Shi et al. 2017)",
    "licence": "given under a signed undertaking to the Hong Kong Observatory: not to be passed on",
    "radar_format": "HKO-7 PNG",
    "quantity": "reflectivity",
    "zr_relation": describe_zr(HKO7),
}


def adopt_hko7(root: Path, on_frame: Callable[[], None] = lambda: None) -> IntegrityReport:
    """Describe the official HKO-7 tree `root` in place: write `archive.json` and `checksums.sha256`, nothing else.

    Every frame is read once; damaged frames get no checksum. `on_frame` is called after each frame.

    Raises
    ------
    InputError
        `root` is not such a tree, has a description already, holds no frame of HKO-7, or cannot be written.
    """
    if (root / DESCRIPTION).exists():
        raise InputError("it is an archive already", where=str(root / DESCRIPTION), hint="See: echocast archive info")
    if not (root / FRAMES).is_dir():
        what = f"it is not the HKO-7 tree: it has no {FRAMES}/"
        raise InputError(what, where=str(root), hint=f"Name the folder of {FRAMES}/, radarPNG_mask/ and {STATIC_MASK}")
    read_static_mask(root, SHAPE)
    times = list_times(root)
    if not times.size:
        raise InputError(f"{FRAMES}/ has no frames", where=str(root), hint=f"Put them in {FRAMES}/YYYY/MM/DD/RAD*.png")
    report = IntegrityReport()
    digests: dict[str, str] = {}
    for _, frame_digests in map_frames(lambda time: _digests(root, time), times, on_frame):
        if isinstance(frame_digests, DamagedFrame):
            report.damaged.append(frame_digests)
        else:
            report.intact += 1
            digests |= frame_digests
    if not report.intact:
        first = report.damaged[0]
        raise InputError(
            f"none of {times.size} frames belongs to HKO-7, the first: {first.what}",
            where=first.where,
            hint="Import PNGs of another radar from files with a grid: echocast archive import",
        )
    if (root / STATIC_MASK).exists():
        digests[STATIC_MASK] = sha256_hex((root / STATIC_MASK).read_bytes())
    with translate_write_errors(root):
        checksums = Checksums(root)
        checksums.add(digests)
        checksums.finish()
        content = archive_description(hko7_grid(), STEP_MINUTES, ATTRIBUTES, NOISE_BELOW)
        write_atomically(root / DESCRIPTION, content, folder=root / UNFINISHED)
        (root / UNFINISHED).rmdir()
    return report


def _digests(root: Path, time: np.datetime64) -> DamagedFrame | dict[str, str]:
    """Return the SHA-256 of a frame of HKO-7 and its mask by relative path, or the fault of the frame."""
    path, mask = frame_path(root, time), mask_path(root, time)
    content = path.read_bytes()
    try:
        verify_frame_png(content, SHAPE)
    except BadPng as error:
        return DamagedFrame(str(error), where=str(path), hint="Copy it again, or delete it: it then counts as missing")
    digests = {path.relative_to(root).as_posix(): sha256_hex(content)}
    if mask.exists():
        digests[mask.relative_to(root).as_posix()] = sha256_hex(mask.read_bytes())
    return digests
