"""What the routes of feeds share: the feed of the path, a reference time, who may read them, that none is stored."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Path

from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.feeds.served import find_feed
from service.api.utc_time import UtcTime
from service.feeds.config import Feed
from service.jobs.api_keys import Scope

READ: Final = [requires(Scope.READ)]
NO_STORE: Final = {"Cache-Control": "no-store"}
"""No answer is to be stored: the next frame changes it."""

FeedName = Annotated[str, Path(alias="feed", max_length=64, description="Name of the feed.")]


async def _feed(context: ContextDep, name: FeedName) -> Feed:
    return find_feed(await context.in_thread(context.feeds), name)


async def _tiled_feed(context: ContextDep, name: FeedName) -> Feed:
    return find_feed(await context.tiles.look_up(context.feeds), name)


FeedDep = Annotated[Feed, Depends(_feed)]
TiledFeedDep = Annotated[Feed, Depends(_tiled_feed)]
"""The same, for a map tile: a crowd of these leaves the threads of others alone."""
ReferenceTime = Annotated[UtcTime, Path(description="Valid time of its newest frame (RFC 3339).")]
