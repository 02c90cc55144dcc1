"""Judges the rules of alerts: by each published nowcast, and of the feeds themselves by the schedule."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from model.core.errors import InputError
from model.core.warning_condition import Judgement, judge_condition, reached_probability
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.recording import Found
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Alert, AlertEvent
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.health import FeedHealth, nowcast_too_old
from service.feeds.overview import feed_states
from service.feeds.skill.rule_forecasts import RuleForecasts
from service.feeds.skill.tables import RuleForecast
from service.feeds.tables import FeedRun
from service.store import result_key
from workers.context import WorkerContext
from workers.feeds.place_series import ForecastPlaces, PlaceSeries, read_area
from workers.feeds.published_run import PublishedRun

log = logging.getLogger(__name__)


def judge_published(published: PublishedRun, context: WorkerContext) -> None:
    """Judge the rules of a feed by a nowcast that was published, and the feed itself; not by one of a challenger."""
    if published.is_served:
        _judge_rain(published.feed, published.run, published.nowcast, context)
        [state] = feed_states([published.feed], context.feed_ledger)
        _judge_health(published.feed, state.health, AlertLedger(context.ledger))


def _judge_rain(feed: Feed, run: FeedRun, nowcast: Path, context: WorkerContext) -> None:
    rules = [rule for rule in feed.alert if rule.watches != "feed"]
    if not rules:
        return
    ledger = AlertLedger(context.ledger)
    now = feed.now(context.feed_ledger.newest_time(feed.name) or run.reference_time)
    said = []
    with ForecastPlaces.open(nowcast) as forecast:
        for rule in rules:
            series = _series(rule, forecast)
            _log(ledger.record(feed.name, rule, _found(rule, run, series, now)))
            if not isinstance(series, InputError) and (of_rule := _rule_forecast(rule, run, series, now)):
                said.append(of_rule)
    try:
        RuleForecasts(context.ledger).record(said)
    except SQLAlchemyError:  # they are for statistics, which no alert waits for
        log.exception("feed %s: what a nowcast said of its rules is not kept", feed.name)


def check_alerts(context: WorkerContext) -> None:
    """Judge the rules on feeds, and those on rain that no nowcast has judged; clear those that are no longer there."""
    config, ledger = read_feeds(context.settings.feeds_path), AlertLedger(context.ledger)
    alerts = {(alert.feed, alert.rule): alert for alert in ledger.alerts()}
    for feed in config.feeds:
        try:
            _check_feed(feed, alerts, ledger, context)
        except Exception:  # of any kind: the others are judged nevertheless
            log.exception("feed %s: its alerts", feed.name)
    if not config.problems:  # a feed that cannot be read now is not removed
        known = {(feed.name, rule.name) for feed in config.feeds for rule in feed.alert}
        for alert in alerts.values():
            if (alert.feed, alert.rule) not in known:
                _log(ledger.remove(alert))
    if context.settings.retention_days:
        ledger.delete_events(datetime.now(UTC) - timedelta(days=context.settings.retention_days))


def _check_feed(feed: Feed, alerts: dict[tuple[str, str], Alert], ledger: AlertLedger, context: WorkerContext) -> None:
    if not feed.alert:
        return
    [state] = feed_states([feed], context.feed_ledger)
    _judge_health(feed, state.health, ledger)
    rules = [rule for rule in feed.alert if rule.watches != "feed"]
    if not rules:
        return
    run = state.run
    reason = "there is no nowcast" if run is None else nowcast_too_old(feed, state.health, run.reference_time)
    job_id = None if run is None or reason or run.model != feed.model else run.job_id
    if run is not None and job_id is not None and job_id == run.served_job_id:
        of_rules = [(rule, alerts.get((feed.name, rule.name))) for rule in rules]
        if any(alert is None or _is_behind(rule, alert, run) for rule, alert in of_rules):
            with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
                nowcast = context.store.fetch(result_key(job_id), Path(folder) / "nowcast.nc")
                _judge_rain(feed, run, nowcast, context)
    for rule in rules:
        _log(ledger.record_unknown(feed.name, rule, reason or None))


def _is_behind(rule: AlertRule, alert: Alert, run: FeedRun) -> bool:
    """Return whether a rule was not judged by a run."""
    if alert.digest != rule.digest() or alert.reference_time is None:
        return True
    return (alert.reference_time, alert.revision) < (run.reference_time, run.revision)


def _found(rule: AlertRule, run: FeedRun, series: PlaceSeries | InputError, now: datetime) -> Found:
    """Return what a rule says by the series of what it watches, or why there is none."""
    if isinstance(series, InputError):
        to_raise = to_stay = Judgement(holds=None, reason=series.what)
    else:
        to_raise, to_stay = (judge_series(rule, series, now, raised=raised) for raised in (False, True))
    return Found(reference_time=run.reference_time, revision=run.revision, to_raise=to_raise, to_stay=to_stay)


def _rule_forecast(rule: AlertRule, run: FeedRun, series: PlaceSeries, now: datetime) -> RuleForecast | None:
    """Return up to which limit a rule's probability suffices; None where the forecast has no such probability."""
    probability = series.probability_of(rule.threshold)
    if probability is None:
        return None
    to_raise, to_stay = (
        reached_probability(
            rule.condition(raised=raised),
            series.valid_times,
            now,
            rain_rate_mm_h=series.rain_rate_mm_h,
            probability=probability,
            complete=series.complete,
        )
        for raised in (False, True)
    )
    return RuleForecast(
        feed=run.feed,
        watched=rule.watched(),
        reference_time=run.reference_time,
        revision=run.revision,
        judged=now,
        to_raise=round(to_raise.probability, 4),
        to_stay=round(to_stay.probability, 4),
        certain=to_raise.certain and to_stay.certain,
    )


