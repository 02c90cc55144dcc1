"""Routes of STAC: a feed as a collection, its runs as items, so that catalogues know them. The documents are thin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from model.core.grid import Grid
from model.core.grid_places import NotOnEarth
from model.core.times import basic_text, rfc3339
from service.api.context import ContextDep, GatewayContext
from service.api.feeds import answers
from service.api.feeds.dependencies import READ, FeedDep, ReferenceTime
from service.api.feeds.stac_types import (
    StacAsset,
    StacCollection,
    StacGeometry,
    StacItem,
    StacProperties,
)
from service.api.nowcasts import responses
from service.api.nowcasts.view import NowcastView
from service.api.problems import documented_problems
from service.feeds.config import Feed
from service.feeds.products import main_files
from service.feeds.tables import FeedRun
from service.render.graticule import outer_bounds
from service.status import NETCDF, Link, path_of

GEOJSON: Final = "application/geo+json"
EDGE_POINTS: Final = 9
"""Points along each edge of the outline: the edges of a projected grid are curves in longitude and latitude."""

SHA2_256: Final = "1220"
"""Before a digest it makes a multihash: its function, and its 32 bytes."""

ROLES: Final = {"png": ["overview"]}
"""Roles of products that are not data."""


class GeoJsonResponse(JSONResponse):
    """JSON of a GeoJSON feature."""

    media_type = GEOJSON


Bounds = tuple[float, float, float, float]

router = APIRouter()


@router.get(
    "/{feed}/stac",
    operation_id="getStacCollection",
    dependencies=READ,
    summary="A feed as a STAC collection",
    responses=documented_problems("no-such-feed", "no-nowcast", "not-on-earth", "busy"),
)
async def collection(context: ContextDep, feed: FeedDep) -> StacCollection:
    """Return the feed as a STAC 1.1 collection, with links to the items of its newest runs."""
    served = await context.served_feeds.get(feed.name)
    runs, since = await context.points.look_up(_runs, context, feed)
    return await context.points.run(stac_collection, feed, runs, since, served.view.forecast.grid)


@router.get(
    "/{feed}/runs/{reference_time}/stac",
    operation_id="getStacItem",
    dependencies=READ,
    summary="A run as a STAC item",
    response_class=GeoJsonResponse,
    response_model_exclude_none=True,
    responses=documented_problems(
        *("no-such-feed", "no-such-run", "no-nowcast", "not-on-earth", "missing-object", "invalid-parameter", "busy")
    ),
)
async def item(context: ContextDep, feed: FeedDep, reference_time: ReferenceTime) -> StacItem:
    """Return the run as a STAC 1.1 item: its grid, its times, and its files as assets."""
    run, job = await context.points.look_up(answers.served_job, context, feed, reference_time)
    return await responses.in_view(context, context.points, job, lambda view: stac_item(run, view))


def _runs(context: GatewayContext, feed: Feed) -> tuple[list[FeedRun], datetime | None]:
    """Return the newest runs with nowcasts, and the reference time from which the feed has runs."""
    runs = [run for run in context.feed_ledger.runs(feed.name, limit=answers.NEWEST) if run.served_job_id is not None]
    registered = context.feed_ledger.registered(feed.name)
    first = None if registered is None else registered.first_reference_time
    return [run for run in runs if run.model == feed.model], first


def stac_collection(feed: Feed, runs: list[FeedRun], since: datetime | None, grid: Grid) -> StacCollection:
    """Return the collection of a feed.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    path = f"{answers.path_of_feed(feed.name)}/stac"
    links = [
        Link(rel="self", href=path, type="application/json", title="Collection"),
        Link(rel="root", href=path, type="application/json", title="Collection"),
    ]
    links += [Link(rel="item", href=f"{answers.path_of_run(run)}/stac", type=GEOJSON, title=_id(run)) for run in runs]
    start = None if since is None or since.year == 1970 else rfc3339(since)
    return StacCollection(
        id=feed.name,
        title=f"Precipitation nowcasts of {feed.name}",
        description=f"Rain of the next minutes to hours from the radar of the feed {feed.name}, one item for each run.",
        license="other",
        extent={
            "spatial": {"bbox": [_bounds(_outline(grid))]},
            "temporal": {"interval": [[start, None] if start else [rfc3339(runs[-1].reference_time), None]]},
        },
        links=links,
    )


