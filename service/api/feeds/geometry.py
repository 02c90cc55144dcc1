"""Areas as clients send them."""

from __future__ import annotations

import json
from typing import Final

from fastapi import Request

from model.core.area_pixels import Area
from model.core.errors import TooLarge
from model.core.geometry import HINT, area_of_geojson
from service.api.errors import NotJson

MAX_BODY_BYTES: Final = 4_000_000
MEDIA_TYPES: Final = ("application/geo+json", "application/json", "")


async def read_geojson(request: Request) -> Area:
    """Return the area that a request's body describes in GeoJSON.

    Raises
    ------
    NotJson, TooLarge, BadGeometry, WrongCrs
        The body is not JSON, too large, no valid area, or not in longitude and latitude.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise NotJson(f"the body is {media!r}, and not GeoJSON", where="Content-Type", hint=HINT)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            limit = f"{MAX_BODY_BYTES / 1e6:g} MB"
            raise TooLarge(f"the body has more than {limit}", where="body", hint="Send an area with fewer vertices")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"the body is no JSON: {error}", where="body", hint=HINT) from None
    return area_of_geojson(document)
