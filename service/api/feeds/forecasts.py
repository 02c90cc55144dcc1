"""Routes of the archive of forecasts: its Zarr groups, and their objects as any reader of Zarr asks for them."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from service.api.context import ContextDep, GatewayContext
from service.api.errors import NoSuchProduct
from service.api.feeds.answers import path_of_feed
from service.api.feeds.dependencies import READ, FeedDep
from service.api.nowcasts.responses import not_modified
from service.api.problems import documented_problems
from service.feeds.products import forecasts_prefix
from service.status import Link
from service.store import MissingObject

OBJECT: Final = re.compile(r"\d{8}/[0-9a-f]{12}\.zarr/(?:[a-z_]+/)?(?:zarr\.json|c(?:/\d+)*)")
"""Metadata and chunks of a group; anything else in the store is no business of a reader."""

router = APIRouter()


class ForecastGroup(BaseModel):
    """A Zarr group: the runs of a day that have the same grid, lead times, field and thresholds."""

    day: date = Field(description="Of the reference times, UTC.")
    href: str


class ForecastArchive(BaseModel):
    """The archive of a feed's forecasts."""

    feed: str = Field(examples=["helsinki"])
    groups: list[ForecastGroup] = Field(description="The newest day first.")
    links: list[Link]


@router.get(
    "/{feed}/forecasts",
    operation_id="getForecastArchive",
    dependencies=READ,
    summary="The archive of forecasts",
    responses=documented_problems("no-such-feed"),
)
async def archive(context: ContextDep, feed: FeedDep) -> ForecastArchive:
    """Return the Zarr groups of the feed's archive; there are none without the product `zarr`."""
    return await context.in_thread(_archive, context, feed.name)


@router.get(
    "/{feed}/forecasts/{object:path}",
    operation_id="getForecastObject",
    dependencies=READ,
    summary="An object of the archive of forecasts",
    response_class=Response,
    responses={
        200: {"description": "The object", "content": {"application/octet-stream": {}}},
        304: {"description": "The client has it"},
        **documented_problems("no-such-feed", "no-such-product", "busy"),
    },
)
async def archived_object(
    context: ContextDep,
    request: Request,
    feed: FeedDep,
    name: Annotated[str, Path(alias="object", max_length=200, description="Below the address of the archive.")],
) -> Response:
    """Return metadata or a chunk; 404 where there is none, which readers of Zarr take for data that is missing."""
    content = await context.pictures.run(_read, context, feed.name, name)
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "private, no-cache"}
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    media_type = "application/json" if name.endswith(".json") else "application/octet-stream"
    return Response(content, media_type=media_type, headers=headers)


def _archive(context: GatewayContext, feed: str) -> ForecastArchive:
    prefix, path = forecasts_prefix(feed), f"{path_of_feed(feed)}/forecasts"
    groups = [
        ForecastGroup(day=date.fromisoformat(day), href=f"{path}/{day}/{group}")
        for day in sorted(context.store.folders(prefix), reverse=True)
        for group in sorted(context.store.folders(f"{prefix}/{day}"))
        if context.store.exists(f"{prefix}/{day}/{group}/zarr.json")  # else its first run is being written
    ]
    links = [
        Link(rel="self", href=path, type="application/json", title="Archive of forecasts"),
        Link(rel="up", href=path_of_feed(feed), type="application/json", title="Feed"),
    ]
    return ForecastArchive(feed=feed, groups=groups, links=links)


def _read(context: GatewayContext, feed: str, name: str) -> bytes:
    try:
        if OBJECT.fullmatch(name):
            return context.store.get(f"{forecasts_prefix(feed)}/{name}")
    except MissingObject:
        pass
    hint = f"{path_of_feed(feed)}/forecasts lists groups"
    raise NoSuchProduct("the archive of forecasts has no such object", where="object", hint=hint)