def stac_item(run: FeedRun, view: NowcastView) -> StacItem:
    """Return the item of a run whose nowcast is that of `view`.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    forecast, grid = view.forecast, view.forecast.grid
    outline = _outline(grid)
    path, of_feed = answers.path_of_run(run), answers.path_of_feed(run.feed)
    west, dx, _, north, _, dy = grid.north_up_transform
    epsg = grid.crs.to_epsg()
    properties: dict[str, Any] = {
        "datetime": forecast.times[0],
        "start_datetime": forecast.times[0],
        "end_datetime": forecast.times[-1],
        "created": run.published or view.job.finished or datetime.now(UTC),
        "title": f"Nowcast from {forecast.reference_time:%Y-%m-%d %H:%M} UTC",
        "forecast:reference_datetime": forecast.reference_time,
        "forecast:horizon": _duration(forecast.times[-1] - forecast.reference_time),
        "forecast:duration": _duration(forecast.times[-1] - forecast.times[0]),
        "proj:code": None if epsg is None else f"EPSG:{epsg}",
        "proj:wkt2": grid.crs.to_wkt(),
        "proj:bbox": outer_bounds(grid),
        "proj:shape": grid.shape,
        "proj:transform": [dx, 0.0, west, 0.0, dy, north],
        "echocast:model": view.job.model_used or view.job.model,
    }
    links = [
        Link(rel="self", href=f"{path}/stac", type=GEOJSON, title="Item"),
        *(
            Link(rel=rel, href=f"{of_feed}/stac", type="application/json", title="Collection")
            for rel in ("collection", "parent", "root")
        ),
        Link(rel="via", href=path, type="application/json", title="Run"),
    ]
    return StacItem(
        id=_id(run),
        collection=run.feed,
        geometry=StacGeometry(coordinates=[outline]),
        bbox=_bounds(outline),
        properties=StacProperties.model_validate(properties),
        assets=_assets(run, view),
        links=links,
    )


def _assets(run: FeedRun, view: NowcastView) -> dict[str, StacAsset]:
    result, path = f"{path_of(view.job.id)}/result?format=", answers.path_of_run(run)
    assets = {
        name: StacAsset.model_validate({"href": href, "type": media_type, "title": title, "roles": [role]})
        for name, href, media_type, title, role in (
            ("nowcast", f"{result}netcdf", NETCDF, "Forecast, CF-netCDF", "data"),
            ("thumbnail", f"{result}png", "image/png", "First lead step", "thumbnail"),
        )
    }
    for file in main_files(run.products):
        asset = {
            "href": f"{path}/products/{file['name']}",
            "type": file["media_type"],
            "title": file["title"],
            "roles": ROLES.get(file["product"], ["data"]),
            "file:size": file["size"],
            "file:checksum": f"{SHA2_256}{file['digest']}",
        }
        assets[file["product"]] = StacAsset.model_validate(asset)
    return assets


def _outline(grid: Grid) -> list[tuple[float, float]]:
    """Return longitude and latitude around the grid, counterclockwise, the first point again at the end.

    Raises
    ------
    NotOnEarth
        A point has none.
    """
    west, south, east, north = outer_bounds(grid)
    across, up = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    x = np.concatenate([across, np.full(EDGE_POINTS, east), across[::-1], np.full(EDGE_POINTS, west)])
    y = np.concatenate([np.full(EDGE_POINTS, south), up, np.full(EDGE_POINTS, north), up[::-1]])
    lon, lat = grid.lon_lat(x, y)
    if not (np.isfinite(lon) & np.isfinite(lat)).all():
        raise NotOnEarth(
            f"the grid's coordinates ({grid.crs.name}) have no relation to longitude and latitude",
            where="nowcast",
            hint="STAC needs an outline in longitude and latitude",
        )
    lon = lon[0] + (lon - lon[0] + 180.0) % 360.0 - 180.0  # across 180 degrees the outline goes on
    points = [(round(float(a), 6), round(float(b), 6)) for a, b in zip(lon, lat, strict=True)]
    return [*points, points[0]]


def _bounds(outline: list[tuple[float, float]]) -> Bounds:
    lon, lat = zip(*outline, strict=True)
    return min(lon), min(lat), max(lon), max(lat)


def _duration(span: timedelta) -> str:
    """Return an ISO 8601 duration."""
    return f"PT{span.total_seconds() / 60:g}M"


def _id(run: FeedRun) -> str:
    return f"{run.feed}-{basic_text(run.reference_time)}"
