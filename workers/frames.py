"""The frames of a job: fetched from the store, or read where a feed's folder has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
from workers.feed_times import is_ahead, stale, utc

MAX_STRIDE: Final = 3
"""Where a frame is missing, a feed's frames are taken at up to this many time steps apart."""


def read_upload(job: Job, store: ObjectStore, folder: Path, max_pixels: int) -> FrameSequence:
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
    return read(paths, names=names, variable=job.variable, zr=job.zr, max_pixels=max_pixels)


def frames_wanted(reference: str, catalog: Catalog) -> int:
    """How many frames the model of that name wants; for `auto`, enough for each that it may fall back to.

    Raises:
        UnknownModel: there is no such model.
    """
    return max(info.input_frames for info in catalog.meant(reference).models)


def read_feed(
    job: Job, catalog: Catalog, max_pixels: int, check: Callable[[np.datetime64], None]
) -> tuple[FrameSequence, ModelInfo, str]:
    """A feed's frames (`job.inputs`, oldest first), the model that runs, and why where it is another.

    Only as many files are read as the model wants, unless one of them is broken or missing: then the broken ones
    among the older frames are left out, and every second or third frame is taken. `check` is given the valid time of
    the newest file before any other is read, and raises where no nowcast shall start from it.

    Raises:
        InputError: the newest frame cannot be read, no model fits, however the frames are taken, or they declare more
            than `max_pixels`.
        StaleFrame: an older file holds a frame that is as new.
    """
    paths = [Path(item["key"]) for item in job.inputs]
    newest = _read(job, paths[-1:], max_pixels)
    check(newest.reference_time)
    few = paths[-frames_wanted(job.model, catalog) :]
    try:
        sequence = newest if len(few) == 1 else _read(job, few, max_pixels)
        if sequence.reference_time == newest.reference_time:
            return sequence, *choose(sequence, job.model, catalog)
    except InputError:
        pass
    sound = _sound(job, paths, newest, max_pixels)
    return _thin(_read(job, sound, max_pixels), job.model, catalog)


def _sound(job: Job, paths: Sequence[Path], newest: FrameSequence, max_pixels: int) -> list[Path]:
    """The files that can be read, lie on the newest one's grid, are not ahead of the clock, and repeat no valid time.

    Raises:
        StaleFrame: an older file holds a frame that is as new as the newest file's.
    """
    sound, times = [paths[-1]], set(newest.times.tolist())
    for path in reversed(paths[:-1]):
        frames = _readable(job, path, max_pixels)
        if frames is None or not frames.grid.matches(newest.grid) or is_ahead(frames.reference_time):
            continue
        if frames.reference_time >= newest.reference_time:
            raise stale(paths[-1].name, utc(newest.reference_time), path.name, utc(frames.reference_time))
        if times.isdisjoint(frames.times.tolist()):
            sound.insert(0, path)
            times.update(frames.times.tolist())
    return sound


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


def _read(job: Job, paths: Sequence[Path], max_pixels: int) -> FrameSequence:
    """Files of the operator's own: what lies beside them (an archive's description, masks) counts."""
    return read(paths, variable=job.variable, zr=job.zr, max_pixels=max_pixels)


def _readable(job: Job, path: Path, max_pixels: int) -> FrameSequence | None:
    try:
        return _read(job, [path], max_pixels)
    except (InputError, OSError):
        return None


def _safe(name: str) -> str:
    """The user's file name as one that is safe to make; its suffixes stay, for they tell some formats."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
