"""Score the forecasts of a feed that were valid when a frame was observed. One frame at a time, the newest first.

A frame is scored by all forecasts together: what is counted is replaced as a whole where a further forecast was
published or the frame was issued again. So a worker that dies, or two that score the same frame, count nothing twice.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.core.forecast_output import DEFAULT_THRESHOLDS_MM_H
from model.core.grid import Grid
from model.core.units import FloatArray
from service.feeds.alerts.rule import AlertRule
from service.feeds.config import DEFAULT_STEPS, Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.counts import Array, bins_shape, columns, pack, stride_of
from service.feeds.skill.ledger import DueFrame, StoredForecast
from service.feeds.skill.observations import areas_of, points_of
from service.feeds.skill.tables import FrameScore, PlaceObservation
from service.feeds.tables import FeedFrame
from service.metrics.instruments import FEED_FRAMES_SCORED
from service.store import MissingObject, job_prefix
from workers.context import WorkerContext
from workers.feeds.place_series import OutsideForecast, covered, over_area, pixel_of, pixels_of, read_area
from workers.feeds.skill.conclusions import conclude
from workers.feeds.skill.counting import LeadCounts, count_lead
from workers.feeds.skill.gauges import record_gauges
from workers.feeds.skill.recalibrated import read_uncalibrated
from workers.feeds.skill.stored_nowcast import LeadForecast, Levels, StoredNowcast, read_frame

RECHECK: Final = timedelta(minutes=60)
"""Beyond `max_age`, how long a frame is scored again where a further forecast was published."""

KEEP_CHALLENGERS: Final = timedelta(hours=6)
"""How long nowcasts of challengers are kept beyond their last lead step."""

MOST_REACHES: Final = 10_000

_reach: Final[dict[str, datetime]] = {}
"""The last valid time of nowcasts, by key, so that those that end before a frame are not fetched for it."""

log = logging.getLogger(__name__)


def score_next(name: str, context: WorkerContext) -> None:
    """Score by the newest frame that is due, and queue the next."""
    feed = read_feeds(context.settings.feeds_path, check_folders=False).find(name)
    if feed is None:
        return
    recheck = RECHECK + timedelta(minutes=feed.max_age)
    due = context.skill_ledger.due(feed, horizon=horizon_of(feed), recheck=recheck)
    if not due:
        return
    scores, observed = score_frame(due[0], feed, context), observed_at_places(due[0].frame, feed, context)
    if context.skill_ledger.record(due[0], scores, observed):
        FEED_FRAMES_SCORED.inc()
        log.info("feed %s: %d models scored at %s", name, len(scores), due[0].frame.valid_time)
    if len(due) > 1:
        context.queue.enqueue_scoring(name)
    else:
        conclude(feed, context)
        record_gauges(feed, context)
        expire(feed, context)


def horizon_of(feed: Feed) -> timedelta:
    """Return how far a feed's nowcasts reach at most: models may read fewer frames than come, and step further."""
    minutes = feed.lead_time + feed.max_age if feed.lead_time else (feed.steps or DEFAULT_STEPS) * (feed.interval or 10)
    return timedelta(minutes=2 * minutes)


