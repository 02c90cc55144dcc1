"""What a route of EDR is about: a feed's newest nowcast, or one of its instances."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import TypeAdapter, ValidationError

from model.core.times import rfc3339
from service.api.context import ContextDep
from service.api.errors import InvalidParameter
from service.api.feeds import answers
from service.api.feeds.edr import collections
from service.api.feeds.edr.types import FeedCollection
from service.api.feeds.served import ServedFeed
from service.api.nowcasts.view import NowcastView
from service.api.utc_time import UtcTime
from service.feeds.config import Feed
from service.feeds.edr import path_of_collection

COLLECTION: Final = "/collections/{collectionId}"
INSTANCE: Final = COLLECTION + "/instances/{instanceId}"
INSTANCE_ID: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "instanceId",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "date-time"},
            "description": "Reference time of the nowcast.",
        }
    ]
}

_time: Final[TypeAdapter[datetime]] = TypeAdapter(UtcTime)
CollectionId = Annotated[str, Path(alias="collectionId", max_length=64, description="Name of the feed.")]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is queried: a feed's nowcast, the first lead step that has not passed, and the instance that was named."""

    feed: Feed
    view: NowcastView
    first_step: int = 0
    instance: str | None = None

    @property
    def path(self) -> str:
        """Its address."""
        path = path_of_collection(self.feed.name)
        return path if self.instance is None else f"{path}/instances/{self.instance}"

    def document(self) -> FeedCollection:
        """Return its description."""
        return collections.collection(self.feed, self.view, self.first_step, self.instance)


async def _source(request: Request, context: ContextDep, name: CollectionId) -> Source:
    served = await context.served_feeds.get(name)
    instance = request.path_params.get("instanceId")
    if instance is None:
        return newest_nowcast(served)
    try:
        reference_time = _time.validate_python(instance)
    except ValidationError as error:
        hint = "Give a reference time, such as 2026-06-01T12:00:00Z"
        raise InvalidParameter(error.errors()[0]["msg"], where="instanceId", hint=hint) from None
    _, job = await context.points.look_up(answers.served_job, context, served.state.feed, reference_time)
    view = await context.served_feeds.opened(job)
    return Source(feed=served.state.feed, view=view, instance=rfc3339(view.reference_time))


SourceDep = Annotated[Source, Depends(_source)]


def newest_nowcast(served: ServedFeed) -> Source:
    """Return a feed's newest nowcast; the lead steps that have passed are left out."""
    view = served.view
    now = served.now
    first_step = sum(time <= now for time in view.forecast.times)
    return Source(feed=served.state.feed, view=view, first_step=first_step)
