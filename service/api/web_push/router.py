"""Routes of web push."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from model.core.grid_places import pixel_of_lon_lat
from service.api.access.client import ClientDep, sender_of
from service.api.access.scopes import requires
from service.api.context import ContextDep, GatewayContext
from service.api.errors import InvalidParameter, NoSuchSubscription, NoWebPush, OutsideGrid
from service.api.feeds.dependencies import NO_STORE
from service.api.feeds.served import ServedFeed, find_feed
from service.api.nowcasts.listing import NO_NUL
from service.api.problems import documented_problems
from service.api.web_push.types import PushInfo, SubscriptionInfo, SubscriptionRequest
from service.feeds.alerts.rule import BadRule
from service.feeds.config import Feed
from service.jobs.api_keys import Scope
from service.web_push.addresses import parse_endpoint
from service.web_push.browser_keys import check_browser_keys
from service.web_push.tables import PushSubscription
from service.web_push.vapid_key import VapidKey

USUAL_RATE_MM_H: Final = 0.5
USUAL_PROBABILITY: Final = 0.5
"""The limit where a request names none: that of the feed's probabilities which is nearest, with this probability."""

READ: Final = [requires(Scope.READ)]
SubscriptionId = Annotated[str, Path(alias="id", max_length=32, pattern=NO_NUL, description="Id of the subscription.")]

router = APIRouter(prefix="/v1/push", tags=["push"])


@router.get("", operation_id="getPush", dependencies=READ, summary="Whether there is web push")
async def get_push(context: ContextDep) -> PushInfo:
    """Return what a page needs to subscribe to places."""
    settings = context.settings
    return PushInfo(
        public_key=None if context.push_key is None else context.push_key.public,
        retention_days=settings.push_retention_days,
        max_subscriptions=settings.max_client_push_subscriptions,
    )


@router.post(
    "/subscriptions",
    operation_id="subscribe",
    dependencies=READ,
    summary="Be told before precipitation begins at a place",
    responses=documented_problems(
        "no-web-push",
        "no-such-feed",
        "no-nowcast",
        "outside-grid",
        "not-on-earth",
        "callback-refused",
        "too-many-subscriptions",
        "invalid-parameter",
    ),
)
async def subscribe(
    request: Request, response: Response, context: ContextDep, client: ClientDep, wanted: SubscriptionRequest
) -> SubscriptionInfo:
    """Subscribe a browser to a place of a feed, or renew that.

    The browser is told when a nowcast first reaches the limit there, and again once the place was below half of it in
    three nowcasts in a row. Nothing is told while it is not known: silence is no promise of dry weather.
    """
    key = _key(context)
    feed = find_feed(await context.in_thread(context.feeds), wanted.feed)
    parse_endpoint(wanted.subscription.endpoint, context.settings)
    check_browser_keys(wanted.subscription.keys.p256dh, wanted.subscription.keys.auth)
    subscription = _subscription(wanted, feed, key.digest_of(sender_of(request, client)))
    _check_forecast(subscription, feed, await context.served_feeds.get(feed.name))
    settings = context.settings
    recorded = await context.in_thread(
        context.push.subscribe,
        subscription,
        most=settings.max_push_subscriptions,
        most_of_client=settings.max_client_push_subscriptions,
    )
    response.headers.update(NO_STORE)
    return _info(context, recorded)


@router.get(
    "/subscriptions/{id}",
    operation_id="getSubscription",
    dependencies=READ,
    summary="A place that a browser has subscribed to",
    responses=documented_problems("no-such-subscription"),
)
async def get_subscription(
    response: Response, context: ContextDep, subscription_id: SubscriptionId
) -> SubscriptionInfo:
    """Return a subscription: it is gone where its push service no longer knows the browser, or it was not renewed."""
    found = await context.in_thread(context.push.find, subscription_id)
    if found is None:
        raise _unknown(subscription_id)
    response.headers.update(NO_STORE)
    return _info(context, found)


@router.delete(
    "/subscriptions/{id}",
    operation_id="unsubscribe",
    dependencies=READ,
    summary="Be told no longer",
    status_code=204,
    responses=documented_problems("no-such-subscription"),
)
async def unsubscribe(context: ContextDep, subscription_id: SubscriptionId) -> Response:
    """Delete a subscription with everything that is stored about it, whether or not there is web push now."""
    if not await context.in_thread(context.push.unsubscribe, subscription_id):
        raise _unknown(subscription_id)
    return Response(status_code=204)


def _key(context: GatewayContext) -> VapidKey:
    if context.push_key is None:
        what = "this service has no web push"
        raise NoWebPush(what, where="service", hint="The operator sets ECHOCAST_PUSH_VAPID_KEY")
    return context.push_key


def _unknown(subscription_id: str) -> NoSuchSubscription:
    hint = "It was deleted, or the browser is no longer subscribed: subscribe again"
    return NoSuchSubscription(f"there is no subscription {subscription_id!r}", where="id", hint=hint)


def _check_forecast(subscription: PushSubscription, feed: Feed, served: ServedFeed) -> None:
    """Check that the feed's nowcasts can tell what is asked of them.

    Raises
    ------
    OutsideGrid
        The place is outside of the radar's area.
    InvalidParameter
        They do not reach so far, or have no such probability.
    NoNowcast
        There is none yet.
    """
    forecast = served.view.forecast
    if pixel_of_lon_lat(forecast.grid, subscription.lon, subscription.lat) is None:
        what = f"longitude {subscription.lon:g}, latitude {subscription.lat:g} is outside of the radar's area"
        raise OutsideGrid(what, where="lon, lat", hint="Choose a place inside")
    reach_minutes = (forecast.times[-1] - served.view.reference_time).total_seconds() / 60
    try:
        subscription.rule().check_feed_gives(feed.probabilities, reach_minutes=reach_minutes)
    except BadRule as error:
        raise InvalidParameter(error.what, where="subscription", hint=error.hint) from None


def _subscription(wanted: SubscriptionRequest, feed: Feed, client: str) -> PushSubscription:
    endpoint = wanted.subscription.endpoint
    place = (endpoint, feed.name, f"{wanted.lon:.5f}", f"{wanted.lat:.5f}")
    rain_rate, probability = wanted.rain_rate, wanted.probability
    if rain_rate is None and probability is None and feed.probabilities:
        rain_rate = min(feed.probabilities, key=lambda threshold: abs(threshold - USUAL_RATE_MM_H))
        probability = USUAL_PROBABILITY
    return PushSubscription(
        id=hashlib.sha256("\n".join(place).encode()).hexdigest()[:32],
        client=client,
        endpoint=endpoint,
        p256dh=wanted.subscription.keys.p256dh,
        auth=wanted.subscription.keys.auth,
        feed=feed.name,
        lon=wanted.lon,
        lat=wanted.lat,
        name=wanted.name or f"{wanted.lat:.2f}, {wanted.lon:.2f}",
        rain_rate=USUAL_RATE_MM_H if rain_rate is None else rain_rate,
        probability=probability,
        within=wanted.within,
        language=wanted.language,
    )


def _info(context: GatewayContext, subscription: PushSubscription) -> SubscriptionInfo:
    fields = SubscriptionInfo.model_fields.keys() - {"expires"}
    expires = subscription.renewed + timedelta(days=context.settings.push_retention_days)
    return SubscriptionInfo(**{name: getattr(subscription, name) for name in fields}, expires=expires)
