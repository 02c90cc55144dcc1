"""Rain at one place by a feed's newest nowcast, counted from now: frames are minutes old when they are forecast."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from model.core.point_sentence import sentence
from service.api.errors import OutsideGrid
from service.api.feeds.types import FeedPoint
from service.api.nowcasts.point import point_series
from service.api.nowcasts.view import NowcastView
from service.feeds.health import FeedStatus
from service.status import Link, path_of


def feed_point(view: NowcastView, feed: str, status: FeedStatus, now: datetime, *, lon: float, lat: float) -> FeedPoint:
    """Return what the nowcast says for a place (degrees, WGS 84) from `now` on.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    age = max(0.0, (now - view.reference_time).total_seconds() / 60)
    about: dict[str, Any] = {
        "feed": feed,
        "status": status,
        "reference_time": view.reference_time,
        "now": now,
        "age_minutes": round(age, 1),
        "links": [Link(rel="item", href=path_of(view.job.id), type="application/json", title="Nowcast")],
    }
    try:
        point = point_series(view, lon=lon, lat=lat, now=now)
    except OutsideGrid:
        return FeedPoint(coverage="no_coverage", sentence="this place is outside of the radar's area", **about)
    past = [value for value in point.series if value.kind == "observed"]
    forecast = [value for value in point.series if value.kind == "forecast"]
    has_data = any(value.rain_rate is not None for value in forecast)
    rates = [math.nan if value.rain_rate is None else value.rain_rate for value in forecast]
    return FeedPoint(
        coverage="ok" if has_data else "no_data",
        sentence=sentence(point.summary, rates, [value.valid_time for value in forecast], now),
        past=past,
        forecast=forecast,
        **about,
        **point.model_dump(
            include={"lon", "lat", "field", "probability_method", "thresholds_mm_h", "summary", "members"}
        ),
    )
