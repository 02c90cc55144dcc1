"""Routes of the operator."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from model.core.times import rfc3339
from service.api.access.client import ClientDep, NamedClientDep
from service.api.access.scopes import requires
from service.api.audit import record_change
from service.api.context import ContextDep
from service.api.errors import NoSuchRun, RunNotFailed
from service.api.feeds import answers
from service.api.feeds.dependencies import FeedDep, ReferenceTime
from service.api.feeds.types import FeedRunInfo
from service.api.operator.overview import overview
from service.api.operator.types import Overview
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope
from service.jobs.queue import NoBroker

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
    feed: FeedDep,
) -> ScanAsked:
    """Have a worker look for new frames at once, and not when the schedule does."""
    asked = await context.in_thread(context.queue.scan_feed, feed.name)
    record_change(client, f"asked for a scan of feed {feed.name}")
    return ScanAsked(feed=feed.name, asked=asked)


@router.post(
    "/feeds/{feed}/runs/{reference_time}/repeat",
    operation_id="repeatRun",
    summary="Make a run again that failed",
    status_code=202,
    responses=documented_problems("no-such-feed", "no-such-run", "run-not-failed", "open-service", "invalid-parameter"),
)
async def repeat_run(
    context: ContextDep, client: NamedClientDep, feed: FeedDep, reference_time: ReferenceTime
) -> FeedRunInfo:
    """Have the nowcast made from the stored frames, however old they are, where there is none; return the run as it is.

    A nowcast of an upload is not made again: its files are deleted, and its client sends them once more.
    """
    run = await context.in_thread(answers.find_run, context, feed, reference_time)
    told = await context.in_thread(answers.run_info, context, feed, reference_time)
    if not run.lacks_nowcast:
        raise RunNotFailed(
            f"the run from {rfc3339(reference_time)} is {told.status}",
            where="reference_time",
            hint="Only a run without a nowcast is made again",
        )
    if await context.in_thread(context.feed_ledger.find_frame, feed.name, reference_time) is None:
        raise NoSuchRun(
            f"the frame from {rfc3339(reference_time)} is no longer kept",
            where="reference_time",
            hint="Raise the feed's retention for runs to come",
        )
    if not await context.in_thread(context.queue.repeat_run, feed.name, reference_time):
        raise NoBroker("the run cannot be asked for")
    record_change(client, f"asked for the run of feed {feed.name} from {rfc3339(reference_time)} again")
    return told
