"""The archive of a feed's forecasts: Zarr 3 groups in the store, to which each run adds its reference time.

There is a group for each day, `feeds/{feed}/forecasts/{day}/{layout}.zarr`, so that days expire as a whole; runs that
differ in grid, lead times, field or thresholds lie in groups of their own. Within a group reference times are in the
order in which their nowcasts were published.

No half reference time is ever visible, whenever the process ends: its chunks lie beyond the end of the arrays until the
root's `zarr.json` is written, as one object, with the new length. While a run that was issued again replaces its
chunks, its reference time is missing (NaT). One process at a time appends to a feed's archive, by the lease of
`service.feeds.follow_up`.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.feeds.config import Feed
from service.feeds.products import forecasts_prefix
from service.render.forecast_reader import RainFile
from service.store import MissingObject, ObjectStore
from workers.context import WorkerContext
from workers.feeds.products.archive_layout import (
    CAPACITY,
    MISSING_TIME,
    REFERENCE_TIME,
    ROOT,
    layout_digest,
    write_group,
)
from workers.feeds.products.made_file import MadeFile
from workers.feeds.published_run import PublishedRun

TIMES: Final = f"{REFERENCE_TIME}/c/0"
"""The only chunk of the reference times: integers of 64 bits, little-endian, not compressed."""


def archive_forecast(published: PublishedRun, context: WorkerContext) -> list[MadeFile]:
    """Add the run to the archive, and delete days that are older than the feed's retention. Returns no file.

    Raises
    ------
    MissingDependency
        zarr is not installed.
    """
    forecast = RainFile.open(published.nowcast)
    leads = _room_for_leads(published.feed, forecast)
    folder = published.folder / "run.zarr"
    write_group(forecast, leads, folder)
    archive, day = forecasts_prefix(published.feed.name), f"{forecast.reference_time:%Y%m%d}"
    published.renew()
    append(context.store, f"{archive}/{day}/{layout_digest(forecast, leads)}.zarr", folder)
    oldest = f"{forecast.reference_time - timedelta(days=published.feed.retention):%Y%m%d}"
    for name in context.store.folders(archive):
        if name < oldest:
            context.store.delete_prefix(f"{archive}/{name}")
    return []


def _room_for_leads(feed: Feed, forecast: RainFile) -> int:
    """Return the lead times of a group: as many as a run of the feed may have, whatever the age of its frames."""
    leads = len(forecast)
    if feed.lead_time is None:
        return leads
    return max(leads, math.ceil((feed.lead_time + feed.max_age) / forecast.lead_minutes[0]))


def append(store: ObjectStore, group: str, folder: Path) -> None:
    """Add the one reference time of the Zarr group in `folder` to the group in the store, which may not exist yet."""
    time = int(np.frombuffer((folder / TIMES).read_bytes(), "<i8")[0])
    try:
        root = json.loads(store.get(f"{group}/{ROOT}"))
    except MissingObject:
        _create(store, group, folder)
        return
    arrays: dict[str, dict[str, Any]] = root["consolidated_metadata"]["metadata"]
    growing = [name for name, array in arrays.items() if REFERENCE_TIME in array.get("dimension_names", ())]
    count = arrays[REFERENCE_TIME]["shape"][0]
    times = np.frombuffer(store.get(f"{group}/{TIMES}"), "<i8").copy()
    index = _index(times[:count], time)
    if times[index] != MISSING_TIME:
        times[index] = MISSING_TIME
        store.put(f"{group}/{TIMES}", times.tobytes())
    for name in growing:
        if name != REFERENCE_TIME:
            _put_chunks(store, f"{group}/{name}/c/{index}", folder / name / "c" / "0")
    times[index] = time
    store.put(f"{group}/{TIMES}", times.tobytes())
    if index == count:
        for name in growing:
            arrays[name]["shape"][0] = count + 1
            store.put(f"{group}/{name}/{ROOT}", json.dumps(arrays[name]).encode())
        store.put(f"{group}/{ROOT}", json.dumps(root).encode())  # from here on it is visible


def _index(times: NDArray[np.int64], time: int) -> int:
    """Return the index of a reference time; if it is new, that of one that is missing, else the next one.

    Raises
    ------
    ValueError
        The group is full.
    """
    for wanted in (time, MISSING_TIME):
        found = np.flatnonzero(times == wanted)
        if found.size:
            return int(found[0])
    if times.size == CAPACITY:
        raise ValueError(f"a group of the archive has {CAPACITY} reference times")
    return int(times.size)


def _create(store: ObjectStore, group: str, folder: Path) -> None:
    """Store a group of one reference time, its root last."""
    store.delete_prefix(group)  # what a process that was killed has left
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / ROOT:
            store.put(f"{group}/{path.relative_to(folder).as_posix()}", path)
    store.put(f"{group}/{ROOT}", folder / ROOT)


def _put_chunks(store: ObjectStore, prefix: str, folder: Path) -> None:
    """Store the chunks of one reference time; chunks without data are absent, so those of before are deleted."""
    store.delete_prefix(prefix)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path)
