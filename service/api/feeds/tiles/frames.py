"""The frames of a feed that have tiles: the observed ones of the last hours, and the forecast that is to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from model.core.times import rfc3339
from service.api.context import GatewayContext
from service.api.feeds import answers
from service.api.feeds.models import (
    MadeNowcast,
    challenger_nowcasts,
    newest_nowcasts,
    nowcast_of_model,
    scored_lead_minutes,
)
from service.api.tiles.frame_id import VERSION_LENGTH, FrameId, no_such_frame
from service.api.tiles.tile_set import FrameObject, TiledForecast, TileSet
from service.api.tiles.types import MapModel
from service.feeds.config import Feed
from service.feeds.health import FeedHealth
from service.feeds.overview import feed_states
from service.feeds.tables import FeedFrame
from service.jobs.job import Job
from service.problem_details import public
from service.render.footprint import Bounds
from service.render.forecast_reader import RainFile
from service.render.map_tile import data_bounds, map_bounds
from service.store import MissingObject

PAST: Final = timedelta(hours=2)
"""How far the list of observed frames reaches back."""


@dataclass(frozen=True)
class _Newest:
    """What the ledger has of a feed now: observed frames, the oldest first, and nowcasts, that of the map first."""

    past: list[FeedFrame]
    health: FeedHealth
    nowcasts: list[MadeNowcast]
    shown: MadeNowcast | None
    scored_lead_minutes: float | None


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
            at = "" if frame.valid_time is None else f" at {rfc3339(frame.valid_time)}"
            raise no_such_frame(f"the feed has no frame{at}")
        found, key = _observed(stored), stored.key
    else:
        job = _job_of(context, feed, frame)
        found, key = FrameId(frame.reference_time, frame.valid_time, job.id[:VERSION_LENGTH]), str(job.result_key)
    if frame.version not in (None, found.version):
        raise no_such_frame("this frame was issued again since")
    return FrameObject(key, found)


def _job_of(context: GatewayContext, feed: Feed, frame: FrameId) -> Job:
    """Return the job whose nowcast has a frame: the one that is served, or the challenger's that the version names."""
    _, job = answers.served_job(context, feed, frame.reference_time)
    if frame.version is None or frame.reference_time is None or job.id.startswith(frame.version):
        return job
    others = (each.job for each in challenger_nowcasts(context, feed, frame.reference_time))
    return next((other for other in others if other.id.startswith(frame.version)), job)


async def tile_set(context: GatewayContext, feed: Feed, model: str | None = None) -> TileSet:
    """Return the frames that a map shows now, of the model that makes the feed's nowcasts or of another one.

    Raises
    ------
    NoSuchFrame
        No frame has arrived yet.
    InvalidParameter
        There is no nowcast of that model.
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    newest = await context.tiles.look_up(_newest, context, feed, model)
    last, health = newest.past[-1], newest.health
    file, with_data = await _newest_file(context, last.key)
    now = feed.now(last.valid_time)
    forecast = None
    if newest.shown is not None:
        try:
            nowcast = await _file(context, str(newest.shown.job.result_key))
        except MissingObject:
            pass
        else:
            forecast = _forecast(newest, nowcast, after=max(last.valid_time, now))
    published = None if newest.shown is None else newest.shown.published
    return TileSet(
        kind="feed",
        name=feed.name,
        path=answers.path_of_feed(feed.name),
        past=[_observed(frame) for frame in newest.past],
        forecast=forecast,
        now=now,
        changed=max(last.arrived, published or last.arrived),
        bounds=map_bounds(file),
        data_bounds=with_data,
        pixel_m=min(file.grid.pixel_size_m),
        coverage={_observed(frame): frame.coverage for frame in newest.past},
        status=health.status,
        reason=public(health.reason),
        age_minutes=health.age_minutes,
        interval_minutes=health.interval_minutes,
        radar_product=last.radar_product,
        models=[
            MapModel(model=each.model, reference_time=each.reference_time, own=each.own) for each in newest.nowcasts
        ],
    )


def _newest(context: GatewayContext, feed: Feed, model: str | None) -> _Newest:
    ledger = context.feed_ledger
    newest = ledger.find_frame(feed.name)
    if newest is None:
        raise no_such_frame("no frame of this feed has arrived")
    past = ledger.frames(feed.name, since=newest.valid_time - PAST)[::-1]
    nowcasts = newest_nowcasts(context, feed)
    shown = nowcast_of_model(nowcasts, model) if nowcasts or model is not None else None
    scored = None if shown is None else scored_lead_minutes(context, feed, shown.model)
    [state] = feed_states([feed], ledger)
    return _Newest(past, state.health, nowcasts, shown, scored)


def _forecast(newest: _Newest, nowcast: RainFile, after: datetime) -> TiledForecast:
    """Return the lead steps of a nowcast that come after a time."""
    made = newest.shown
    assert made is not None  # noqa: S101 - its file was read
    version = made.job.id[:VERSION_LENGTH]
    return TiledForecast(
        reference_time=nowcast.reference_time,
        end=nowcast.times[-1],
        version=version,
        thresholds_mm_h=nowcast.thresholds_mm_h,
        model=made.job.model_used,
        note=made.job.note,
        scored_lead_minutes=newest.scored_lead_minutes,
        frames=[FrameId(nowcast.reference_time, time, version) for time in nowcast.times if time > after],
    )


def _observed(frame: FeedFrame) -> FrameId:
    return FrameId(frame.valid_time, frame.valid_time, frame.digest[:VERSION_LENGTH])


async def _newest_file(context: GatewayContext, key: str) -> tuple[RainFile, Bounds | None]:
    """Return the header of the newest frame's file, and the bounds of its data."""
    async with context.results.held(key) as [path]:
        file = await context.tiles.run(context.results.rain, path)
        return file, await context.tiles.run(data_bounds, file, file.rain_frame(len(file.times) - 1))


async def _file(context: GatewayContext, key: str) -> RainFile:
    """Return the header of a file."""
    async with context.results.held(key) as [path]:
        return await context.tiles.run(context.results.rain, path)
