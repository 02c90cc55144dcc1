"""Routes of OGC API - EDR: what feeds and their newest nowcasts hold, and queries of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from edr_pydantic.base_model import EdrBaseModel
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Collection, Collections, Instance, Instances
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import TypeAdapter, ValidationError

from model.core.errors import InputError
from model.core.times import rfc3339
from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep, GatewayContext
from service.api.errors import InvalidParameter, NoSuchLocation
from service.api.feeds import answers
from service.api.feeds.dependencies import NO_STORE, READ
from service.api.feeds.edr import collections, coverages, query
from service.api.feeds.edr.collections import COVJSON, GEOJSON, JSON, path_of_collection
from service.api.feeds.edr.exceptions import EdrRoute, documented_exceptions
from service.api.feeds.edr.query import QueryOptions, Wanted, query_options, wanted_of
from service.api.feeds.served import ServedFeed
from service.api.nowcasts.view import NowcastView
from service.api.utc_time import UtcTime
from service.feeds.config import Feed
from service.feeds.overview import jobs_by_id
from service.jobs.database import reading
from service.jobs.job import Job

Handler = TypeVar("Handler", bound=Callable[..., Coroutine[Any, Any, Response]])

NEWEST: Final = 20
"""How many instances a collection has: its newest nowcasts."""

router = APIRouter(prefix=collections.ROOT, tags=["OGC API - EDR"], route_class=EdrRoute)
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
OptionsDep = Annotated[QueryOptions, Depends(query_options)]


COVERAGES: Final[dict[str, Any]] = {
    "description": "A Coverage, or a CoverageCollection of several",
    "content": {COVJSON: {"schema": {"type": "object"}}},
}
PLACES: Final[dict[str, Any]] = {
    "description": "A FeatureCollection",
    "content": {GEOJSON: {"schema": {"type": "object"}}},
}


class CoverageJson(Response):
    """CoverageJSON."""

    media_type = COVJSON


class GeoJson(JSONResponse):
    """GeoJSON."""

    media_type = GEOJSON


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

    def document(self) -> Instance:
        """Return its description."""
        return collections.collection(self.feed.name, self.view, self.first_step, self.instance)


async def _source(request: Request, context: ContextDep, name: CollectionId) -> Source:
    served = await context.served_feeds.get(name)
    instance = request.path_params.get("instanceId")
    if instance is None:
        return _newest(served)
    try:
        reference_time = _time.validate_python(instance)
    except ValidationError as error:
        hint = "Give a reference time, such as 2026-06-01T12:00:00Z"
        raise InvalidParameter(error.errors()[0]["msg"], where="instanceId", hint=hint) from None
    _, job = await context.points.look_up(answers.served_job, context, served.state.feed, reference_time)
    view = await context.served_feeds.opened(job)
    return Source(feed=served.state.feed, view=view, instance=rfc3339(view.reference_time))


SourceDep = Annotated[Source, Depends(_source)]


@router.get(
    "",
    operation_id="getEdrLandingPage",
    dependencies=[PUBLIC],
    summary="Where everything is",
    response_model=LandingPageModel,
)
async def landing_page() -> Response:
    """Return the landing page."""
    return _json(collections.landing_page())


@router.get(
    "/conformance",
    operation_id="getEdrConformance",
    dependencies=[PUBLIC],
    summary="Conformance classes",
    response_model=ConformanceModel,
)
async def conformance() -> Response:
    """Return the conformance classes of OGC API - EDR that the service declares."""
    return _json(collections.conformance())


@router.get(
    "/collections",
    operation_id="getCollections",
    dependencies=READ,
    summary="The feeds with a nowcast",
    response_model=Collections,
)
async def list_collections(context: ContextDep) -> Response:
    """Return the feeds that have a nowcast, each as a collection."""
    feeds = (await context.in_thread(context.feeds)).feeds
    found = []
    for feed in feeds:
        try:
            found.append(_newest(await context.served_feeds.get(feed.name)).document())
        except InputError:  # it has no nowcast, or one that was deleted or cannot be shown
            continue
    link = collections.link_to(f"{collections.ROOT}/collections", "This document")
    return _json(Collections(links=[link], collections=list(found)))


@router.get(
    COLLECTION,
    operation_id="getCollection",
    dependencies=READ,
    summary="A feed's newest nowcast",
    response_model=Collection,
    responses=documented_exceptions("no-such-feed", "no-nowcast"),
)
@router.get(
    INSTANCE,
    operation_id="getInstance",
    dependencies=READ,
    summary="A nowcast by its reference time",
    response_model=Instance,
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
        found.append(collections.collection(source.feed.name, view, 0, rfc3339(view.reference_time)))
    return _json(Instances(links=[collections.link_to(f"{source.path}/instances", "This document")], instances=found))


def _query(path: str, name: str, summary: str, *problems: str) -> Callable[[Handler], Handler]:
    """Make a function the route of a query, of a feed's newest nowcast and of every instance.

    `problems`: those of the query, beside those of all.
    """

    def register(function: Handler) -> Handler:
        for prefix, of, missing, extra in (
            (INSTANCE, "Instance", "no-such-run", INSTANCE_ID),
            (COLLECTION, "", "no-nowcast", None),
        ):
            codes = ("no-such-feed", missing, "invalid-parameter", *problems, "busy")
            router.get(
                prefix + path,
                operation_id=f"get{of}{name}",
                dependencies=READ,
                summary=f"{summary}, of a nowcast" if of else summary,
                openapi_extra=extra,
                response_class=CoverageJson,
                responses={200: COVERAGES, **documented_exceptions(*codes)},
            )(function)
        return function

    return register


@_query("/position", "Position", "Rain at places", "bad-geometry", "outside-grid", "too-large")
async def position(
    context: ContextDep,
    source: SourceDep,
    options: OptionsDep,
    coords: Annotated[
        str | None, Query(description="POINT or MULTIPOINT, such as `POINT(5.1 52.1)`. Required.")
    ] = None,
) -> Response:
    """Return the series of the pixels that contain the places, as CoverageJSON."""
    return await _queried(
        context, source, options, lambda wanted: coverages.at_places(wanted, query.places_of(coords, wanted))
    )


@_query("/area", "Area", "Rain in an area", "bad-geometry", "wrong-crs", "outside-grid", "too-large")
async def area(
    context: ContextDep,
    source: SourceDep,
    options: OptionsDep,
    coords: Annotated[
        str | None, Query(description="POLYGON or MULTIPOLYGON, such as `POLYGON((5 52,6 52,6 53,5 52))`. Required.")
    ] = None,
) -> Response:
    """Return the values of all pixels that the area touches, as CoverageJSON (MultiPointSeries)."""
    return await _queried(
        context, source, options, lambda wanted: coverages.in_area(wanted, query.area_of(coords, wanted))
    )


@_query("/cube", "Cube", "Rain on a grid", "outside-grid", "too-large")
async def cube(
    context: ContextDep,
    source: SourceDep,
    options: OptionsDep,
    bbox: Annotated[
        str | None, Query(description="West, south, east, north, such as `5.0,51.5,6.0,52.5`. Required.")
    ] = None,
) -> Response:
    """Return the grid of a box, as CoverageJSON: in degrees by the nearest pixel, or in the grid's own system."""
    return await _queried(context, source, options, lambda wanted: coverages.in_box(wanted, query.box_of(bbox)))