def _series(rule: AlertRule, forecast: ForecastPlaces) -> PlaceSeries | InputError:
    """Return what a forecast says for what a rule watches; why not, where that is outside, or its file has no area."""
    try:
        if rule.area is not None:
            return forecast.area(read_area(rule.area), rule.statistic, rule.min_coverage)
        return forecast.point(rule.lon or 0.0, rule.lat or 0.0)
    except InputError as error:
        return error


def judge_series(rule: AlertRule, series: PlaceSeries, now: datetime, *, raised: bool) -> Judgement:
    """Return whether the condition that raises a rule's alert, or by which it stays `raised`, holds from now on."""
    return judge_condition(
        rule.condition(raised=raised),
        series.valid_times,
        now,
        rain_rate_mm_h=series.rain_rate_mm_h,
        probability=series.probability_of(rule.threshold),
        complete=series.complete,
    )


def judge_feed(rule: AlertRule, health: FeedHealth) -> Judgement:
    """Return whether a rule on a feed holds. Without any frame the data counts as older than any limit."""
    age = health.age_minutes
    too_old = rule.max_data_age is not None and (age is None or age > rule.max_data_age)
    newest = "no frame has arrived" if age is None else f"the newest frame is {age:.0f} min old"
    parts = [f"the feed is {health.status.value}", health.reason, newest]
    reason = "; ".join(dict.fromkeys(part for part in parts if part))
    return Judgement(holds=too_old or health.status.value in rule.status, reason=reason)


def _judge_health(feed: Feed, health: FeedHealth, ledger: AlertLedger) -> None:
    for rule in feed.alert:
        if rule.watches == "feed":
            judgement = judge_feed(rule, health)
            found = Found(reference_time=datetime.now(UTC), to_raise=judgement, to_stay=judgement)
            _log(ledger.record(feed.name, rule, found))


def _log(events: Sequence[AlertEvent]) -> None:
    for event in events:
        log.warning("alert %d: %s", event.number, event.title)
