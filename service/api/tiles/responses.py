"""The response with a map tile: drawn once, and kept; unchanged at an address with a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from service.api.context import GatewayContext
from service.api.nowcasts.responses import IMMUTABLE, not_modified
from service.api.problems import documented_problems
from service.api.tiles.drawing import Drawing
from service.api.tiles.frame_id import FrameId
from service.api.tiles.tile_set import FrameObject
from service.api.view_cache import RenderedView

SHORT_LIVED: Final = "private, max-age=30"
TILE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The tile, in Web Mercator", "content": {"image/png": {}, "image/webp": {}}},
    304: {"description": "Not modified"},
    **documented_problems("no-such-frame", "missing-object", "invalid-parameter", "not-on-earth", "busy"),
}


async def tile_response(
    context: GatewayContext,
    request: Request,
    name: str,
    frame: FrameId,
    find: Callable[[], FrameObject],
    drawing: Drawing,
) -> Response:
    """Return a tile, or 304 to a client that has it.

    Parameters
    ----------
    context, request
        The gateway, and the request.
    name
        Of the feed, or the id of the nowcast.
    frame
        The frame that was asked for; one without a version may change.
    find
        Returns where it is stored; blocks.
    drawing
        What is to be drawn.

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
    known = None if frame.version else await context.tiles.look_up(find)
    tag = f"{name}-{frame if known is None else known.id}-{drawing.tag}"
    headers = {"ETag": f'"{tag}"', "Cache-Control": IMMUTABLE if frame.version else SHORT_LIVED}
    if context.settings.origins:  # pages of other origins show tiles as pictures, without CORS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged

    async def draw() -> RenderedView:
        stored = known if known is not None else await context.tiles.look_up(find)
        async with context.results.held(stored.key) as [path]:
            return await context.tiles.run(lambda: RenderedView(drawing.draw(context.results.rain(path), stored.id)))

    drawn = await context.view_cache.get(tag, draw)
    return Response(drawn.content, media_type=f"image/{drawing.file_format}", headers=headers)
