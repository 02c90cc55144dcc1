"""Map tiles of a feed, by frame; and their TileJSON."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.access.scopes import requires_for_tile
from service.api.context import ContextDep
from service.api.feeds.dependencies import READ, FeedDep, TiledFeedDep
from service.api.feeds.models import ModelQuery, newest_of_model
from service.api.feeds.tiles.frames import find_object, tile_set
from service.api.problems import documented_problems
from service.api.tiles import places
from service.api.tiles.drawing import Drawing, Layered, LayerQuery, MinutesQuery, SizeQuery, ThresholdQuery
from service.api.tiles.frame_id import LATEST, FrameQuery, FrameText, parse_frame_id
from service.api.tiles.motion import Motion, motion_of
from service.api.tiles.responses import TILE_RESPONSES, tile_response
from service.api.tiles.tile_json import tile_json
from service.api.tiles.types import TileJson
from service.jobs.api_keys import Scope
from service.render.tile_picture import TileFormat

router = APIRouter(prefix="/{feed}")

TILE: Final[dict[int | str, dict[str, Any]]] = {
    **documented_problems("no-such-feed", "no-such-run", "no-nowcast"),
    **TILE_RESPONSES,
}


@router.get(
    "/tiles.json",
    operation_id="getTileJson",
    dependencies=READ,
    summary="TileJSON of a frame, and the list of frames and layers",
    responses=documented_problems(
        "no-such-feed", "no-such-frame", "missing-object", "invalid-parameter", "not-on-earth", "busy"
    ),
)
async def tiles_json(
    request: Request,
    context: ContextDep,
    feed: FeedDep,
    frame: FrameQuery = LATEST,
    layer: LayerQuery = "rain",
    threshold: ThresholdQuery = None,
    minutes: MinutesQuery = None,
    model: ModelQuery = None,
) -> TileJson:
    """Return TileJSON 3.0.0, which map viewers read, with every layer and frame of the last hours and of the forecast.

    The addresses of a frame never change, and may be kept for ever. Those of `latest`, which are the default, show the
    newest observed frame whenever they are read.
    """
    shown = parse_frame_id(frame)
    tiles = await tile_set(context, feed, model)
    return tile_json(str(request.base_url).rstrip("/"), tiles, shown, Layered(layer, threshold, minutes))


@router.get(
    "/motion.json",
    operation_id="getMotion",
    dependencies=READ,
    summary="How rain moves",
    responses=documented_problems("no-such-feed", "no-nowcast", "missing-object", "invalid-parameter", "busy"),
)
async def motion(context: ContextDep, feed: FeedDep, model: ModelQuery = None) -> Motion:
    """Return arrows of the motion of rain in the newest frames, where it rains, by the newest nowcast."""
    made = await context.tiles.look_up(newest_of_model, context, feed, model)
    async with context.results.held(str(made.job.result_key)) as [path]:
        return await context.tiles.run(lambda: motion_of(context.results.rain(path), made.model))


@router.get(
    "/tiles/{frame}/{z}/{x}/{y}.{file_format}",
    operation_id="getTile",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="A map tile",
    response_class=Response,
    responses=TILE,
)
async def tile(
    request: Request,
    context: ContextDep,
    feed: TiledFeedDep,
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
    """Return a tile of the map: dry and outside of the radar's area transparent, missing data hatched grey.

    Pixels of the radar that are larger than those of the tile are drawn as they are. Where they are smaller, a pixel of
    the tile has the highest value in it. A tile whose frame has a version never changes.
    """
    drawing = Drawing(places.tile(z, x, y, size), Layered(layer, threshold, minutes), file_format=file_format)
    shown = parse_frame_id(frame)
    return await tile_response(context, request, feed.name, shown, partial(find_object, context, feed, shown), drawing)
