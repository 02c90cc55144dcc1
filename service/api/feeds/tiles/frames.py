"""The frames of a feed that have tiles: the observed ones of the last hours, and the forecast that is to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from service.api.context import GatewayContext
from service.api.errors import NoNowcast
from service.api.feeds import answers
from service.api.feeds.tiles.frame_id import VERSION_LENGTH, FrameId, no_such_frame
from service.feeds.config import Feed
from service.feeds.tables import FeedFrame
from service.jobs.job import Job
from service.render.footprint import Bounds
from service.render.forecast_reader import RainFile
from service.store import MissingObject

PAST: Final = timedelta(hours=2)
"""How far the list of observed frames reaches back."""


@dataclass(frozen=True)
class FrameObject:
    """Where a frame is stored: the key of the file that has it, and its id with the version."""

    key: str
    id: FrameId


@dataclass(frozen=True)
class FrameLists:
    """Observed frames, the oldest first, and lead steps after them; no time is in both.

    `changed`: when the newest of them came. `bounds`: of the grid; `pixel_m`: its smaller side of a pixel.
    """

    past: list[FrameId]
    forecast: list[FrameId]
    changed: datetime
    bounds: Bounds | None
    pixel_m: float
    thresholds_mm_h: tuple[float, ...]


def find_object(context: GatewayContext, feed: Feed, frame: FrameId) -> FrameObject:
    """Return where a frame is stored. Blocks.

    Raises
    ------
    NoSuchFrame
        There is no such frame, or it was issued again since.
    NoSuchRun, NoNowcast
        There is no run from the reference time, or it has no nowcast.
    """
    if frame.observed:
        stored = context.feed_ledger.find_frame(feed.name, frame.valid_time)
        if stored is None:
            at = "" if frame.valid_time is None else f" at {frame.valid_time:%Y-%m-%dT%H:%M:%SZ}"
            raise no_such_frame(f"the feed has no frame{at}")
        found = _observed(stored)
        key = stored.key
    else:
        _, job = answers.served_job(context, feed, frame.reference_time)
        found, key = FrameId(frame.reference_time, frame.valid_time, job.id[:VERSION_LENGTH]), str(job.result_key)
    if frame.version not in (None, found.version):
        raise no_such_frame("this frame was issued again since")
    return FrameObject(key, found)


async def frame_lists(context: GatewayContext, feed: Feed) -> FrameLists:
    """Return the frames that a map shows now.

    Raises
    ------
    NoSuchFrame
        No frame has arrived yet.
    """
    past, job, published = await context.tiles.look_up(_newest, context, feed)
    newest = past[-1]
    file = await _file(context, newest.key)
    forecast: list[FrameId] = []
    thresholds: tuple[float, ...] = ()
    if job is not None:
        try:
            nowcast = await _file(context, str(job.result_key))
        except MissingObject:
            pass
        else:
            reference = nowcast.times[0] - timedelta(minutes=nowcast.lead_minutes[0])
            after = max(newest.valid_time, feed.now(newest.valid_time))
            version = job.id[:VERSION_LENGTH]
            forecast = [FrameId(reference, time, version) for time in nowcast.times if time > after]
            thresholds = nowcast.thresholds_mm_h
    return FrameLists(
        past=[_observed(frame) for frame in past],
        forecast=forecast,
        changed=max(newest.arrived, published or newest.arrived),
        bounds=file.footprint,
        pixel_m=min(file.grid.pixel_size_m),
        thresholds_mm_h=thresholds,
    )


def _newest(context: GatewayContext, feed: Feed) -> tuple[list[FeedFrame], Job | None, datetime | None]:
    """Return the newest observed frames, and the newest nowcast with the time at which it was published."""
    ledger = context.feed_ledger
    newest = ledger.find_frame(feed.name)
    if newest is None:
        raise no_such_frame("no frame of this feed has arrived")
    past = ledger.frames(feed.name, since=newest.valid_time - PAST)[::-1]
    try:
        run, job = answers.served_job(context, feed)
    except NoNowcast:
        return past, None, None
    return past, job, run.published


def _observed(frame: FeedFrame) -> FrameId:
    return FrameId(frame.valid_time, frame.valid_time, frame.digest[:VERSION_LENGTH])


async def _file(context: GatewayContext, key: str) -> RainFile:
    """Return the header of a file."""
    async with context.results.held(key) as [path]:
        return await context.tiles.run(context.results.rain, path)
