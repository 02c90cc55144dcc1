"""Read the frames of a job from the store, in the sandbox."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from model.core.catalog import Catalog
from model.core.sequence import FrameSequence
from service.jobs.job import Job
from service.store import ObjectStore
from workers.context import Limits
from workers.sandbox import read


def read_frames(job: Job, store: ObjectStore, folder: Path, limits: Limits) -> FrameSequence:
    """Fetch the files of a job to a folder, and read them; unreadable ones among others are skipped, with a note.

    Raises
    ------
    InputError
        The files cannot be read, or declare more than `max_pixels` (TooLarge, before such a file is read); `where` is
        the name that the user gave the file.
    """
    names = [item["name"] for item in job.inputs]
    targets = [folder / f"{number:04d}-{safe_name(name)}" for number, name in enumerate(names)]
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


def safe_name(name: str) -> str:
    """Return a user's file name as one that is safe to create; the suffixes stay, since some formats depend on them."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
