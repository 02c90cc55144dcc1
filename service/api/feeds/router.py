"""Routes of feeds."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from service.api.context import ContextDep
from service.api.feeds import alerts, answers, area, events, forecasts, point_route, products, push, skill, stac
from service.api.feeds.dependencies import NO_STORE, READ, FeedDep, ReferenceTime
from service.api.feeds.tiles.rain_viewer import router as rain_viewer
from service.api.feeds.tiles.router import router as tiles
from service.api.feeds.types import FeedDetails, FeedList, FeedRunInfo
from service.api.problems import documented_problems


async def _no_store(response: Response) -> None:
    response.headers.update(NO_STORE)


router = APIRouter(prefix="/v1/feeds", tags=["feeds"], dependencies=[Depends(_no_store)])
router.include_router(point_route.router)  # the one that is asked most often is found first
router.include_router(events.router)  # before the feed of that address
router.include_router(area.router)
router.include_router(products.router)
router.include_router(forecasts.router)
router.include_router(skill.router)
router.include_router(stac.router)
router.include_router(tiles)
router.include_router(rain_viewer)
router.include_router(alerts.router)
router.include_router(push.router)


@router.get("", operation_id="listFeeds", dependencies=READ, summary="List feeds")
async def list_feeds(context: ContextDep) -> FeedList:
    """Return every feed with its status, the age of its newest frame, and its newest nowcast."""
    return await context.in_thread(answers.feed_list, context)


@router.get(
    "/{feed}",
    operation_id="getFeed",
    dependencies=READ,
    summary="One feed",
    responses=documented_problems("no-such-feed"),
)
async def get_feed(context: ContextDep, feed: FeedDep) -> FeedDetails:
    """Return a feed with the files that arrived last, what became of each, and its newest runs."""
    return await context.in_thread(answers.feed_details, context, feed)


@router.get(
    "/{feed}/latest",
    operation_id="getLatestRun",
    dependencies=READ,
    summary="The newest published run",
    responses=documented_problems("no-such-feed", "no-nowcast"),
)
async def latest(context: ContextDep, feed: FeedDep) -> FeedRunInfo:
    """Return the newest run whose nowcast is published, with links to the nowcast and its results."""
    return await context.in_thread(answers.run_info, context, feed)


@router.get(
    "/{feed}/runs/{reference_time}",
    operation_id="getRun",
    dependencies=READ,
    summary="The run from a reference time",
    responses=documented_problems("no-such-feed", "no-such-run", "invalid-parameter"),
)
async def get_run(
    context: ContextDep,
    feed: FeedDep,
    reference_time: ReferenceTime,
) -> FeedRunInfo:
    """Return the run from the frame of that valid time, whatever became of it."""
    return await context.in_thread(answers.run_info, context, feed, reference_time)
