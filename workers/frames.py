"""The frames of a job: fetched from the store, or read where a feed's folder has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Final

import numpy as np

from model.core.catalog import Catalog, ModelInfo
from model.core.errors import InputError, IrregularTimeStep
from model.core.sequence import FrameSequence
from model.readers import read
from model.runtime.predictor import choose
from service.jobs.ledger import Job
from service.store import ObjectStore

MAX_STRIDE: Final = 3
"""Where a frame is missing, a feed's frames are taken at up to this many time steps apart."""


def read_upload(
    job: Job, store: ObjectStore, folder: Path, max_pixels: int, max_dbz: float | None = None
) -> FrameSequence:
    """Fetch the uploads of a job to `folder` and read them.

    Raises:
        InputError: a file cannot be read, or they declare more than `max_pixels` (TooLarge, before the file that does
            is read); `where` is the name that the user gave it.
    """
    paths = [
        store.fetch(item["key"], folder / f"{number:04d}-{_safe(item['name'])}")
        for number, item in enumerate(job.inputs)
    ]
    names = [item["name"] for item in job.inputs]
    return read(paths, names=names, variable=job.variable, zr=job.zr, max_pixels=max_pixels, max_dbz=max_dbz)


def frames_wanted(reference: str, catalog: Catalog) -> int:
    """How many frames the model of that name wants; for `auto`, enough for each that it may fall back to.

    Raises:
        UnknownModel: there is no such model.
    """
    return max(info.input_frames for info in catalog.meant(reference).models)


def read_feed(
    job: Job, catalog: Catalog, max_pixels: int, max_dbz: float | None = None
) -> tuple[FrameSequence, ModelInfo, str]:
    """A feed's frames (`job.inputs`, oldest first), the model that runs, and why where it is another.

    Only as many files are read as the model wants, unless one of them is broken or missing: then the broken ones
    among the older frames are left out, and every second or third frame is taken.

    Raises:
        InputError: the newest frame cannot be read, no model fits, however the frames are taken, or they declare more
            than `max_pixels`.
    """
    paths = [Path(item["key"]) for item in job.inputs]
    few = paths[-frames_wanted(job.model, catalog) :]
    try:
        sequence = _read(job, few, max_pixels, max_dbz)
        return sequence, *choose(sequence, job.model, catalog)
    except InputError:
        return _thin(_read_sound(job, paths, max_pixels, max_dbz), job.model, catalog)


def _read_sound(job: Job, paths: Sequence[Path], max_pixels: int, max_dbz: float | None = None) -> FrameSequence:
    try:
        return _read(job, paths, max_pixels, max_dbz)
    except InputError:
        newest = paths[-1]
        _read(job, [newest], max_pixels, max_dbz)
        sound = [path for path in paths if path == newest or _readable(job, path, newest, max_pixels, max_dbz)]
        return _read(job, sound, max_pixels, max_dbz)


def _thin(sequence: FrameSequence, reference: str, catalog: Catalog) -> tuple[FrameSequence, ModelInfo, str]:
    try:
        return sequence, *choose(sequence, reference, catalog)
    except IrregularTimeStep as gap:
        for stride in range(2, MAX_STRIDE + 1):
            thinned = every_nth(sequence, stride)
            try:
                info, note = choose(thinned, reference, catalog)
            except InputError:
                continue
            step = f"{thinned.time_step_minutes():g} min"
            reason = f"frames {step} apart were taken, for one is missing: {gap.what}"
            return thinned, info, f"{note}; {reason}" if note else reason
        raise


def every_nth(sequence: FrameSequence, stride: int) -> FrameSequence:
    """The newest frame, and those before it `stride` time steps apart, as far as they are there."""
    step = np.timedelta64(round(sequence.time_step_minutes() * 60 * stride), "s")
    taken = [len(sequence) - 1]
    while True:
        wanted = sequence.times[taken[-1]] - step
        away = np.abs(sequence.times - wanted)
        nearest = int(np.argmin(away))
        if away[nearest] > step / (10 * stride) or nearest >= taken[-1]:
            break
        taken.append(nearest)
    taken.reverse()
    return replace(sequence, rain_rate=sequence.rain_rate[taken], times=sequence.times[taken])


def _read(job: Job, paths: Sequence[Path], max_pixels: int, max_dbz: float | None = None) -> FrameSequence:
    """Files of the operator's own: what lies beside them (an archive's description, masks) counts."""
    return read(paths, variable=job.variable, zr=job.zr, max_pixels=max_pixels, max_dbz=max_dbz)


def _readable(job: Job, path: Path, newest: Path, max_pixels: int, max_dbz: float | None = None) -> bool:
    """The frame can be read, and lies on the newest frame's grid. That both are too many is not its fault."""
    try:
        _read(job, [path, newest], 2 * max_pixels, max_dbz)
    except (InputError, OSError):
        return False
    return True


def _safe(name: str) -> str:
    """The user's file name as one that is safe to make; its suffixes stay, for they tell some formats."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
