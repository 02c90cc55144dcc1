"""Routes of alerts: their states and last events, and events as they come."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from service.api.access.client import ClientDep, sender_of
from service.api.context import ContextDep, GatewayContext
from service.api.event_streams import MEDIA_TYPE, EventStream
from service.api.feeds import answers
from service.api.feeds.alert_events import alert_events
from service.api.feeds.alert_types import AlertEventDetails, AlertInfo, AlertMessage, FeedAlerts, MessageState
from service.api.feeds.dependencies import READ, FeedDep
from service.api.feeds.served import find_feed
from service.api.problems import documented_problems
from service.feeds.alerts.event_info import event_info
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Alert, AlertDelivery
from service.feeds.alerts.transition import AlertState
from service.feeds.config import Feed
from service.feeds.health import FeedHealth, nowcast_too_old
from service.feeds.overview import feed_states
from service.problem_details import public
from service.status import Link

NEWEST = 20
"""How many events the alerts of a feed are told with."""

EVENTS_PATH = "/v1/alerts/events"

router = APIRouter()
"""Below /v1/feeds."""
events_router = APIRouter(tags=["feeds"])


@router.get(
    "/{feed}/alerts",
    operation_id="getAlerts",
    dependencies=READ,
    summary="Alerts of a feed",
    responses=documented_problems("no-such-feed"),
)
async def get_alerts(context: ContextDep, feed: FeedDep) -> FeedAlerts:
    """Return the state of each rule, and the events that came last, with what became of the messages about them."""
    return await context.in_thread(_feed_alerts, context, feed)


@events_router.get(
    EVENTS_PATH,
    operation_id="getAlertEvents",
    dependencies=READ,
    summary="Follow alerts by events",
    response_class=Response,
    responses={
        200: {"description": "Events `alert`, each with the event as JSON", "content": {MEDIA_TYPE: {}}},
        **documented_problems("no-such-feed", "too-many-streams", "invalid-parameter"),
    },
)
async def get_alert_events(
    request: Request,
    context: ContextDep,
    client: ClientDep,
    feed: Annotated[str | None, Query(max_length=64, description="Name of a feed; by default all feeds.")] = None,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, description="The number of the last event that the client has.")
    ] = None,
) -> Response:
    """Send the events of alerts as server-sent events, as they come.

    A client that comes back with `Last-Event-ID` gets what it has missed; without, events from now on; with 0, all that
    are kept.
    """
    if feed is not None:
        find_feed(await context.in_thread(context.feeds), feed)
    if "echocast.head" in request.scope:
        return Response(media_type=MEDIA_TYPE)
    events = alert_events(context, feed, last_event_id)
    return EventStream(context.event_streams, sender_of(request, client), events)


def _feed_alerts(context: GatewayContext, feed: Feed) -> FeedAlerts:
    ledger = context.alerts
    alerts = {alert.rule: alert for alert in ledger.alerts(feed.name)}
    [state] = feed_states([feed], context.feed_ledger)
    events = ledger.events(feed.name, NEWEST)
    deliveries = ledger.deliveries([event.id for event in events])
    return FeedAlerts(
        feed=feed.name,
        alerts=[_alert_info(feed, state.health, rule, alerts.get(rule.name)) for rule in feed.alert],
        events=[
            AlertEventDetails(
                **event_info(event).model_dump(),
                messages=[_message(each) for each in deliveries if each.event_id == event.id],
            )
            for event in events
        ],
        links=[
            Link(rel="self", href=f"{answers.path_of_feed(feed.name)}/alerts", type="application/json", title="Alerts"),
            Link(rel="monitor", href=f"{EVENTS_PATH}?feed={feed.name}", type=MEDIA_TYPE, title="Events"),
        ],
    )


def _alert_info(feed: Feed, health: FeedHealth, rule: AlertRule, alert: Alert | None) -> AlertInfo:
    """Return the state of a rule; by a nowcast that is too old it is not known, also while nobody judges it."""
    about = {
        "rule": rule.name,
        "watches": rule.watches,
        "severity": rule.severity,
        "channels": [_kind(channel) for channel in rule.channels],
    }
    if alert is None:
        return AlertInfo.model_validate({**about, "state": AlertState.UNKNOWN, "reason": "it was not judged yet"})
    state, reason = alert.state, alert.reason
    if rule.watches != "feed" and alert.reference_time is not None:
        too_old = nowcast_too_old(feed, health, alert.reference_time)
        if too_old:
            state, reason = AlertState.RAISED if state is AlertState.RAISED else AlertState.UNKNOWN, too_old
    judged = {name: getattr(alert, name) for name in ("since", "unknown_since", "reference_time")}
    return AlertInfo.model_validate({**about, **judged, "state": state, "reason": public(reason), **alert.evidence})


def _message(delivery: AlertDelivery) -> AlertMessage:
    return AlertMessage(
        channel=_kind(delivery.url),
        state=_state_of(delivery),
        attempts=delivery.attempts,
        error=public(delivery.error),
        next_try=delivery.due,
    )


def _state_of(delivery: AlertDelivery) -> MessageState:
    if delivery.delivered:
        return "delivered"
    if delivery.given_up:
        return "failed"
    if delivery.withdrawn:
        return "withdrawn"
    return "deferred" if delivery.deferred and not delivery.attempts else "pending"


def _kind(channel: str) -> str:
    return channel.partition("://")[0]
