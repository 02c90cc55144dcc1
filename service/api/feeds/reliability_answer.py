"""Reliability of the probabilities of a feed, as the route responds with it. The functions block."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from model.core.probability_scores import reliability_curve
from service.api.feeds.skill_answer import DIGITS, chosen, compared_models
from service.api.feeds.skill_types import Calibration, FeedReliability, ReliabilityCurve, ReliabilityPoint
from service.feeds.config import Feed
from service.feeds.skill.comparison import window_of
from service.feeds.skill.counts import PUBLISHED, UNCALIBRATED, Array
from service.feeds.skill.ledger import KEEP_BINS, SkillLedger
from service.feeds.skill.window import LeadOrigin

MAX_RELIABILITY_HOURS: Final = KEEP_BINS.total_seconds() / 3600
SOURCES: Final[tuple[tuple[Calibration, int], ...]] = (("published", PUBLISHED), ("uncalibrated", UNCALIBRATED))


def feed_reliability(
    ledger: SkillLedger,
    feed: Feed,
    model: str | None,
    *,
    hours: float,
    origin: LeadOrigin,
    models: tuple[str, ...] = (),
    thresholds: Sequence[float] | None = None,
    leads: Sequence[float] | None = None,
) -> FeedReliability:
    """Return the reliability of models on their common cases; the parameters are those of `feed_skill`.

    Raises
    ------
    InvalidParameter
        There is no such threshold or lead, or no score of such a model.
    """
    length = timedelta(hours=hours)
    _, models = compared_models(ledger, feed, model, models, length)
    window = window_of(ledger, feed.name, models, length, origin=origin, bins=True)
    if window.bins is None:
        rows, columns, bins = [], [], None
    else:
        rows = chosen("threshold", thresholds, window.thresholds_mm_h)
        columns = chosen("lead", leads, window.lead_minutes)
        bins = window.bins[:, columns].sum(axis=1)
    curves = [
        ReliabilityCurve(
            model=name, threshold_mm_h=window.thresholds_mm_h[row], calibration=calibration, points=_points(of_row)
        )
        for number, name in enumerate(window.models)
        for row in rows
        for calibration, source in SOURCES
        if bins is not None and (of_row := bins[number, source, row]).any()
    ]
    return FeedReliability(
        feed=feed.name,
        window_hours=hours,
        newest_frame=window.newest,
        frames=window.frames,
        lead_from=origin,
        lead_minutes=[window.lead_minutes[column] for column in columns],
        curves=curves,
    )


def _points(bins: Array) -> list[ReliabilityPoint]:
    curve = reliability_curve(bins)
    return [
        ReliabilityPoint(forecast=round(forecast, DIGITS), observed=round(observed, DIGITS), pixels=int(pixels))
        for pixels, forecast, observed in zip(*(part.tolist() for part in curve), strict=True)
        if pixels
    ]
