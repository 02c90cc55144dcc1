"""Map tiles of a nowcast that was uploaded, or of one of a feed: its observed frames and its forecast."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from service.api.access.client import ClientDep
from service.api.access.scopes import requires, requires_for_tile
from service.api.context import ContextDep, GatewayContext
from service.api.models.listing import lead_of_scores
from service.api.nowcasts import responses
from service.api.nowcasts.own_job import JobId, own_job
from service.api.nowcasts.view import NowcastView
from service.api.problems import documented_problems
from service.api.tiles import places
from service.api.tiles.drawing import Drawing, Layered, LayerQuery, MinutesQuery, SizeQuery, ThresholdQuery
from service.api.tiles.frame_id import (
    LATEST,
    VERSION_LENGTH,
    FrameId,
    FrameQuery,
    FrameText,
    no_such_frame,
    parse_frame_id,
)
from service.api.tiles.motion import Motion, motion_of
from service.api.tiles.responses import TILE_RESPONSES, tile_response
from service.api.tiles.tile_json import tile_json
from service.api.tiles.tile_set import FrameObject, TiledForecast, TileSet
from service.api.tiles.types import TileJson
from service.feeds.intervals import common_interval_minutes
from service.jobs.api_keys import Scope
from service.jobs.job import Job
from service.render.map_tile import data_bounds, map_bounds
from service.render.tile_picture import TileFormat
from service.status import path_of

router = APIRouter(prefix="/{id}")

STATES: Final = ("unknown-job", "not-finished", "dismissed")


async def _tiled_job(job_id: JobId, context: ContextDep, client: ClientDep) -> Job:
    job = await own_job(context, client, job_id, context.tiles, or_of_feeds=True)
    responses.check_successful(job)
    return job


TiledJobDep = Annotated[Job, Depends(_tiled_job)]
"""The job of the path's `id`, which has a result: the client's own, or one of a feed."""


@router.get(
    "/tiles.json",
    operation_id="getNowcastTileJson",
    dependencies=[requires(Scope.READ)],
    summary="TileJSON of a frame, and the list of frames and layers",
    responses=documented_problems(
        *STATES, "no-such-frame", "missing-object", "invalid-parameter", "not-on-earth", "busy"
    ),
)
async def tiles_json(
    request: Request,
    context: ContextDep,
    job: TiledJobDep,
    frame: FrameQuery = LATEST,
    layer: LayerQuery = "rain",
    threshold: ThresholdQuery = None,
    minutes: MinutesQuery = None,
) -> TileJson:
    """Return TileJSON 3.0.0, which map viewers read, with every layer and frame: as `/v1/feeds/{feed}/tiles.json`.

    A nowcast whose grid has no relation to longitude and latitude has no tiles, but pictures: `/frames`.
    """
    shown = parse_frame_id(frame)
    tiles = await responses.in_view(context, context.tiles, job, partial(_tile_set, context))
    return tile_json(str(request.base_url).rstrip("/"), tiles, shown, Layered(layer, threshold, minutes))


@router.get(
    "/motion.json",
    operation_id="getNowcastMotion",
    dependencies=[requires(Scope.READ)],
    summary="How rain moves",
    responses=documented_problems(*STATES, "missing-object", "busy"),
)
async def motion(context: ContextDep, job: TiledJobDep) -> Motion:
    """Return arrows of the motion of rain in the newest frames, where it rains."""
    return await responses.in_view(context, context.tiles, job, lambda view: motion_of(view.forecast, job.model_used))


@router.get(
    "/tiles/{frame}/{z}/{x}/{y}.{file_format}",
    operation_id="getNowcastTile",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="A map tile",
    response_class=Response,
    responses={**documented_problems(*STATES), **TILE_RESPONSES},
)
async def tile(
    request: Request,
    context: ContextDep,
    job: TiledJobDep,
    frame: FrameText,
    z: places.Zoom,
    x: places.Column,
    y: places.Row,
    file_format: TileFormat,
    layer: LayerQuery = "rain",
    threshold: ThresholdQuery = None,
    minutes: MinutesQuery = None,
    size: SizeQuery = 256,
) -> Response:
    """Return a tile of the map, drawn as those of feeds."""
    drawing = Drawing(places.tile(z, x, y, size), Layered(layer, threshold, minutes), file_format=file_format)
    shown = parse_frame_id(frame)
    return await tile_response(context, request, job.id, shown, partial(_find_object, job, shown), drawing)


def _find_object(job: Job, frame: FrameId) -> FrameObject:
    """Return which file has a frame; without times, and observed ones, that of the input.

    Raises
    ------
    NoSuchFrame
        The frame is another nowcast's.
    """
    version = job.id[:VERSION_LENGTH]
    if frame.version not in (None, version):
        raise no_such_frame("this nowcast has no such frame")
    if frame.observed:
        if job.input_key is None:
            raise no_such_frame("the observed frames of this nowcast are not kept")
        return FrameObject(job.input_key, FrameId(frame.reference_time, frame.valid_time, version))
    return FrameObject(str(job.result_key), FrameId(frame.reference_time, frame.valid_time, version))


def _tile_set(context: GatewayContext, view: NowcastView) -> TileSet:
    job, forecast, reference = view.job, view.forecast, view.reference_time
    version = job.id[:VERSION_LENGTH]
    observed = [frame.valid_time for frame in view.frames if frame.kind == "observed"]
    return TileSet(
        kind="nowcast",
        name=job.id,
        path=path_of(job.id),
        past=[FrameId(time, time, version) for time in observed],
        forecast=TiledForecast(
            reference_time=reference,
            end=forecast.times[-1],
            version=version,
            thresholds_mm_h=forecast.thresholds_mm_h,
            model=job.model_used,
            note=job.note,
            scored_lead_minutes=lead_of_scores(context, job.model_used),
            frames=[FrameId(reference, time, version) for time in forecast.times],
        ),
        now=reference,
        changed=job.finished or reference,
        bounds=map_bounds(forecast),
        data_bounds=data_bounds(forecast, forecast.rain_frame(0)),
        pixel_m=min(forecast.grid.pixel_size_m),
        interval_minutes=common_interval_minutes(observed),
        radar_product=forecast.attributes.get("input_radar_product", ""),
    )
