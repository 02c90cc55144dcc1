"""What is sent and returned about web push."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from service.api.nowcasts.listing import NO_NUL
from service.feeds.alerts.transition import AlertState

KEY_EXAMPLE = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"


class PushInfo(BaseModel):
    """Whether this service has web push, and what a page needs to subscribe."""

    public_key: str | None = Field(
        description="The `applicationServerKey` of subscriptions (RFC 8292), in base64url; null: there is no web push.",
        examples=[KEY_EXAMPLE],
    )
    retention_days: float = Field(description="A subscription ends so long after it was last renewed.")
    max_subscriptions: int = Field(description="Most places of one client.")


class BrowserKeys(BaseModel):
    """The keys by which messages are encrypted (RFC 8291), in base64url."""

    p256dh: str = Field(max_length=88)
    auth: str = Field(max_length=24)


class BrowserSubscription(BaseModel):
    """What `PushSubscription.toJSON()` returns in a browser."""

    endpoint: str = Field(max_length=1000, pattern=NO_NUL, description="Address at the browser's push service.")
    keys: BrowserKeys


class SubscriptionRequest(BaseModel):
    """A place, and what is to be told of it. Without `rain_rate` and `probability` the feed decides."""

    subscription: BrowserSubscription
    feed: str = Field(max_length=64, examples=["helsinki"])
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False, description="Degrees east, WGS 84.")
    lat: float = Field(ge=-90, le=90, allow_inf_nan=False, description="Degrees north, WGS 84.")
    name: str = Field(
        "",
        max_length=80,
        pattern=NO_NUL,
        description="What the place is called in messages; by default its coordinates.",
    )
    within: float = Field(30, ge=5, le=180, description="Minutes from now that are watched.")
    rain_rate: float | None = Field(None, gt=0, le=200, allow_inf_nan=False, description="The limit, in mm/h.")
    probability: float | None = Field(
        None, ge=0.05, le=1, description="Of at least `rain_rate`, which is one of the feed's `probabilities` then."
    )
    language: str = Field("en", pattern=r"^[a-z]{2}$", description="Of the messages.")


class SubscriptionInfo(BaseModel):
    """A place that a browser has subscribed to."""

    id: str = Field(
        description="Who knows it may read and delete the subscription.", examples=["8f2a61c07d9b4e53a1c8e0f4b7d25963"]
    )
    feed: str = Field(examples=["helsinki"])
    lon: float
    lat: float
    name: str
    within: float
    rain_rate: float = Field(description="mm/h; with `probability` that of which it is, else of the forecast.")
    probability: float | None
    language: str
    state: AlertState = Field(description="`raised`: it was told; `unknown`: it could not be judged, or was not yet.")
    expires: datetime = Field(description="When it ends unless it is renewed by the same request.")