@router.get(
    COLLECTION + "/locations",
    operation_id="getLocations",
    dependencies=READ,
    summary="The places that a feed names",
    response_class=GeoJson,
    responses={200: PLACES, **documented_exceptions("no-such-feed", "no-nowcast")},
)
@router.get(
    INSTANCE + "/locations",
    operation_id="getInstanceLocations",
    dependencies=READ,
    summary="The places that a feed names, of a nowcast",
    openapi_extra=INSTANCE_ID,
    response_class=GeoJson,
    responses={200: PLACES, **documented_exceptions("no-such-feed", "no-such-run", "invalid-parameter")},
)
async def locations(source: SourceDep) -> Response:
    """Return the places of the feed's configuration, as GeoJSON."""
    document = collections.locations(source.feed, source.path, source.view, source.first_step)
    return GeoJson(document, headers=NO_STORE)


@_query("/locations/{locationId}", "Location", "Rain at a place that a feed names", "no-such-location", "outside-grid")
async def location(
    context: ContextDep,
    source: SourceDep,
    options: OptionsDep,
    name: Annotated[str, Path(alias="locationId", max_length=64, description="Name of the place.")],
) -> Response:
    """Return the series of the pixel that contains the place, as CoverageJSON."""
    place = source.feed.locations.get(name)
    if place is None:
        listed = f"{source.path}/locations lists the places"
        raise NoSuchLocation(f"the feed names no place {name!r}", where="locationId", hint=listed)
    return await _queried(context, source, options, lambda wanted: coverages.at_places(wanted, [place]))


async def _queried(
    context: GatewayContext, source: Source, options: QueryOptions, answer: Callable[[Wanted], str]
) -> Response:
    """Return CoverageJSON of what a query wants."""

    def compute(view: NowcastView) -> str:
        return answer(wanted_of(options, view, source.first_step))

    content = await context.served_feeds.run(context.areas, source.view, compute)
    return CoverageJson(content, headers=NO_STORE)


def _newest(served: ServedFeed) -> Source:
    """Return a feed's newest nowcast; the lead steps that have passed are left out."""
    view = served.view
    now = served.now
    first_step = sum(time <= now for time in view.forecast.times)
    return Source(feed=served.state.feed, view=view, first_step=first_step)


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
