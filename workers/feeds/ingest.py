"""Read a file that has arrived, and record its frames by their valid times, whatever the file is called."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from sqlalchemy.exc import IntegrityError

from model.core.cropping import crop
from model.core.errors import FutureFrame, InputError
from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.phase import PHASE
from model.core.sequence import FrameSequence
from model.core.times import utc_text
from service.feeds.arrivals import DecodedFrame
from service.feeds.config import Feed
from service.feeds.tables import ArrivedFile, FileState
from service.store import ObjectStore, frame_prefix
from workers import sandbox
from workers.context import WorkerContext
from workers.feeds.arrival import TooSoon, check_arrival
from workers.feeds.sources import Source

TRIES: Final = 3
"""Two processes may record the same frame at the same moment; the second one then finds it recorded."""

log = logging.getLogger(__name__)


def ingest(feed: Feed, file: ArrivedFile, source: Source, context: WorkerContext) -> list[datetime]:
    """Read a file, store its frames, and record what became of it.

    Parameters
    ----------
    feed, file
        The feed, and the file.
    source
        Where the file lies.
    context
        Where frames are stored and recorded.

    Returns
    -------
    list of datetime
        The valid times of its frames; none where the file could not be used, or has gone.

    Raises
    ------
    StoreUnavailable
        The frames cannot be stored; nothing is recorded.
    """
    ledger = context.feed_ledger
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        path = source.fetch(file, folder)
        if path is None:
            return []
        try:
            sequence = read_file(feed, path, context)
            check_arrival(feed, file, utc(sequence.reference_time), context)
        except FutureFrame as error:
            _record(feed, file, FileState.REFUSED, error, context)
            return []
        except TooSoon as error:
            _record(feed, file, FileState.REFUSED, error, context, utc(sequence.reference_time))
            return []
        except InputError as error:
            if path.exists():
                _record(feed, file, FileState.UNREADABLE, error, context)
            return []
        frames = store_frames(feed, sequence, context, folder)
    for left in reversed(range(TRIES)):
        try:
            state = ledger.record_frames(feed.name, file, frames)
            break
        except IntegrityError:
            if not left:
                raise
    log.info("feed %s: %s: %s, %s", feed.name, file.name, state, utc_text(sequence.reference_time))
    return [frame.valid_time for frame in frames] if state is not FileState.DUPLICATE else []


def read_file(feed: Feed, path: Path, context: WorkerContext) -> FrameSequence:
    """Read a file of a feed: the part of its frames that the feed keeps, with what the operator says about them.

    Raises
    ------
    InputError
        It cannot be read, or its frames have no pixels in the feed's `crop`.
    """
    sequence = sandbox.read([path], variable=feed.variable, zr=feed.zr, **context.limits._asdict())
    told = {"radar_product": feed.radar_product, PHASE: feed.phase}
    known = {name: text for name, text in told.items() if text}
    sequence = replace(sequence, attributes={**sequence.attributes, **known})
    return sequence if feed.crop is None else crop(sequence, feed.crop)


def store_frames(feed: Feed, sequence: FrameSequence, context: WorkerContext, folder: Path) -> list[DecodedFrame]:
    """Store each frame as CF-netCDF; an object that is there already has the same content."""
    grid = _grid_digest(feed, sequence.grid, context)
    frames = []
    for number in range(len(sequence)):
        frame = replace(
            sequence,
            rain_rate=sequence.rain_rate[number : number + 1],
            times=sequence.times[number : number + 1],
        )
        valid_time, digest = utc(frame.reference_time), frame.digest()
        path = folder / f"frame-{number}.nc"
        write_netcdf(frame, path)
        key = f"{frame_prefix(feed.name, valid_time)}/{digest}.nc"
        context.store.put(key, path, if_absent=True)
        frames.append(
            DecodedFrame(
                valid_time=valid_time,
                key=key,
                digest=digest,
                grid=grid,
                pixels=frame.rain_rate.size,
                size=path.stat().st_size,
                coverage=float(np.isfinite(frame.rain_rate).mean()),
                radar_product=frame.attributes.get("radar_product", ""),
            )
        )
        path.unlink()
    return frames


def utc(time: np.datetime64) -> datetime:
    """Return a numpy time as a timezone-aware datetime."""
    seconds = int(time.astype("datetime64[s]").astype("int64"))
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _record(
    feed: Feed,
    file: ArrivedFile,
    state: FileState,
    error: InputError,
    context: WorkerContext,
    valid_time: datetime | None = None,
) -> None:
    reason = f"{error.what}. {error.hint}".strip(". ")
    reason = re.sub(rf"\S*/{re.escape(PurePath(file.name).name)}", file.name, reason)
    log.warning("feed %s: %s: %s", feed.name, file.name, reason)
    context.feed_ledger.record_outcome(feed.name, file, state, reason, valid_time)


def _grid_digest(feed: Feed, grid: Grid, context: WorkerContext) -> str:
    """Return the digest of a grid; that of the newest frame's where the two match but for rounding."""
    sha = hashlib.sha256(grid.crs.to_wkt().encode())
    for axis in (grid.x, grid.y):
        sha.update(np.ascontiguousarray(axis).data)
    digest = sha.hexdigest()
    newest = next(iter(context.feed_ledger.frames(feed.name, limit=1)), None)
    if newest is None or newest.grid == digest or newest.pixels != grid.x.size * grid.y.size:
        return digest
    return newest.grid if _stored_grid(newest.key, context.store, context).matches(grid) else digest


def _stored_grid(key: str, store: ObjectStore, context: WorkerContext) -> Grid:
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        path = store.fetch(key, Path(folder) / "frame.nc")
        return sandbox.read([path], **context.limits._asdict()).grid
