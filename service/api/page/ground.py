"""The base map of the page, cell by cell; and the base map that the operator has set instead."""

from __future__ import annotations

import gzip
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep
from service.ground.pack import CellId, shipped_ground

router = APIRouter(prefix="/ground", dependencies=[PUBLIC], include_in_schema=False)

SOURCES: Final = (
    {"name": "Natural Earth", "url": "https://www.naturalearthdata.com", "licence": None},
    {"name": "GeoNames", "url": "https://www.geonames.org", "licence": "CC BY 4.0"},
)
"""Whom the map names."""
FOR_EVER: Final = "public, max-age=31536000, immutable"


@router.get("/index.json")
async def ground_index(context: ContextDep, response: Response) -> dict[str, Any]:
    """Return the version of the cells, their levels, whom to name on the map, and the operator's own base map."""
    ground, settings = shipped_ground(), context.settings
    response.headers["Cache-Control"] = "no-cache"
    own = {"url": settings.base_map_url, "attribution": settings.base_map_attribution or ""}
    return {
        "version": ground.version,
        "levels": [vars(level) for level in ground.levels],
        "sources": SOURCES,
        "base_map": own if settings.base_map_url else None,
    }


@router.get("/{version}/{z}/{x}/{y}")
async def ground_cell(request: Request, version: str, z: int, x: int, y: int) -> Response:
    """Return a cell, which never changes; 204 where there is sea only."""
    ground = shipped_ground()
    if version != ground.version:
        raise HTTPException(404)
    headers = {"Cache-Control": FOR_EVER, "ETag": f'"{version}-{z}-{x}-{y}"', "Vary": "Accept-Encoding"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    compressed = ground.compressed(CellId(z, x, y))
    if compressed is None:
        return Response(status_code=204, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            compressed, media_type="application/octet-stream", headers={**headers, "Content-Encoding": "gzip"}
        )
    return Response(gzip.decompress(compressed), media_type="application/octet-stream", headers=headers)
