"""Frames and tiles by the grammar of RainViewer's API of weather maps (v2), for pages and apps that were made for it.

https://www.rainviewer.com/api/weather-maps-api.html. A frame's address is `host` and `path` of its entry, and then
`/{size}/{z}/{x}/{y}/{color}/{options}.png`, or in the place of x and y latitude and longitude, each with a decimal
point.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from service.api.access.scopes import requires_for_tile
from service.api.context import ContextDep, GatewayContext
from service.api.errors import InvalidParameter
from service.api.feeds.answers import path_of_feed
from service.api.feeds.dependencies import READ, FeedDep, TiledFeedDep
from service.api.feeds.tiles.frames import find_object, tile_set
from service.api.feeds.tiles.router import TILE
from service.api.feeds.tiles.types import RadarMaps, WeatherMap, WeatherMaps
from service.api.problems import documented_problems
from service.api.tiles import places
from service.api.tiles.drawing import Drawing, Layered
from service.api.tiles.frame_id import FrameId, FrameText, parse_frame_id
from service.api.tiles.responses import tile_response
from service.feeds.config import Feed
from service.jobs.api_keys import Scope
from service.render.tile_picture import TileFormat
from service.render.web_mercator import MapPicture

router = APIRouter(prefix="/{feed}")

RADAR: Final = "/v2/radar"
REFLECTIVITY_SCHEMES: Final = (0, 255)

Size = Annotated[int, Path(description="Pixels a side: 256 or 512.", json_schema_extra={"enum": [256, 512]})]
XOrLatitude = Annotated[
    str, Path(pattern=r"^(\d{1,7}|-?\d{1,2}\.\d{1,12})$", description="Column, or latitude with a decimal point.")
]
YOrLongitude = Annotated[
    str, Path(pattern=r"^(\d{1,7}|-?\d{1,3}\.\d{1,12})$", description="Row, or longitude with a decimal point.")
]
Color = Annotated[
    int, Path(ge=0, le=255, description="Colour scheme. Every one is drawn in Echocast's; 0 and 255 are refused.")
]
Options = Annotated[
    str,
    Path(
        pattern=r"^[01]_[01]$",
        description="`{smooth}_{snow}`. 1 as `smooth` interpolates; `snow` changes nothing: snow is drawn as rain.",
        examples=["1_1"],
    ),
]
PNG: Final[dict[int | str, dict[str, Any]]] = {
    **TILE,
    200: {"description": "The tile, in Web Mercator", "content": {"image/png": {}}},
}


@router.get(
    "/weather-maps.json",
    operation_id="getWeatherMaps",
    dependencies=READ,
    summary="The frames, as RainViewer lists them",
    responses=documented_problems("no-such-feed", "no-such-frame", "missing-object", "not-on-earth", "busy"),
)
async def weather_maps(request: Request, context: ContextDep, feed: FeedDep) -> WeatherMaps:
    """Return the observed frames of two hours, and the lead steps that are to come. No time is in both."""
    tiles = await tile_set(context, feed)
    return WeatherMaps(
        generated=int(tiles.changed.timestamp()),
        host=f"{str(request.base_url).rstrip('/')}{path_of_feed(feed.name)}",
        radar=RadarMaps(past=_listed(tiles.past), nowcast=_listed(tiles.forecast.frames if tiles.forecast else [])),
    )


def _listed(frames: list[FrameId]) -> list[WeatherMap]:
    return [
        WeatherMap(time=int(frame.valid_time.timestamp()), path=f"{RADAR}/{frame}")
        for frame in frames
        if frame.valid_time is not None
    ]


@router.get(
    RADAR + "/{frame}/{size}/{z}/{x}/{y}/{color}/{options}.{file_format}",
    operation_id="getWeatherMapTile",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="A map tile, by RainViewer's grammar",
    response_class=Response,
    responses=TILE,
)
async def radar_tile(
    request: Request,
    context: ContextDep,
    feed: TiledFeedDep,
    frame: FrameText,
    size: Size,
    z: places.Zoom,
    x: XOrLatitude,
    y: YOrLongitude,
    color: Color,
    options: Options,
    file_format: TileFormat,
) -> Response:
    """Return a tile of the rain rate, or a picture around a place.

    It is drawn in Echocast's colours, whatever `color`: `/v1/nowcasts/{id}/frames` has the legend.
    """
    if color in REFLECTIVITY_SCHEMES:
        raise InvalidParameter(
            f"scheme {color} writes reflectivity as grey, and feeds keep rain rate",
            where="color",
            hint="Request any of 1 to 254: all are drawn in the same colours of rain rate",
        )
    drawing = Drawing(_picture(size, z, x, y), smooth=options.startswith("1"), file_format=file_format)
    return await _tile(context, request, feed, parse_frame_id(frame), drawing)


@router.get(
    "/v2/coverage/0/{size}/{z}/{x}/{y}/{color}/{options}.png",
    operation_id="getCoverageTile",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="Where there is data, by RainViewer's grammar",
    response_class=Response,
    responses=PNG,
)
async def coverage_tile(
    request: Request,
    context: ContextDep,
    feed: TiledFeedDep,
    size: Size,
    z: places.Zoom,
    x: XOrLatitude,
    y: YOrLongitude,
    color: Color,
    options: Options,
) -> Response:
    """Return a tile that is transparent where the newest frame has data, and black where it has none."""
    return await _coverage(context, request, feed, _picture(size, z, x, y))


@router.get(
    "/v2/coverage/0/{size}/{z}/{x}/{y}.png",
    operation_id="getCoverageTileByShortAddress",
    dependencies=[requires_for_tile(Scope.READ)],
    summary="The same, by RainViewer's older address",
    response_class=Response,
    responses=PNG,
)
async def coverage_tile_by_short_address(
    request: Request,
    context: ContextDep,
    feed: TiledFeedDep,
    size: Size,
    z: places.Zoom,
    x: XOrLatitude,
    y: YOrLongitude,
) -> Response:
    """Return a tile that is transparent where the newest frame has data, and black where it has none."""
    return await _coverage(context, request, feed, _picture(size, z, x, y))


async def _coverage(context: GatewayContext, request: Request, feed: Feed, picture: MapPicture) -> Response:
    return await _tile(context, request, feed, FrameId(), Drawing(picture, Layered("coverage"), black=True))


async def _tile(context: GatewayContext, request: Request, feed: Feed, frame: FrameId, drawing: Drawing) -> Response:
    return await tile_response(context, request, feed.name, frame, partial(find_object, context, feed, frame), drawing)


def _picture(size: int, z: int, x: str, y: str) -> MapPicture:
    """Return a tile, or the part of the map around a latitude and longitude, which have decimal points."""
    if "." in x and "." in y:
        return places.around(z, float(x), float(y), size)
    if "." in x or "." in y:
        raise InvalidParameter(
            f"{x}/{y} is neither a tile nor a place", where="x, y", hint="Give both with a decimal point, or neither"
        )
    return places.tile(z, int(x), int(y), size)
