"""What a query asks for: parameters, times, and the coordinate system, parsed and checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import numpy as np
import shapely
from fastapi import Query
from pydantic import TypeAdapter, ValidationError
from shapely import MultiPoint, Point

from model.core.area_pixels import Area
from model.core.errors import BadGeometry
from model.core.geometry import area_of_wkt, geometry_of_wkt
from model.core.times import rfc3339
from service.api.errors import InvalidParameter
from service.api.feeds.edr.parameters import EdrParameter, chosen_parameters
from service.api.nowcasts.view import NowcastView
from service.api.utc_time import UtcTime

CRS84: Final = "CRS84"
NATIVE: Final = "native"
CRS84_NAMES: Final = (CRS84, "OGC:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84")
COVERAGE_JSON: Final = "CoverageJSON"
FORMATS: Final = (COVERAGE_JSON, "application/prs.coverage+json", "json", "application/json")
MAX_PLACES: Final = 100
POINT_HINT: Final = "Send a POINT or MULTIPOINT of longitude and latitude, such as POINT(5.1 52.1)"
_time: Final[TypeAdapter[datetime]] = TypeAdapter(UtcTime)


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """The parameters that all queries share, as they are sent."""

    datetime: str | None
    parameter_name: str | None
    crs: str | None


async def query_options(
    datetime: Annotated[
        str | None, Query(description="A time, or an interval such as `2026-06-01T12:00Z/..`, of valid times.")
    ] = None,
    parameter_name: Annotated[
        str | None, Query(alias="parameter-name", description="Names, separated by commas. By default all.")
    ] = None,
    crs: Annotated[
        str | None,
        Query(
            description="Of query and answer: `CRS84` (longitude, latitude; the default) or `native`, the grid's own.",
            json_schema_extra={"enum": [*CRS84_NAMES, NATIVE, None]},
        ),
    ] = None,
    f: Annotated[
        str | None,
        Query(description="`CoverageJSON`, the default and only format.", json_schema_extra={"enum": [*FORMATS, None]}),
    ] = None,
    z: Annotated[str | None, Query(description="Without effect: rain rate at the ground has no levels.")] = None,
) -> QueryOptions:
    """Return the shared parameters of a query.

    Raises
    ------
    InvalidParameter
        The format, or the coordinate system, is none that there is.
    """
    if f is not None and f not in FORMATS:
        raise InvalidParameter(f"there is no format {f[:100]!r}", where="f", hint=f"Use {COVERAGE_JSON}")
    if crs is not None and crs not in (*CRS84_NAMES, NATIVE):
        raise InvalidParameter(
            f"there is no coordinate system {crs[:100]!r}", where="crs", hint=f"Use {CRS84} or {NATIVE}"
        )
    return QueryOptions(datetime=datetime, parameter_name=parameter_name, crs=crs)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a query wants of a nowcast: parameters, the numbers of lead steps, and whether in the grid's own system."""

    view: NowcastView
    parameters: list[EdrParameter]
    steps: list[int]
    native: bool


def wanted_of(options: QueryOptions, view: NowcastView, first_step: int) -> Wanted:
    """Return what a query wants of a nowcast, whose steps before `first_step` have passed.

    Raises
    ------
    InvalidParameter
        A parameter or a time cannot be used, or no lead step is at those times.
    """
    return Wanted(
        view=view,
        parameters=chosen_parameters(view.forecast, options.parameter_name),
        steps=_steps(view.forecast.times, options.datetime, first_step),
        native=options.crs == NATIVE,
    )


def _steps(times: tuple[datetime, ...], asked: str | None, first_step: int) -> list[int]:
    start, _, end = (asked or "../..").partition("/")
    earliest = _parsed(start) if start not in ("", "..") else None
    latest = (_parsed(end) if end not in ("", "..") else None) if "/" in (asked or "/") else earliest
    steps = [
        number
        for number, time in enumerate(times)
        if number >= first_step and (earliest is None or time >= earliest) and (latest is None or time <= latest)
    ]
    if not steps:
        ahead = times[first_step:]
        listed = f"They are {rfc3339(ahead[0])} to {rfc3339(ahead[-1])}" if ahead else "All passed"
        raise InvalidParameter("there is no lead step at that time", where="datetime", hint=listed)
    return steps


def _parsed(text: str) -> datetime:
    try:
        return _time.validate_python(text)
    except ValidationError as error:
        raise InvalidParameter(
            f"{text[:100]!r} is no time: {error.errors()[0]['msg']}",
            where="datetime",
            hint="Give a time such as 2026-06-01T12:00:00Z, or an interval: two of them with / between, or .. for one",
        ) from None


def places_of(coords: str | None, wanted: Wanted) -> list[tuple[float, float]]:
    """Return longitude and latitude of each place of a POINT or MULTIPOINT.

    Raises
    ------
    InvalidParameter, BadGeometry
        They are missing, or none that can be used.
    """
    if coords is None:
        raise InvalidParameter("this parameter is missing", where="coords", hint=POINT_HINT)
    geometry = geometry_of_wkt(coords, POINT_HINT)
    if not isinstance(geometry, Point | MultiPoint):
        raise BadGeometry(f"it is a {type(geometry).__name__}, and not a place", where="coords", hint=POINT_HINT)
    places = shapely.get_coordinates(geometry)
    if len(places) > MAX_PLACES:
        raise BadGeometry(f"it has more than {MAX_PLACES} places", where="coords", hint="Send several queries")
    if not np.isfinite(places).all():
        raise BadGeometry("a coordinate is not finite", where="coords", hint=POINT_HINT)
    if wanted.native:
        places = np.column_stack(wanted.view.forecast.grid.lon_lat(places[:, 0], places[:, 1]))
    elif (np.abs(places) > (180, 90)).any():
        raise BadGeometry("the place is not on earth", where="coords", hint=POINT_HINT)
    return [(float(lon), float(lat)) for lon, lat in places]


def area_of(coords: str | None, wanted: Wanted) -> Area:
    """Return the area of a POLYGON or MULTIPOLYGON in longitude and latitude.

    Raises
    ------
    InvalidParameter, BadGeometry, WrongCrs, TooLarge
        It is missing, or none that can be used.
    """
    if coords is None:
        raise InvalidParameter("this parameter is missing", where="coords", hint="Send a POLYGON or MULTIPOLYGON")
    grid = wanted.view.forecast.grid
    return area_of_wkt(
        coords, (lambda xy: np.column_stack(grid.lon_lat(xy[:, 0], xy[:, 1]))) if wanted.native else None
    )


def box_of(bbox: str | None) -> tuple[float, float, float, float]:
    """Return west, south, east and north of `bbox`; of six numbers those of the horizontal.

    Raises
    ------
    InvalidParameter
        It is missing, or no box.
    """
    hint = "Give west, south, east, north, separated by commas, such as 5.0,51.5,6.0,52.5"
    if bbox is None:
        raise InvalidParameter("this parameter is missing", where="bbox", hint=hint)
    try:
        numbers = [float(number) for number in re.split(r"\s*,\s*", bbox.strip())]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise InvalidParameter(f"{bbox[:100]!r} is no box", where="bbox", hint=hint)
    west, south, east, north = numbers
    if west >= east or south >= north:
        raise InvalidParameter(
            "the box has no extent from west to east, or from south to north", where="bbox", hint=hint
        )
    return west, south, east, north
