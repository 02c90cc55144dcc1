"""The response with a tile: drawn once, kept in memory, and never changed at an address with a version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fastapi import Request
from fastapi.responses import Response

from service.api.context import GatewayContext
from service.api.errors import InvalidParameter
from service.api.feeds.tiles.frame_id import FrameId, no_such_frame
from service.api.feeds.tiles.frames import FrameObject, find_object
from service.api.nowcasts.responses import IMMUTABLE, not_modified
from service.api.nowcasts.types import Layer
from service.api.nowcasts.view import known_threshold
from service.api.view_cache import RenderedView
from service.feeds.config import Feed
from service.render.forecast_reader import RainFile, StoredFrame
from service.render.map_tile import on_map
from service.render.tile_picture import TileFormat, coverage_picture, tile_picture
from service.render.web_mercator import MapPicture

SHORT_LIVED: Final = "private, max-age=30"


@dataclass(frozen=True)
class Drawing:
    """What is drawn: a layer of a frame, or where it has data, on a part of the map."""

    picture: MapPicture
    layer: Layer | Literal["coverage"] = "rain"
    threshold_mm_h: float | None = None
    smooth: bool = False
    file_format: TileFormat = "png"

    @property
    def tag(self) -> str:
        """Tells it from every other drawing of the frame."""
        threshold = "" if self.threshold_mm_h is None else f"{self.threshold_mm_h:.6g}"
        place = (self.picture.left, self.picture.top, self.picture.size, self.picture.world)
        kind = f"{self.layer}{threshold}{'-smooth' * self.smooth}"
        return "-".join([kind, *(f"{number:.12g}" for number in place), self.file_format])


async def tile_response(
    context: GatewayContext, request: Request, feed: Feed, frame: FrameId, drawing: Drawing
) -> Response:
    """Return a tile, or 304 to a client that has it.

    Raises
    ------
    NoSuchFrame, NoSuchRun, NoNowcast
        There is no such frame.
    InvalidParameter
        The frame has no such layer or threshold.
    NotOnEarth
        The grid has no relation to longitude and latitude.
    MissingObject
        The frame was deleted.
    Busy
        Too many requests wait for tiles.
    """
    known = None if frame.version else await context.tiles.look_up(find_object, context, feed, frame)
    tag = f"{feed.name}-{frame if known is None else known.id}-{drawing.tag}"
    headers = {"ETag": f'"{tag}"', "Cache-Control": IMMUTABLE if frame.version else SHORT_LIVED}
    if context.settings.origins:  # pages of other origins show tiles as pictures, without CORS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged

    async def draw() -> RenderedView:
        stored = known if known is not None else await context.tiles.look_up(find_object, context, feed, frame)
        async with context.results.held(stored.key) as [path]:
            return await context.tiles.run(_drawn, context, path, stored, drawing)

    drawn = await context.view_cache.get(tag, draw)
    return Response(drawn.content, media_type=f"image/{drawing.file_format}", headers=headers)


def _drawn(context: GatewayContext, path: Path, stored: FrameObject, drawing: Drawing) -> RenderedView:
    file = context.results.rain(path)
    frame = _frame(file, stored.id, drawing)
    if drawing.layer == "coverage":
        return RenderedView(coverage_picture(on_map(file, frame, drawing.picture, outside=math.nan)))
    values = on_map(file, frame, drawing.picture, smooth=drawing.smooth)
    return RenderedView(tile_picture(values, frame.scale, drawing.file_format))


def _frame(file: RainFile, frame: FrameId, drawing: Drawing) -> StoredFrame:
    if frame.valid_time not in file.times:
        raise no_such_frame(f"the nowcast has no lead step at {frame.valid_time:%Y-%m-%dT%H:%M:%SZ}")
    number = file.times.index(frame.valid_time)
    if drawing.layer != "probability":
        return file.rain_frame(number)
    if frame.observed:
        raise InvalidParameter(
            "an observed frame has no probability", where="layer", hint="Name a frame of the forecast"
        )
    return file.probability_frame(number, known_threshold(file, drawing.threshold_mm_h))
