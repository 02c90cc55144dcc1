"""What the routes of alerts respond with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.feeds.alerts.event_info import AlertEventInfo
from service.feeds.alerts.rule import Severity, Watched
from service.feeds.alerts.transition import AlertState
from service.status import Link

MessageState = Literal["pending", "deferred", "delivered", "failed", "withdrawn"]


class AlertInfo(BaseModel):
    """The state of one rule."""

    rule: str = Field(examples=["underpass"])
    watches: Watched
    severity: Severity
    state: AlertState = Field(
        description="`raised`, until the condition is known not to hold; `cleared`: judged, and not raised; "
        "`unknown`: not raised, and it could not be judged. That never means dry."
    )
    since: datetime | None = Field(None, description="When it came into its state; null: never judged.")
    unknown_since: datetime | None = Field(None, description="Since when it cannot be judged; null: it can.")
    reason: str = Field("", description="Why it cannot be judged; of a rule on the feed, what was found.")
    reference_time: datetime | None = Field(None, description="Of the newest nowcast by which it was judged.")
    onset: datetime | None = Field(None, description="The first lead step at which the condition holds.")
    lead_minutes: float | None = Field(None, description="Minutes to `onset`, when the nowcast was judged.")
    rain_rate: float | None = Field(None, description="Highest rain rate (mm/h) within the time of the rule.")
    probability: float | None = Field(None, description="Highest probability within the time of the rule.")
    channels: list[str] = Field(description="Kinds of its channels, as `https` or `mailtos`; never addresses.")


class AlertMessage(BaseModel):
    """Whether the message about an event was delivered to one channel."""

    channel: str = Field(description="Kind of the channel.", examples=["https"])
    state: MessageState = Field(
        description="`deferred`: by quiet hours or `min_interval`; `withdrawn`: the alert changed back before it was "
        "sent; `failed`: given up."
    )
    attempts: int
    error: str = Field("", description="Why the last try failed.")
    next_try: datetime | None = None


class AlertEventDetails(AlertEventInfo):
    """An event with the messages about it."""

    messages: list[AlertMessage]


class FeedAlerts(BaseModel):
    """The alerts of a feed."""

    feed: str = Field(examples=["helsinki"])
    alerts: list[AlertInfo] = Field(description="One for each rule.")
    events: list[AlertEventDetails] = Field(description="The newest first.")
    links: list[Link]
