"""The route that finds places."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.errors import InvalidParameter
from service.api.places.types import FoundPlace, FoundPlaces
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope
from service.places.coordinates import coordinates_text, parse_coordinates
from service.places.index import ATTRIBUTION, Place, shipped_places

router = APIRouter(prefix="/v1/places", tags=["places"])

MOST_LETTERS: Final = 100
HOUR: Final = {"Cache-Control": "private, max-age=3600"}


@router.get(
    "",
    operation_id="findPlaces",
    dependencies=[requires(Scope.READ)],
    summary="Places by name, or near a point",
    responses=documented_problems("invalid-parameter", "busy"),
)
async def places(
    context: ContextDep,
    response: Response,
    q: Annotated[
        str | None,
        Query(
            max_length=MOST_LETTERS,
            description="A name or its beginning, in any language, with or without diacritics; after a comma a country "
            "or a state of the USA. Or coordinates: `52.09, 5.12` (latitude first), `52°5'N 5°7'E`.",
        ),
    ] = None,
    lat: Annotated[
        float | None, Query(ge=-90, le=90, allow_inf_nan=False, description="Degrees north, WGS 84.")
    ] = None,
    lon: Annotated[
        float | None, Query(ge=-180, le=180, allow_inf_nan=False, description="Degrees east, WGS 84.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=50, description="Most places.")] = 8,
) -> FoundPlaces:
    """Return places with at least 500 inhabitants, best first.

    With `q` those whose name begins with it: large ones first, and with `lat` and `lon` near ones. Without `q` those
    within 100 km of the point, by the distance from their edge: the first is what the point is in or near to. No place
    is an empty list.
    """
    if (lat is None) != (lon is None):
        missing = "lon" if lon is None else "lat"
        raise InvalidParameter("a point has a latitude and a longitude", where=missing, hint=f"Give {missing} as well")
    near = None if lat is None or lon is None else (lat, lon)
    response.headers.update(HOUR)
    if q is None:
        if near is None:
            raise InvalidParameter("there is nothing to look for", where="q", hint="Give q, or lat and lon")
        found = await context.points.run(lambda: shipped_places().nearest(*near, limit))
    elif coordinates := parse_coordinates(q):
        return FoundPlaces(attribution=ATTRIBUTION, places=[_coordinates(*coordinates)])
    else:
        found = await context.points.run(lambda: shipped_places().search(q, near=near, limit=limit))
    return FoundPlaces(attribution=ATTRIBUTION, places=[_town(place) for place in found])


def _coordinates(lat: float, lon: float) -> FoundPlace:
    return FoundPlace(
        name=coordinates_text(lat, lon),
        kind="coordinates",
        matched=None,
        country=None,
        region=None,
        latitude=round(lat, 6),
        longitude=round(lon, 6),
        population=None,
        distance_km=None,
    )


def _town(place: Place) -> FoundPlace:
    return FoundPlace(kind="town", **vars(place))
