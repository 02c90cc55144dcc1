"""Routes of OGC API - EDR: what feeds and their newest nowcasts hold, and queries of them."""

from __future__ import annotations

from typing import Any, Final

from edr_pydantic.base_model import EdrBaseModel
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Instances
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from model.core.errors import InputError
from model.core.times import rfc3339
from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep, GatewayContext
from service.api.feeds.dependencies import NO_STORE, READ
from service.api.feeds.edr import asyncapi, collections, query_routes
from service.api.feeds.edr.collections import JSON
from service.api.feeds.edr.exceptions import EdrRoute, documented_exceptions
from service.api.feeds.edr.source import COLLECTION, INSTANCE, INSTANCE_ID, SourceDep, newest_nowcast
from service.api.feeds.edr.types import FeedCollection, FeedCollections
from service.feeds.config import Feed
from service.feeds.edr import ROOT
from service.feeds.overview import jobs_by_id
from service.jobs.database import reading
from service.jobs.job import Job

NEWEST: Final = 20
"""How many instances a collection has: its newest nowcasts."""

CHANNELS: Final[dict[str, Any]] = {
    "description": "An AsyncAPI document",
    "content": {asyncapi.MEDIA_TYPE: {"schema": {"type": "object"}}},
}


class AsyncApi(JSONResponse):
    """An AsyncAPI document."""

    media_type = asyncapi.MEDIA_TYPE


router = APIRouter(prefix=ROOT, tags=["OGC API - EDR"], route_class=EdrRoute)


@router.get(
    "",
    operation_id="getEdrLandingPage",
    dependencies=[PUBLIC],
    summary="Where everything is",
    response_model=LandingPageModel,
)
async def landing_page(context: ContextDep) -> Response:
    """Return the landing page."""
    return _json(collections.landing_page((await context.in_thread(context.feeds)).feeds))


@router.get(
    "/conformance",
    operation_id="getEdrConformance",
    dependencies=[PUBLIC],
    summary="Conformance classes",
    response_model=ConformanceModel,
)
async def conformance(context: ContextDep) -> Response:
    """Return the conformance classes of OGC API - EDR that the service declares."""
    return _json(collections.conformance((await context.in_thread(context.feeds)).feeds))


@router.get(
    asyncapi.PATH.removeprefix(ROOT),
    operation_id="getEdrChannels",
    dependencies=READ,
    summary="Where new nowcasts are announced",
    response_class=AsyncApi,
    responses={200: CHANNELS},
)
async def channels(context: ContextDep) -> Response:
    """Return the AsyncAPI document of the channels (MQTT) on which new instances are announced."""
    return AsyncApi(asyncapi.document((await context.in_thread(context.feeds)).feeds), headers=NO_STORE)


@router.get(
    "/collections",
    operation_id="getCollections",
    dependencies=READ,
    summary="The feeds with a nowcast",
    response_model=FeedCollections,
)
async def list_collections(context: ContextDep) -> Response:
    """Return the feeds that have a nowcast, each as a collection."""
    feeds = (await context.in_thread(context.feeds)).feeds
    found = []
    for feed in feeds:
        try:
            found.append(newest_nowcast(await context.served_feeds.get(feed.name)).document())
        except InputError:  # it has no nowcast, or one that was deleted or cannot be shown
            continue
    link = collections.link_to(f"{ROOT}/collections", "This document")
    return _json(FeedCollections(links=[link], collections=found))


@router.get(
    COLLECTION,
    operation_id="getCollection",
    dependencies=READ,
    summary="A feed's newest nowcast",
    response_model=FeedCollection,
    responses=documented_exceptions("no-such-feed", "no-nowcast"),
)
@router.get(
    INSTANCE,
    operation_id="getInstance",
    dependencies=READ,
    summary="A nowcast by its reference time",
    response_model=FeedCollection,
    openapi_extra=INSTANCE_ID,
    responses=documented_exceptions("no-such-feed", "no-such-run", "invalid-parameter"),
)
async def get_collection(source: SourceDep) -> Response:
    """Return what it holds: area, times, parameters, and the queries."""
    return _json(source.document())


@router.get(
    COLLECTION + "/instances",
    operation_id="getInstances",
    dependencies=READ,
    summary="A feed's nowcasts",
    response_model=Instances,
    responses=documented_exceptions("no-such-feed", "no-nowcast"),
)
async def list_instances(context: ContextDep, source: SourceDep) -> Response:
    """Return the newest nowcasts of a feed, each by its reference time."""
    jobs = await context.points.look_up(_newest_jobs, context, source.feed)
    found = []
    for job in jobs:
        try:
            view = await context.served_feeds.opened(job)
        except InputError:  # it was deleted, or cannot be shown
            continue
        found.append(collections.collection(source.feed, view, 0, rfc3339(view.reference_time)))
    return _json(
        Instances(links=[collections.link_to(f"{source.path}/instances", "This document")], instances=list(found))
    )


router.include_router(query_routes.router)


def _newest_jobs(context: GatewayContext, feed: Feed) -> list[Job]:
    """Return the jobs of the newest nowcasts, the newest first, of the feed's model. Blocks."""
    runs = context.feed_ledger.runs(feed.name, limit=2 * NEWEST)
    ids = [run.served_job_id for run in runs if run.model == feed.model and run.served_job_id is not None]
    with reading(context.ledger.engine) as session:
        jobs = jobs_by_id(session, ids)
    return [jobs[job_id] for job_id in ids if job_id in jobs][:NEWEST]


def _json(document: EdrBaseModel) -> Response:
    content = document.model_dump_json(exclude_none=True, by_alias=True)
    return Response(content, media_type=JSON, headers=NO_STORE)
