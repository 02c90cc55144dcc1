"""The frames of a job: fetched from the store, or read where a feed's folder has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from model.core.catalog import Catalog
from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.readers import read, read_sound
from model.runtime.predictor import Choice, choose
from service.jobs.ledger import Job
from service.store import ObjectStore


def read_upload(job: Job, store: ObjectStore, folder: Path, max_pixels: int) -> FrameSequence:
    """Fetch the uploads of a job to `folder` and read them; a broken one among good ones is left out, and noted.

    Raises:
        InputError: they cannot be read, or declare more than `max_pixels` (TooLarge, before the file that does
            is read); `where` is the name that the user gave it.
    """
    paths = [
        store.fetch(item["key"], folder / f"{number:04d}-{_safe(item['name'])}")
        for number, item in enumerate(job.inputs)
    ]
    names = [item["name"] for item in job.inputs]
    return read_sound(paths, names=names, variable=job.variable, zr=job.zr, max_pixels=max_pixels)


def frames_wanted(reference: str, catalog: Catalog) -> int:
    """How many frames the model of that name wants; for `auto`, enough for each that it may fall back to.

    Raises:
        UnknownModel: there is no such model.
    """
    return max(info.input_frames for info in catalog.meant(reference).models)


def read_feed(job: Job, catalog: Catalog, max_pixels: int) -> Choice:
    """The model that runs on a feed's frames (`job.inputs`, oldest first), with its context and note.

    Only as many files are read as the model wants, unless one of them is broken or missing: then the broken ones
    among the older frames are left out, and older ones are looked at, too.

    Raises:
        InputError: the newest frame cannot be read, no model fits, however the frames are taken, or they declare more
            than `max_pixels`.
    """
    paths = [Path(item["key"]) for item in job.inputs]
    few = paths[-frames_wanted(job.model, catalog) :]
    try:
        return choose(_read(job, few, max_pixels), job.model, catalog)
    except InputError:
        _read(job, paths[-1:], max_pixels)
        sequence = read_sound(paths, variable=job.variable, zr=job.zr, max_pixels=max_pixels)
        return choose(sequence, job.model, catalog)


def _read(job: Job, paths: Sequence[Path], max_pixels: int, max_dbz: float | None = None) -> FrameSequence:
    """Files of the operator's own: what lies beside them (an archive's description, masks) counts."""
    return read(paths, variable=job.variable, zr=job.zr, max_pixels=max_pixels, max_dbz=max_dbz)


def _safe(name: str) -> str:
    """The user's file name as one that is safe to make; its suffixes stay, for they tell some formats."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(name).name)[-80:]
