"""Rain at one place by a feed's newest nowcast, counted from now: frames are minutes old when they are forecast."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from model.core.point_sentence import sentence
from service.api.feeds.types import FeedPoint
from service.api.nowcasts.point import point_series
from service.api.nowcasts.view import NowcastView
from service.feeds.health import FeedStatus
from service.status import Link, path_of

OUTSIDE = "this place is outside of the radar's area"


def feed_point(
    view: NowcastView, feed: str, status: FeedStatus, now: datetime, pixel: tuple[int, int] | None
) -> FeedPoint:
    """Return what the nowcast says for a pixel from `now` on; for None that the place is outside.

    Raises
    ------
    OutsideGrid
        The pixel does not lie on the earth.
    """
    about: dict[str, Any] = {
        "feed": feed,
        "status": status,
        "reference_time": view.reference_time,
        "now": now,
        "age_minutes": round(max(0.0, (now - view.reference_time).total_seconds() / 60), 1),
        "links": [Link(rel="item", href=path_of(view.job.id), type="application/json", title="Nowcast")],
    }
    if pixel is None:
        return FeedPoint(coverage="no_coverage", sentence=OUTSIDE, **about)
    point = point_series(view, pixel, now)
    past = [value for value in point.series if value.kind == "observed"]
    forecast = point.series[len(past) :]
    rates = [math.nan if value.rain_rate is None else value.rain_rate for value in forecast]
    times = [value.valid_time for value in forecast]
    chance = None if point.probabilities is None else point.probabilities.highest
    return FeedPoint(
        coverage="no_data" if all(map(math.isnan, rates)) else "ok",
        sentence=sentence(point.summary, rates, times, now, chance=chance),
        lon=point.lon,
        lat=point.lat,
        field=point.field,
        probability_method=point.probability_method,
        thresholds_mm_h=point.thresholds_mm_h,
        summary=point.summary,
        probabilities=point.probabilities,
        members=point.members,
        past=past,
        forecast=forecast,
        **about,
    )
