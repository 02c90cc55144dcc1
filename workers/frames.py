"""The frames of a job: fetched from the store, or read where a feed's folder has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np

from model.core.catalog import Catalog
from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.readers import read
from model.runtime.model_selection import ModelSelection, select_model
from service.jobs.job import Job
from service.store import ObjectStore
from workers.context import Limits
from workers.feed_times import stale, utc


def read_upload(job: Job, store: ObjectStore, folder: Path, limits: Limits) -> FrameSequence:
    """Fetch the uploads of a job to `folder` and read them; a broken one among good ones is left out, and noted.

    Raises
    ------
    InputError
        They cannot be read, or declare more than `max_pixels` (TooLarge, before the file that does
        is read); `where` is the name that the user gave it.
    """
    paths = [
        store.fetch(item["key"], folder / f"{number:04d}-{_safe(item['name'])}")
        for number, item in enumerate(job.inputs)
    ]
    names = [item["name"] for item in job.inputs]
    return read(paths, names=names, variable=job.variable, zr=job.zr, skip_unreadable=True, **limits._asdict())


def frames_wanted(reference: str, catalog: Catalog) -> int:
    """How many frames the model of that name wants; for `auto`, enough for each that it may fall back to.

    Raises
    ------
    UnknownModel
        There is no such model.
    """
    return max(info.input_frames for info in catalog.resolve(reference).models)


def read_feed(job: Job, catalog: Catalog, limits: Limits, check: Callable[[np.datetime64], None]) -> ModelSelection:
    """The model that runs on a feed's frames (`job.inputs`, oldest first), with its context and note.

    Only as many files are read as the preferred model wants, unless it cannot run on them: where some are broken,
    missing, or too close together, all are read but the broken ones. `check` is given the valid time of the
    newest file before any other is read, and raises where no nowcast shall start from it.

    Raises
    ------
    InputError
        The newest frame cannot be read, no model fits, however the frames are taken, or they declare more
        than `max_pixels`.
    StaleFrame
        An older file holds a frame that is as new.
    """
    paths = [Path(item["key"]) for item in job.inputs]
    newest = _read(job, paths[-1:], limits)
    check(newest.reference_time)
    few = paths[-frames_wanted(job.model, catalog) :]
    choice = None
    try:
        sequence = newest if len(few) == 1 else _read(job, few, limits)
        if sequence.reference_time == newest.reference_time:
            choice = select_model(sequence, job.model, catalog)
            if choice.info == catalog.find(job.model) or few == paths:
                return choice
    except InputError:
        pass
    sound, left_out = _sound(job, paths, newest, limits)
    try:
        wider = select_model(_read(job, sound, limits), job.model, catalog)
    except InputError:
        if choice is None:
            raise
        return choice
    return wider._replace(note="; ".join(filter(None, [wider.note, left_out])))


def _sound(job: Job, paths: Sequence[Path], newest: FrameSequence, limits: Limits) -> tuple[list[Path], str]:
    """The files that can be read, lie on the newest one's grid, and repeat no valid time;
    and a note on the others.

    Raises
    ------
    StaleFrame
        An older file holds a frame that is as new as the newest file's.
    """
    sound, times = [paths[-1]], set(newest.times.tolist())
    for path in reversed(paths[:-1]):
        frames = _readable(job, path, limits)
        if frames is None or not frames.grid.matches(newest.grid):
            continue
        if frames.reference_time >= newest.reference_time:
            raise stale(paths[-1].name, utc(newest.reference_time), path.name, utc(frames.reference_time))
        if times.isdisjoint(frames.times.tolist()):
            sound.insert(0, path)
            times.update(frames.times.tolist())
    others = [path.name for path in paths if path not in sound]
    return sound, f"left out: {', '.join(others)}" if others else ""


def _read(job: Job, paths: Sequence[Path], limits: Limits) -> FrameSequence:
    """Files of the operator's own: what lies beside them (an archive's description, masks) counts."""
    return read(paths, variable=job.variable, zr=job.zr, **limits._asdict())


def _readable(job: Job, path: Path, limits: Limits) -> FrameSequence | None:
    try:
        return _read(job, [path], limits)
    except (InputError, OSError):
        return None


def _safe(name: str) -> str:
    """The user's file name as one that is safe to make; its suffixes stay, for they tell some formats."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
