"""Routes of the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from service.api.access.client import ClientDep, NamedClientDep
from service.api.access.scopes import requires
from service.api.audit import record_change
from service.api.context import ContextDep
from service.api.feeds.served import find_feed
from service.api.operator.overview import overview
from service.api.operator.types import Overview
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope

router = APIRouter(prefix="/v1", tags=["operator"], dependencies=[requires(Scope.ADMIN)])


class ScanAsked(BaseModel):
    """Whether a scan was asked for."""

    feed: str
    asked: bool = Field(description="false: the broker is down; the schedule scans the feed once it is back.")


@router.get("/overview", operation_id="getOverview", summary="How the service does", responses=documented_problems())
async def get_overview(response: Response, context: ContextDep, client: ClientDep) -> Overview:
    """Return what an operator on duty looks at: what is not ready, the queue, and each feed with its troubles."""
    response.headers["Cache-Control"] = "no-store"
    readiness = await context.readiness.current()
    return await context.in_thread(overview, context, client, readiness)


@router.post(
    "/feeds/{feed}/scan",
    operation_id="scanFeed",
    summary="Scan a feed now",
    status_code=202,
    responses=documented_problems("no-such-feed", "open-service"),
)
async def scan_feed(
    context: ContextDep,
    client: NamedClientDep,
    name: Annotated[str, Path(alias="feed", max_length=64, description="Name of the feed.")],
) -> ScanAsked:
    """Have a worker look for new frames at once, and not when the schedule does."""
    feed = find_feed(await context.in_thread(context.feeds), name)
    asked = await context.in_thread(context.queue.scan_feed, feed.name)
    record_change(client, f"asked for a scan of feed {feed.name}")
    return ScanAsked(feed=feed.name, asked=asked)
