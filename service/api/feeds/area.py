"""Rain over an area, such as a catchment, by a feed's newest nowcast, counted from now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from model.core.area_pixels import Area, AreaPixels, pixels_of_area
from model.core.forecast_variables import PROBABILITY, RAIN_RATE
from model.core.members_summary import Percentiles, percentiles
from model.core.point_summary import PointSummary, step_hours, summarize_point
from model.core.rain_scale import UNIT
from service.api.context import ContextDep
from service.api.feeds.dependencies import NO_STORE, READ, FeedName
from service.api.feeds.geometry import MEDIA_TYPES, read_geojson
from service.api.nowcasts.view import MAX_OBSERVED, NowcastView
from service.api.problems import documented_problems
from service.feeds.health import FeedStatus
from service.render.area_series import AreaStatistics, area_statistics
from service.render.forecast_reader import RainFile
from service.status import Link, path_of

GEOJSON: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A Polygon, a MultiPolygon, or a Feature with one, in longitude and latitude (RFC 7946).",
    "required": ["type"],
    "properties": {"type": {"enum": ["Polygon", "MultiPolygon", "Feature"]}},
    "example": {"type": "Polygon", "coordinates": [[[5.1, 52.0], [5.3, 52.0], [5.3, 52.2], [5.1, 52.0]]]},
}
router = APIRouter()


class AreaValue(BaseModel):
    """Rain over an area at one time. `null` means no data, which is not dry."""

    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: float
    mean: float | None = Field(description="Mean rain rate of the part with data, mm/h.")
    max: float | None = Field(description="Highest rain rate of a pixel that the area touches, mm/h.")
    share_with_data: float = Field(description="Share of the whole area that has data, 0 to 1.")
    probability: list[float | None] = Field(
        default=[],
        description="Mean over the area of the probability of at least each of `thresholds_mm_h`: the share of the "
        "area that is expected to have as much.",
    )
    highest_probability: list[float | None] = Field(
        default=[],
        description="Highest probability of a pixel: that anywhere in the area is as much, is at least as likely.",
    )
    mean_range: Percentiles | None = Field(
        default=None, description="Of the members' means, mm/h; null: there are none."
    )


class AreaTotal(BaseModel):
    """Rain of the whole forecast in mm, over the part of the area that has data at all times."""

    mean: float | None
    max: float | None = Field(description="Of a pixel that the area touches.")
    volume_m3: float | None = Field(description="Mean times the size of the area, where all of it has data.")
    mean_range: Percentiles | None = Field(None, description="Of the members' means; null: there are none.")


class FeedArea(BaseModel):
    """Rain over an area by a feed's newest nowcast, from now on."""

    feed: str = Field(examples=["helsinki"])
    status: FeedStatus
    coverage: Literal["ok", "no_data", "no_coverage"] = Field(
        description="`no_coverage`: the area is outside of the radar's; `no_data`: inside, without any data."
    )
    reference_time: datetime
    now: datetime = Field(description="From which summary and total count.")
    age_minutes: float = Field(description="Age of the newest frame of the nowcast.")
    unit: str = UNIT
    area_km2: float = Field(description="Size of the area on the ellipsoid.")
    share_inside: float = Field(description="Share of the area inside of the radar's grid, 0 to 1.")
    pixels: int = Field(description="Number of pixels that the area touches.")
    field: str | None = Field(None, description="Which field the rain rates of the forecast are.")
    probability_method: str | None = Field(None, description="Where probabilities come from; null: none.")
    thresholds_mm_h: tuple[float, ...] = Field((), description="Rain rates (mm/h) of the probabilities.")
    summary: PointSummary | None = Field(None, description="Of the mean rain rate from now on; null: no coverage.")
    total_mm: AreaTotal | None = Field(None, description="From now on; null: no coverage.")
    past: list[AreaValue] = Field([], description="Observed frames.")
    forecast: list[AreaValue] = Field(
        [], description="Lead steps that are still to come; `lead_minutes` count from the reference time."
    )
    links: list[Link]


@router.post(
    "/{feed}/area",
    operation_id="getFeedArea",
    dependencies=READ,
    summary="Rain over an area, from now on",
    response_model=FeedArea,
    openapi_extra={
        "requestBody": {"required": True, "content": {media: {"schema": GEOJSON} for media in MEDIA_TYPES if media}}
    },
    responses=documented_problems(
        *("no-such-feed", "no-nowcast", "not-on-earth", "not-json", "bad-geometry", "wrong-crs", "too-large", "busy")
    ),
)
async def area(context: ContextDep, name: FeedName, request: Request) -> Response:
    """Return mean and highest rain over a polygon by lead time, with probabilities, totals, and the share with data.

    Pixels on the border count by the part of them that the area covers. Nothing is taken as dry for want of data.
    """
    polygon = await read_geojson(request)
    served = await context.served_feeds.get(name)
    status, now = served.state.health.status, served.now

    def answer(view: NowcastView) -> str:
        return feed_area(view, name, status, now, polygon).model_dump_json()

    content = await context.served_feeds.run(context.areas, served.view, answer)
    return Response(content, media_type="application/json", headers=NO_STORE)


