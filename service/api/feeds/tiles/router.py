"""Map tiles of a feed, by frame; and their TileJSON."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.api.access.scopes import requires_for_tile
from service.api.context import ContextDep
from service.api.feeds.dependencies import READ, FeedDep, TiledFeedDep
from service.api.feeds.tiles import places
from service.api.feeds.tiles.frame_id import LATEST, FrameText, parse_frame_id
from service.api.feeds.tiles.frames import frame_lists
from service.api.feeds.tiles.responses import Drawing, tile_response
from service.api.feeds.tiles.tile_json import tile_json
from service.api.feeds.tiles.types import TileJson
from service.api.nowcasts.types import Layer
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope
from service.render.tile_picture import TileFormat

router = APIRouter(prefix="/{feed}")

TILE_PROBLEMS: Final = documented_problems(
    *("no-such-feed", "no-such-frame", "no-such-run", "no-nowcast", "missing-object"),
    *("invalid-parameter", "not-on-earth", "busy"),
)
LayerQuery = Annotated[
    Layer, Query(description="`rain`, or `probability`: of at least `threshold`, in frames of the forecast.")
]
ThresholdQuery = Annotated[
    float | None,
    Query(
        gt=0,
        allow_inf_nan=False,
        description="Rain rate in mm/h, one of the `thresholds_mm_h` of tiles.json; default: the lowest.",
    ),
]


@router.get(
    "/tiles.json",
    operation_id="getTileJson",
    dependencies=READ,
    summary="TileJSON of a frame, and the list of frames",
    responses=documented_problems("no-such-feed", "no-such-frame", "missing-object", "invalid-parameter", "busy"),
)
async def tiles_json(
    request: Request,
    context: ContextDep,
    feed: FeedDep,
    frame: Annotated[
        str, Query(max_length=64, description="A frame's id, of the list; default: the newest observed frame.")
    ] = LATEST,
    layer: LayerQuery = "rain",
    threshold: ThresholdQuery = None,
) -> TileJson:
    """Return TileJSON 3.0.0, which map viewers read, with every frame of the last hours and of the forecast.

    The addresses of a frame never change, and may be kept for ever. Those of `latest`, which are the default, show the
    newest observed frame whenever they are read.
    """
    lists = await frame_lists(context, feed)
    base = str(request.base_url).rstrip("/")
    return tile_json(base, feed.name, lists, parse_frame_id(frame), layer, threshold)


@router.get(
    "/tiles/{frame}/{z}/{x}/{y}.{file_format}",
    operation_id="getTile",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="A map tile",
    response_class=Response,
    responses={
        200: {"description": "The tile, in Web Mercator", "content": {"image/png": {}, "image/webp": {}}},
        304: {"description": "Not modified"},
        **TILE_PROBLEMS,
    },
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
    size: Annotated[int, Query(description="Pixels a side: 256 or 512.", json_schema_extra={"enum": [256, 512]})] = 256,
) -> Response:
    """Return a tile of the map: dry and outside of the radar's area transparent, missing data hatched grey.

    Pixels of the radar that are larger than those of the tile are drawn as they are. Where they are smaller, a pixel of
    the tile has the highest value in it. A tile whose frame has a version never changes.
    """
    drawing = Drawing(places.tile(z, x, y, size), layer, threshold, file_format=file_format)
    return await tile_response(context, request, feed, parse_frame_id(frame), drawing)
