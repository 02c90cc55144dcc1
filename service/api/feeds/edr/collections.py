"""The documents that describe the feeds: collections, instances and locations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.data_queries import DataQueries, EDRQuery
from edr_pydantic.extent import Extent, Spatial, Temporal
from edr_pydantic.link import EDRQueryLink, Link
from edr_pydantic.observed_property import ObservedProperty
from edr_pydantic.parameter import Parameter, Parameters
from edr_pydantic.unit import Symbol, Unit
from edr_pydantic.variables import Variables
from pyproj import CRS

from model.core.grid_places import bounds_lon_lat
from model.core.times import rfc3339
from service.api.feeds.edr import asyncapi
from service.api.feeds.edr.parameters import STANDARD_NAME, UCUM, UCUM_UNITS, EdrParameter, parameters_of
from service.api.feeds.edr.query import COVERAGE_JSON, CRS84, NATIVE
from service.api.feeds.edr.types import FeedCollection, HubLink
from service.api.nowcasts.view import NowcastView
from service.feeds.config import Feed
from service.feeds.edr import ROOT, path_of_collection
from service.render.forecast_reader import RainFile

JSON: Final = "application/json"
COVJSON: Final = "application/prs.coverage+json"
GEOJSON: Final = "application/geo+json"
GREGORIAN: Final = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"
LON_LAT_WKT: Final[str] = CRS.from_user_input("OGC:CRS84").to_wkt()
CLASSES: Final = [
    *(f"http://www.opengis.net/spec/ogcapi-common-{part}" for part in ("1/1.0/conf/core", "2/1.0/conf/collections")),
    *(
        f"http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/{name}"
        for name in ("core", "collections", "json", "edr-geojson", "covjson", "queries", "instances")
    ),
]
QUERIES: Final = {
    "position": "Rain by lead time at a POINT or MULTIPOINT",
    "area": "Rain by lead time at the pixels of a POLYGON or MULTIPOLYGON",
    "cube": "Rain by lead time on the grid of a box",
    "locations": "Rain by lead time at the places that the feed names",
}


def landing_page(feeds: Sequence[Feed]) -> LandingPageModel:
    """Return the landing page; it leads to the channels where one of the feeds announces its instances."""
    channels = Link(rel="service-desc", href=asyncapi.PATH, type=asyncapi.MEDIA_TYPE, title="Channels of new instances")
    return LandingPageModel(
        title="Echocast: OGC API - Environmental Data Retrieval",
        description="The newest precipitation nowcasts of each feed, at places, in areas and in boxes.",
        links=[
            Link(rel="self", href=ROOT, type=JSON, title="This document"),
            Link(rel="service-desc", href="/openapi.json", type="application/vnd.oai.openapi+json;version=3.1"),
            Link(rel="service-doc", href="/docs", type="text/html", title="Documentation of the API"),
            Link(rel="conformance", href=f"{ROOT}/conformance", type=JSON, title="Conformance classes"),
            Link(rel="data", href=f"{ROOT}/collections", type=JSON, title="Collections: the feeds"),
            *([channels] if _any_announces(feeds) else []),
        ],
    )


def conformance(feeds: Sequence[Feed]) -> ConformanceModel:
    """Return the conformance classes; those of Part 2 where one of the feeds announces its instances."""
    return ConformanceModel(conformsTo=[*CLASSES, *(asyncapi.CLASSES if _any_announces(feeds) else [])])


def _any_announces(feeds: Sequence[Feed]) -> bool:
    return any(feed.edr is not None for feed in feeds)


def collection(feed: Feed, view: NowcastView, first_step: int, instance: str | None = None) -> FeedCollection:
    """Return the description of a feed's newest nowcast, from the step `first_step` on; or of an instance."""
    path = path_of_collection(feed.name)
    title = f"Precipitation nowcast of {feed.name}"
    if instance is not None:
        path, title = f"{path}/instances/{instance}", f"{title} from {instance}"
    file = view.forecast
    links: list[HubLink | Link] = [Link(rel="self" if instance else "collection", href=path, type=JSON, title=title)]
    links += [Link(rel="data", href=f"{path}/{name}", type=_media(name), title=text) for name, text in QUERIES.items()]
    if instance is None:
        links.insert(0, Link(rel="self", href=path, type=JSON, title=title))
        links.append(Link(rel="instance", href=f"{path}/instances", type=JSON, title="Nowcasts by reference time"))
        links += asyncapi.hub_of(feed)
    links.append(Link(rel="item", href=f"/v1/nowcasts/{view.job.id}", type=JSON, title="Nowcast"))
    return FeedCollection(
        id=instance or feed.name,
        title=title,
        description=f"Rain by lead time, from {view.reference_time:%Y-%m-%d %H:%M} UTC, by {view.job.model_used}.",
        keywords=["precipitation", "nowcast", "radar"],
        links=links,
        extent=_extent(file, file.times[first_step:] or file.times[-1:]),
        data_queries=_data_queries(path, file, instances=instance is None),
        crs=[CRS84, NATIVE],
        output_formats=[COVERAGE_JSON],
        parameter_names=Parameters(
            root={name: _parameter(parameter) for name, parameter in parameters_of(file).items()}
        ),
    )