def feed_area(view: NowcastView, feed: str, status: FeedStatus, now: datetime, polygon: Area) -> FeedArea:
    """Return what the nowcast says for an area (longitude and latitude, WGS 84) from `now` on.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    TooLarge
        The area has too many pixels.
    """
    forecast = view.forecast
    pixels = pixels_of_area(forecast.grid, polygon)
    about: dict[str, Any] = {
        "feed": feed,
        "status": status,
        "reference_time": view.reference_time,
        "now": now,
        "age_minutes": round(max(0.0, (now - view.reference_time).total_seconds() / 60), 1),
        "area_km2": round(pixels.km2, 3),
        "share_inside": round(pixels.inside, 4),
        "pixels": len(pixels.rows),
        "links": [Link(rel="item", href=path_of(view.job.id), type="application/json", title="Nowcast")],
    }
    if not len(pixels.rows):
        return FeedArea(coverage="no_coverage", **about)
    start = max(now, view.reference_time)
    passed = sum(time <= start for time in forecast.times)
    times = forecast.times[passed:]
    leads = [(time - start).total_seconds() / 60 for time in times]
    hours = np.concatenate([np.zeros(passed), step_hours(leads)])
    rain = area_statistics(forecast, forecast.variable, pixels, hours)
    members = area_statistics(forecast, RAIN_RATE, pixels, hours) if forecast.members else None
    values = _values(forecast, "forecast", pixels, rain, forecast.lead_minutes)
    if forecast.thresholds_mm_h:
        probability = area_statistics(forecast, PROBABILITY, pixels)
        for lead, value in enumerate(values):
            value.probability = _rounded(probability.mean[:, lead])
            value.highest_probability = _rounded(probability.highest[:, lead])
    if members is not None:
        for lead, value in enumerate(values):
            value.mean_range = percentiles(members.mean[:, lead])
    past = [] if view.observed is None else _past(view, view.observed, pixels)
    now_mm_h = rain.mean[passed - 1] if passed else (past[-1].mean if past else None)
    return FeedArea(
        coverage="no_data" if np.isnan(rain.mean[passed:]).all() else "ok",
        field=forecast.field or None,
        probability_method=forecast.probability_method,
        thresholds_mm_h=forecast.thresholds_mm_h,
        summary=summarize_point(
            rain.mean[passed:], times, now_mm_h=np.nan if now_mm_h is None else float(now_mm_h), lead_minutes=leads
        ),
        total_mm=_total(pixels, rain, members, rain.share[passed:]),
        past=past,
        forecast=values[passed:],
        **about,
    )


def _past(view: NowcastView, observed: RainFile, pixels: AreaPixels) -> list[AreaValue]:
    leads = [(time - view.reference_time).total_seconds() / 60 for time in observed.times]
    statistics = area_statistics(observed, observed.variable, pixels)
    return _values(observed, "observed", pixels, statistics, leads)[-MAX_OBSERVED:]


def _values(
    file: RainFile,
    kind: Literal["observed", "forecast"],
    pixels: AreaPixels,
    rain: AreaStatistics,
    leads: tuple[float, ...] | list[float],
) -> list[AreaValue]:
    return [
        AreaValue(
            kind=kind,
            valid_time=file.times[number],
            lead_minutes=leads[number],
            mean=_known(rain.mean[number]),
            max=_known(rain.highest[number]),
            share_with_data=round(float(rain.share[number]) * pixels.inside, 4),
        )
        for number in range(len(file))
    ]


def _total(
    pixels: AreaPixels, rain: AreaStatistics, members: AreaStatistics | None, share: NDArray[np.float64]
) -> AreaTotal:
    mean = _known(rain.total) if share.size else None
    whole = share.size > 0 and float(share.min()) * pixels.inside > 1 - 1e-6
    return AreaTotal(
        mean=mean,
        max=_known(rain.highest_total) if share.size else None,
        volume_m3=round(float(rain.total) * pixels.km2 * 1000, 1) if mean is not None and whole else None,
        mean_range=None if members is None or not share.size else percentiles(members.total),
    )


def _known(value: np.floating[Any] | NDArray[np.float64]) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [_known(value) for value in values]