def score_frame(due: DueFrame, feed: Feed, context: WorkerContext) -> list[FrameScore]:
    """Return the counts of each model whose forecasts are valid at the time of a frame.

    Raises
    ------
    StoreUnavailable
        The store does not respond.
    """
    if not due.forecasts:
        return []
    thresholds = feed.probabilities or DEFAULT_THRESHOLDS_MM_H
    counted: dict[str, list[tuple[float, float, LeadCounts]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        try:
            observed, grid = read_frame(context.store.local_file(due.frame.key, folder / "frame.nc"))
        except MissingObject:
            return []
        for case in _cases(due, context, feed):
            age = case[0].age_minutes
            leads = _leads(case, due.frame, grid, context, folder)
            for model, counts in count_lead(observed, leads, thresholds, grid).items():
                lead = leads[model].lead_minutes
                counted[model].append((lead, round(lead - age, 1), counts))
    return [_frame_score(due.frame, model, thresholds, leads) for model, leads in counted.items()]


def observed_at_places(frame: FeedFrame, feed: Feed, context: WorkerContext) -> list[PlaceObservation]:
    """Return what a frame has at the places and in the areas that rules of alerts watch."""
    points, areas = points_of(feed), areas_of(feed)
    if not points and not areas:
        return []
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        try:
            rain, grid = read_frame(context.store.local_file(frame.key, Path(name) / "frame.nc"))
        except MissingObject:
            return []
    values: dict[str, float] = {}
    for place, (lon, lat) in points.items():
        with suppress(OutsideForecast):
            values[place] = float(rain[pixel_of(grid, lon, lat)])
    for place, rule in areas.items():
        try:
            values[place] = _of_area(rain, grid, rule)
        except InputError as error:
            log.warning("feed %s: the area of alert %s: %s", feed.name, rule.name, error)
    return [
        PlaceObservation(
            feed=feed.name,
            place=place,
            source="radar",
            valid_time=frame.valid_time,
            rain_rate=round(value, 2) if math.isfinite(value) else None,
        )
        for place, value in values.items()
    ]


def _of_area(rain: FloatArray, grid: Grid, rule: AlertRule) -> float:
    """Return what a rule asks of an area's pixels (mm h-1), as it is computed of a forecast; NaN: too little is known.

    Raises
    ------
    InputError
        The area is outside of the grid, or its file has none.
    """
    pixels = pixels_of(grid, read_area(rule.area or Path()))
    rates = rain[pixels.rows, pixels.columns].astype(np.float64)[None]
    complete = covered(rates, pixels, rule.min_coverage)
    return float(over_area(rates, pixels, rule.statistic, complete)[0]) if complete[0] else math.nan


def _cases(due: DueFrame, context: WorkerContext, feed: Feed) -> Iterator[list[StoredForecast]]:
    """Yield the forecasts of each reference time whose frame lies on the same grid, the shortest lead first."""
    since = min(each.reference_time for each in due.forecasts)
    grids = {each.valid_time: each.grid for each in context.feed_ledger.frames(feed.name, since=since)}
    by_time: dict[object, list[StoredForecast]] = defaultdict(list)
    for forecast in due.forecasts:
        if grids.get(forecast.reference_time) == due.frame.grid:
            by_time[forecast.reference_time].append(forecast)
    yield from reversed(by_time.values())


def _leads(
    case: list[StoredForecast], frame: FeedFrame, grid: Grid, context: WorkerContext, folder: Path
) -> Mapping[str, LeadForecast]:
    """Return what the forecasts of one reference time hold for the frame, by model."""
    found: dict[str, LeadForecast] = {}
    for forecast in case:
        if forecast.result_key in _reach and frame.valid_time > _reach[forecast.result_key]:
            continue
        try:
            path = context.store.local_file(forecast.result_key, folder / f"{forecast.job_id}.nc")
        except MissingObject:  # its retention is over
            continue
        with StoredNowcast(path) as nowcast:
            index = nowcast.lead_index(frame.valid_time)
            if index is not None:
                before = _uncalibrated(forecast, index, context) if nowcast.is_recalibrated else None
                found[forecast.model] = nowcast.lead(index, stride_of(grid.shape), before)
            if len(_reach) > MOST_REACHES:
                _reach.clear()
            _reach[forecast.result_key] = nowcast.reach
    return found


def _uncalibrated(forecast: StoredForecast, lead: int, context: WorkerContext) -> Levels | None:
    try:
        return read_uncalibrated(context.store, forecast.job_id, lead)
    except MissingObject:
        return None


def _frame_score(
    frame: FeedFrame, model: str, thresholds: tuple[float, ...], leads: list[tuple[float, float, LeadCounts]]
) -> FrameScore:
    number = len(thresholds)
    counts: Array = np.stack([each.counts for _, _, each in leads]).reshape(len(leads), columns(number))
    none = np.zeros(bins_shape(number))
    bins = np.stack([none if each.bins is None else each.bins for _, _, each in leads])
    return FrameScore(
        feed=frame.feed,
        valid_time=frame.valid_time,
        model=model,
        thresholds_mm_h=list(thresholds),
        lead_minutes=[lead for lead, _, _ in leads],
        served_minutes=[served for _, served, _ in leads],
        counts=pack(counts),
        bins=pack(bins) if bins.any() else None,
    )


def expire(feed: Feed, context: WorkerContext) -> None:
    """Delete old counts, and the nowcasts of challengers that are scored: nobody else reads them."""
    newest = context.feed_ledger.newest_time(feed.name)
    if newest is None:
        return
    context.skill_ledger.expire(feed.name, newest)
    jobs = context.skill_ledger.delete_challengers(feed.name, newest - horizon_of(feed) - KEEP_CHALLENGERS)
    for job_id in jobs:
        context.store.delete_prefix(job_prefix(job_id))
    if jobs:
        context.ledger.delete(jobs)