def link_to(path: str, title: str) -> Link:
    """Return the link of a document to itself."""
    return Link(rel="self", href=path, type=JSON, title=title)


def locations(feed: Feed, path: str, view: NowcastView, first_step: int) -> dict[str, Any]:
    """Return the places that a feed names, as GeoJSON."""
    times = view.forecast.times[first_step:] or view.forecast.times[-1:]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": name,
                "geometry": {"type": "Point", "coordinates": list(place)},
                "properties": {
                    "datetime": f"{rfc3339(times[0])}/{rfc3339(times[-1])}",
                    "label": name,
                    "parameter-name": list(parameters_of(view.forecast)),
                    "edrqueryendpoint": f"{path}/locations/{name}",
                },
            }
            for name, place in feed.locations.items()
        ],
        "links": [{"rel": "self", "href": f"{path}/locations", "type": GEOJSON, "title": f"Places of {feed.name}"}],
        "numberMatched": len(feed.locations),
        "numberReturned": len(feed.locations),
    }


def _parameter(parameter: EdrParameter) -> Parameter:
    identifier = STANDARD_NAME if parameter.kind != "probability" else None
    return Parameter.model_validate(
        {
            "id": parameter.name,
            "description": parameter.label,
            "data-type": "float",
            "observedProperty": ObservedProperty(id=identifier, label=parameter.label),
            "unit": Unit(symbol=Symbol(value=UCUM_UNITS[parameter.unit], type=UCUM)),
        }
    )


def _media(query: str) -> str:
    return GEOJSON if query == "locations" else COVJSON


def _data_queries(path: str, file: RainFile, *, instances: bool) -> DataQueries:
    systems = [{"crs": CRS84, "wkt": LON_LAT_WKT}, {"crs": NATIVE, "wkt": file.grid.crs.to_wkt()}]

    def query(name: str, title: str) -> EDRQuery:
        more: dict[str, Any] = {"title": title, "crs_details": systems}
        if name == "cube":
            more["height_units"] = []
        variables = Variables(
            query_type=name, output_formats=[COVERAGE_JSON], default_output_format=COVERAGE_JSON, **more
        )
        return EDRQuery(link=EDRQueryLink(rel="data", href=f"{path}/{name}", title=title, variables=variables))

    return DataQueries(
        **{name: query(name, title) for name, title in QUERIES.items()},
        instances=query("instances", "Nowcasts by reference time") if instances else None,
    )


def _extent(file: RainFile, times: Sequence[datetime]) -> Extent:
    bounds = bounds_lon_lat(file.grid)
    return Extent(
        spatial=Spatial(bbox=[list(bounds or (-180.0, -90.0, 180.0, 90.0))], crs=LON_LAT_WKT),
        temporal=Temporal(interval=[[times[0], times[-1]]], values=[rfc3339(time) for time in times], trs=GREGORIAN),
    )
