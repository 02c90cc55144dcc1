"""Routes of queries of OGC API - EDR: a feed's newest nowcast, or an instance, at places, in areas and in boxes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, Response

from service.api.context import ContextDep, GatewayContext
from service.api.errors import NoSuchLocation
from service.api.feeds.dependencies import NO_STORE, READ
from service.api.feeds.edr import collections, coverages, query
from service.api.feeds.edr.collections import COVJSON, GEOJSON
from service.api.feeds.edr.exceptions import EdrRoute, documented_exceptions
from service.api.feeds.edr.query import QueryOptions, Wanted, query_options, wanted_of
from service.api.feeds.edr.source import COLLECTION, INSTANCE, INSTANCE_ID, Source, SourceDep
from service.api.nowcasts.view import NowcastView

Handler = TypeVar("Handler", bound=Callable[..., Coroutine[Any, Any, Response]])
OptionsDep = Annotated[QueryOptions, Depends(query_options)]

router = APIRouter(route_class=EdrRoute)

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
