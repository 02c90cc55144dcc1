"""Events of feeds as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, Field

from service.api.access.client import ClientDep, sender_of
from service.api.context import ContextDep, GatewayContext
from service.api.event_streams import HEARTBEAT_SECONDS, MEDIA_TYPE, EventStream
from service.api.feeds.dependencies import READ
from service.api.feeds.feed_snapshot import Change, FeedSnapshot
from service.api.feeds.served import find_feed
from service.api.feeds.types import FeedInfo
from service.api.problems import documented_problems

router = APIRouter()


class FeedEvent(BaseModel):
    """The data of an event `feed`."""

    changes: list[Change] = Field(
        description="What differs from the event before: `frame`, one has arrived, or the newest was issued again; "
        "`nowcast`, another one is served; `products`, they are made, or failed; `status`, or its reason. Empty in the "
        "first event of a feed on a stream."
    )
    feed: FeedInfo


class FeedRemoved(BaseModel):
    """The data of an event `removed`: the feed is no longer configured."""

    name: str


@router.get(
    "/events",
    operation_id="getFeedEvents",
    dependencies=READ,
    summary="Follow feeds by events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `feed`, each with how the feed is, as JSON; `removed`",
            "content": {MEDIA_TYPE: {}},
        },
        **documented_problems("no-such-feed", "too-many-streams"),
    },
)
async def get_feed_events(
    request: Request,
    context: ContextDep,
    client: ClientDep,
    feed: Annotated[str | None, Query(max_length=64, description="Name of a feed; by default all feeds.")] = None,
) -> Response:
    """Send how each feed is as server-sent events: at once, and whenever its frames, nowcast or status change.

    Each event has the feed as a whole, as `GET /v1/feeds` has it. So a client that comes back has missed nothing.
    """
    if feed is not None:
        find_feed(await context.in_thread(context.feeds), feed)
    if "echocast.head" in request.scope:
        return Response(media_type=MEDIA_TYPE)
    return EventStream(context.event_streams, sender_of(request, client), _events(context, feed))


async def _events(context: GatewayContext, feed: str | None) -> AsyncGenerator[bytes, None]:
    """Yield how feeds are, all or one of them, until the gateway stops."""
    yield b"retry: 2000\n\n"
    sent: Mapping[str, FeedSnapshot] = {}
    with context.feed_watcher.watching() as watch:
        while not watch.stopped:
            found = await watch.until(partial(_differ, sent, feed), HEARTBEAT_SECONDS)
            if found is None:
                yield KEEPALIVE_COMMENT
                continue
            before, sent = sent, _chosen(found, feed)
            for name in before.keys() - sent.keys():
                yield _event("removed", FeedRemoved(name=name))
            for name, snapshot in sent.items():
                earlier = before.get(name)
                if snapshot != earlier:
                    changes = [] if earlier is None else snapshot.changes_since(earlier)
                    yield _event("feed", FeedEvent(changes=changes, feed=snapshot.info))


def _chosen(found: Mapping[str, FeedSnapshot], feed: str | None) -> Mapping[str, FeedSnapshot]:
    return found if feed is None else {name: snapshot for name, snapshot in found.items() if name == feed}


def _differ(sent: Mapping[str, FeedSnapshot], feed: str | None, found: Mapping[str, FeedSnapshot]) -> bool:
    return _chosen(found, feed) != sent


def _event(name: str, data: BaseModel) -> bytes:
    return format_sse_event(data_str=data.model_dump_json(), event=name)
