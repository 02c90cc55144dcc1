"""Read the frames of a job, from the store or from a feed's folder, in the sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np

from model.core.catalog import Catalog
from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.runtime.model_selection import ModelSelection, select_model
from service.jobs.job import Job
from service.store import ObjectStore
from workers.context import Limits
from workers.sandbox import read
from workers.stale_frames import stale_frame, utc


def read_upload(job: Job, store: ObjectStore, folder: Path, limits: Limits) -> FrameSequence:
    """Fetch the uploads of a job to a folder, and read them; unreadable ones among others are skipped, with a note.

    Raises
    ------
    InputError
        The files cannot be read, or declare more than `max_pixels` (TooLarge, before such a file is read); `where` is
        the name that the user gave the file.
    """
    names = [item["name"] for item in job.inputs]
    targets = [folder / f"{number:04d}-{_safe(name)}" for number, name in enumerate(names)]
    paths = [store.fetch(item["key"], target) for item, target in zip(job.inputs, targets, strict=True)]
    return read(paths, names=names, variable=job.variable, zr=job.zr, skip_unreadable=True, **limits._asdict())


def frames_read_by(reference: str, catalog: Catalog) -> int:
    """Return how many frames a model reads; for `auto`, the most that it or any of its fallbacks reads.

    Raises
    ------
    UnknownModel
        No model has that name.
    """
    return max(info.input_frames for info in catalog.resolve(reference).models)


def read_feed(job: Job, catalog: Catalog, limits: Limits, check: Callable[[np.datetime64], None]) -> ModelSelection:
    """Read a feed's frames, and select the model for them.

    Only as many files are read as the preferred model needs. If it does not fit those, because some are broken,
    missing, or too close together, all readable files are read.

    Parameters
    ----------
    job : Job
        Its `inputs` are the files, the oldest first.
    catalog : Catalog
        The models that can run here.
    limits : Limits
        Limits of the files.
    check : callable
        Called with the valid time of the newest file before any other is read; it raises if no nowcast shall start
        from that frame.

    Raises
    ------
    InputError
        The newest frame cannot be read, no model fits, or the files declare more than `max_pixels`.
    StaleFrame
        An older file holds a frame that is as new.
    """
    paths = [Path(item["key"]) for item in job.inputs]
    newest = _read(job, paths[-1:], limits)
    check(newest.reference_time)
    few = paths[-frames_read_by(job.model, catalog) :]
    selection = None
    try:
        sequence = newest if len(few) == 1 else _read(job, few, limits)
        if sequence.reference_time == newest.reference_time:
            selection = select_model(sequence, job.model, catalog)
            if selection.info == catalog.find(job.model) or few == paths:
                return selection
    except InputError:
        pass
    usable, skipped = _usable(job, paths, newest, limits)
    try:
        wider = select_model(_read(job, usable, limits), job.model, catalog)
    except InputError:
        if selection is None:
            raise
        return selection
    return wider._replace(note="; ".join(filter(None, [wider.note, skipped])))


def _usable(job: Job, paths: Sequence[Path], newest: FrameSequence, limits: Limits) -> tuple[list[Path], str]:
    """Return the readable files on the newest one's grid, each with its own valid time; and a note on the others.

    Raises
    ------
    StaleFrame
        An older file holds a frame that is as new as the newest file's.
    """
    usable, times = [paths[-1]], set(newest.times.tolist())
    for path in reversed(paths[:-1]):
        try:
            frames = _read(job, [path], limits)
        except (InputError, OSError):
            continue
        if not frames.grid.matches(newest.grid):
            continue
        if frames.reference_time >= newest.reference_time:
            raise stale_frame(paths[-1].name, utc(newest.reference_time), path.name, utc(frames.reference_time))
        if times.isdisjoint(frames.times.tolist()):
            usable.insert(0, path)
            times.update(frames.times.tolist())
    others = [path.name for path in paths if path not in usable]
    return usable, f"left out: {', '.join(others)}" if others else ""


def _read(job: Job, paths: Sequence[Path], limits: Limits) -> FrameSequence:
    """Read files of the operator, with what lies beside them: an archive's description, masks."""
    return read(paths, variable=job.variable, zr=job.zr, **limits._asdict())


def _safe(name: str) -> str:
    """Return a user's file name as one that is safe to create; the suffixes stay, since some formats depend on them."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
