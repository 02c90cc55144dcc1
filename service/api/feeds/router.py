"""Routes of feeds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from service.api.context import ContextDep
from service.api.feeds import alerts, answers, products, push, skill, stac
from service.api.feeds.dependencies import READ, FeedDep, ReferenceTime
from service.api.feeds.point import feed_point
from service.api.feeds.tiles.rain_viewer import router as rain_viewer
from service.api.feeds.tiles.router import router as tiles
from service.api.feeds.types import FeedDetails, FeedList, FeedPoint, FeedRunInfo
from service.api.nowcasts import responses
from service.api.problems import documented_problems
from service.feeds.health import health_now


async def _no_store(response: Response) -> None:
    """Tell that no answer is to be stored: the next frame changes it."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(prefix="/v1/feeds", tags=["feeds"], dependencies=[Depends(_no_store)])
router.include_router(products.router)
router.include_router(skill.router)
router.include_router(stac.router)
router.include_router(tiles)
router.include_router(rain_viewer)
router.include_router(alerts.router)
router.include_router(push.router)


@router.get("", operation_id="listFeeds", dependencies=READ, summary="List feeds")
async def list_feeds(context: ContextDep) -> FeedList:
    """Return every feed with its status, the age of its newest frame, and its newest nowcast."""
    feeds = (await context.in_thread(context.feeds)).feeds
    return FeedList(feeds=[await context.in_thread(answers.feed_info, context, feed) for feed in feeds])


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
    run = await context.in_thread(answers.find_run, context, feed)
    return await context.in_thread(answers.run_info, context, run)


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
    run = await context.in_thread(answers.find_run, context, feed, reference_time)
    return await context.in_thread(answers.run_info, context, run)


@router.get(
    "/{feed}/point",
    operation_id="getFeedPoint",
    dependencies=READ,
    summary="Rain at a place, from now on",
    responses=documented_problems("no-such-feed", "no-nowcast", "not-on-earth", "invalid-parameter", "busy"),
)
async def point(
    context: ContextDep,
    feed: FeedDep,
    lon: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="Degrees east, WGS 84.")],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="Degrees north, WGS 84.")],
) -> FeedPoint:
    """Return rain by lead time, when it starts and ends, with probabilities, and as a sentence.

    Lead steps that have passed are left out: `past` has what was observed, `forecast` what is to come. `null` means
    "no data", which is never the same as dry.
    """
    run, job = await context.points.look_up(answers.served_job, context, feed)
    health = await context.points.look_up(health_now, feed, context.feed_ledger)
    now = feed.now(health.newest_frame or run.reference_time)
    return await responses.in_view(
        context, context.points, job, lambda view: feed_point(view, feed.name, health.status, now, lon=lon, lat=lat)
    )
