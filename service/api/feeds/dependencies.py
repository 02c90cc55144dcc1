"""What the routes of feeds share: the feed of the path, a run's reference time, and who may read them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Path

from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.feeds import answers
from service.api.utc_time import UtcTime
from service.feeds.config import Feed
from service.jobs.api_keys import Scope

READ: Final = [requires(Scope.READ)]


async def _feed(
    context: ContextDep, feed: Annotated[str, Path(max_length=64, description="Name of the feed.")]
) -> Feed:
    return await context.in_thread(answers.find_feed, context, feed)


FeedDep = Annotated[Feed, Depends(_feed)]
ReferenceTime = Annotated[UtcTime, Path(description="Valid time of its newest frame (RFC 3339).")]
