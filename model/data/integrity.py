"""Whether an archive is as it was written, and taking over an HKO-7 tree that came without a description."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import InputError
from model.core.zr import HKO7
from model.data.archive import UNFINISHED, Archive, DamagedFrame, describe
from model.data.archive_paths import STATIC_MASK, frame_path, list_times, mask_path, read_static_mask
from model.data.checksums import Checksums, digest_of
from model.data.png import fault_of
from model.readers.hko7 import DESCRIPTION, FRAMES, NOISE_BELOW, SHAPE, hko7_grid
from model.readers.rain_rate import describe_zr

Result = TypeVar("Result")
AT_ONCE: Final = 1024
HKO7_STEP_MINUTES: Final = 6.0
HKO7_ATTRIBUTES: Final = {
    "title": "HKO-7",
    "source": "HKO-7: Hong Kong Observatory, radar CAPPI at 2 km, 512 km around Hong Kong (Shi et al. 2017)",
    "licence": "given under a signed undertaking to the Hong Kong Observatory: not to be passed on",
    "radar_format": "HKO-7 PNG",
    "quantity": "reflectivity",
    "zr_relation": describe_zr(HKO7),
}


@dataclass(kw_only=True)
class IntegrityReport:
    """What a check found: files that are whole, those that are not and why, those whose checksum was not known."""

    whole: int = 0
    damaged: list[DamagedFrame] = field(default_factory=list)
    unlisted: int = 0


def check(archive: Archive, done: Callable[[], None] = lambda: None) -> IntegrityReport:
    """Hold every frame and mask against its checksum, and read those that have none; `done` hears of each frame."""
    listed = Checksums(archive.root).of
    findings = IntegrityReport()
    known = set()
    for time, (fault, unlisted) in _each(lambda time: _fault(archive, time, listed), archive.times, done):
        known |= {_name(archive.root, path(archive.root, time)) for path in (frame_path, mask_path)}
        findings.unlisted += unlisted
        if fault is None:
            findings.whole += 1
        else:
            findings.damaged.append(fault)
    for name in sorted(set(listed) - known):
        path = archive.root / name
        if not path.exists():
            findings.damaged.append(DamagedFrame("it is gone", where=str(path)))
        elif digest_of(path.read_bytes()) != listed[name]:
            findings.damaged.append(DamagedFrame("it is not what was written", where=str(path), hint="Copy it again"))
    return findings


def _fault(archive: Archive, time: np.datetime64, listed: dict[str, str]) -> tuple[DamagedFrame | None, bool]:
    """What is wrong with a frame or its mask, and whether a checksum of them was not known."""
    unlisted = False
    for path in (frame_path(archive.root, time), mask_path(archive.root, time)):
        name = _name(archive.root, path)
        if not path.exists():
            if name in listed:
                return DamagedFrame("it is gone", where=str(path)), unlisted
            continue
        unlisted |= name not in listed
        if name in listed and digest_of(path.read_bytes()) != listed[name]:
            what = "it is not what was written: its checksum differs"
            if path.suffix == ".png":
                what = fault_of(path.read_bytes(), archive.grid.shape) or what
            return DamagedFrame(what, where=str(path)), unlisted
    if unlisted:
        try:
            archive.read_raw(time)
        except DamagedFrame as error:
            return error, unlisted
    return None, unlisted


def adopt_hko7(root: Path, done: Callable[[], None] = lambda: None) -> IntegrityReport:
    """Describe the official HKO-7 tree `root` in place: writes `archive.json` and `checksums.sha256`, nothing else.

    Every frame is read once; damaged ones get no checksum, and are returned. `done` hears of each frame.

    Raises
    ------
    InputError
        It is no such tree, is described already, none of its frames is HKO-7's, or it cannot be written.
    """
    if (root / DESCRIPTION).exists():
        raise InputError("it is an archive already", where=str(root / DESCRIPTION), hint="See: echocast archive info")
    if not (root / FRAMES).is_dir():
        raise InputError(
            f"it is not HKO-7's tree: there is no {FRAMES}/ in it",
            where=str(root),
            hint=f"Name the folder that {FRAMES}/, radarPNG_mask/ and {STATIC_MASK} lie in",
        )
    read_static_mask(root, SHAPE)
    times = list_times(root)
    if not times.size:
        raise InputError(
            f"there is no frame in {FRAMES}/", where=str(root), hint=f"Frames lie in {FRAMES}/YYYY/MM/DD/RAD*.png"
        )
    findings = IntegrityReport()
    digests: dict[str, str] = {}
    for _, (fault, found) in _each(lambda time: _digests(root, time), times, done):
        digests |= found
        if fault is None:
            findings.whole += 1
        else:
            findings.damaged.append(fault)
    if not findings.whole:
        first = findings.damaged[0]
        raise InputError(
            f"none of {times.size} frames is HKO-7's, the first: {first.what}",
            where=first.where,
            hint="Import PNGs of another radar from files that tell their grid: echocast archive import",
        )
    if (root / STATIC_MASK).exists():
        digests[STATIC_MASK] = digest_of((root / STATIC_MASK).read_bytes())
    with translate_write_errors(root):
        checksums = Checksums(root)
        checksums.add(digests)
        checksums.finish()
        content = describe(hko7_grid(), HKO7_STEP_MINUTES, HKO7_ATTRIBUTES, NOISE_BELOW)
        write_atomically(root / DESCRIPTION, content, folder=root / UNFINISHED)
        (root / UNFINISHED).rmdir()
    return findings


def _digests(root: Path, time: np.datetime64) -> tuple[DamagedFrame | None, dict[str, str]]:
    """What is wrong with a frame of HKO-7, or the digests of it and its mask."""
    path, mask = frame_path(root, time), mask_path(root, time)
    content = path.read_bytes()
    if fault := fault_of(content, SHAPE):
        return DamagedFrame(fault, where=str(path), hint="Copy it again, or delete it: it is then a gap"), {}
    found = {_name(root, path): digest_of(content)}
    if mask.exists():
        found[_name(root, mask)] = digest_of(mask.read_bytes())
    return None, found


def _each(
    work: Callable[[np.datetime64], Result], times: NDArray[np.datetime64], done: Callable[[], None]
) -> Iterator[tuple[np.datetime64, Result]]:
    """Each time and what `work` made of it, in order, several at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, times.size, AT_ONCE):
            some = times[first : first + AT_ONCE]
            for time, result in zip(some, pool.map(work, some), strict=True):
                done()
                yield time, result


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
