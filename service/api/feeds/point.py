"""Rain at one place by a feed's newest nowcast, counted from now: frames are minutes old when they are forecast."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from model.core.point_sentence import SentenceStyle, no_coverage
from service.api.feeds.types import FeedPoint
from service.api.nowcasts.point import point_series
from service.api.nowcasts.types import PlaceForecast
from service.api.nowcasts.view import NowcastView
from service.feeds.health import FeedStatus
from service.status import Link, path_of


def feed_point(
    view: NowcastView,
    feed: str,
    status: FeedStatus,
    now: datetime,
    pixel: tuple[int, int] | None,
    style: SentenceStyle,
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
        "age_minutes": round(max(0.0, (now - view.reference_time).total_seconds() / 60), 1),
        "links": [Link(rel="item", href=path_of(view.job.id), type="application/json", title="Nowcast")],
    }
    if pixel is None:
        return FeedPoint(
            coverage="no_coverage",
            sentence=no_coverage(style.language),
            language=style.language,
            reference_time=view.reference_time,
            now=now,
            **about,
        )
    point = point_series(view, pixel, now, style)
    past = [value for value in point.series if value.kind == "observed"]
    shared = {name: getattr(point, name) for name in PlaceForecast.model_fields}
    return FeedPoint(**shared, past=past, forecast=point.series[len(past) :], **about)
