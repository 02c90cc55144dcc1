"""Judges the places that browsers have subscribed to, by each published nowcast."""

from __future__ import annotations

import logging

from model.core.errors import InputError
from model.core.warning_condition import Judgement
from service.feeds.alerts.recording import Found
from service.web_push.ledger import PushLedger
from workers.context import WorkerContext
from workers.feeds.alerts import judge_series
from workers.feeds.place_series import ForecastPlaces
from workers.feeds.published_run import PublishedRun

log = logging.getLogger(__name__)


def judge_subscriptions(published: PublishedRun, context: WorkerContext) -> None:
    """Judge the places of a feed that browsers have subscribed to, and record the messages that follow."""
    if context.settings.push_vapid_key is None or not published.is_served:
        return
    feed, run, ledger = published.feed, published.run, PushLedger(context.ledger)
    subscriptions = ledger.of_feed(feed.name)
    if not subscriptions:
        return
    now = feed.now(context.feed_ledger.newest_time(feed.name) or run.reference_time)
    with ForecastPlaces.open(published.nowcast) as forecast:
        series = forecast.points([(each.lon, each.lat) for each in subscriptions])
    found = {}
    for subscription, of_place in zip(subscriptions, series, strict=True):
        if isinstance(of_place, InputError):
            to_raise = to_stay = Judgement(holds=None, reason=of_place.what)
        else:
            rule = subscription.rule()
            to_raise, to_stay = (judge_series(rule, of_place, now, raised=raised) for raised in (False, True))
        found[subscription.id] = Found(
            reference_time=run.reference_time, revision=run.revision, to_raise=to_raise, to_stay=to_stay
        )
    told = ledger.record(found)
    if told:
        log.info("feed %s: %d of %d subscribed places are told", feed.name, told, len(subscriptions))
