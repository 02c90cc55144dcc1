"""The ledger's tables of web push: places that browsers have subscribed to, and the messages to them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Judged
from service.jobs.base import Base
from service.jobs.outbox import Delivery

CLEAR_SHARE = 0.5
"""A subscription that was told clears below this share of its limit,"""
CLEAR_AFTER = 3
"""in so many nowcasts in a row: rain that comes and goes is told once."""


class PushSubscription(Judged, Base, kw_only=True):
    """A place of a browser.

    `id`: a digest of endpoint, feed and place; who knows it may delete the subscription. `client`: a digest of who has
    subscribed, by which they are counted. `endpoint`, `p256dh`, `auth`: the browser's push service and its keys, in
    base64url (RFC 8291). `renewed`: when its page was last opened. `rain_rate`: the limit (mm/h), of the forecast or,
    with `probability`, of a probability. `within`: minutes from now.
    """

    __tablename__ = "push_subscriptions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    client: Mapped[str] = mapped_column(String(32))
    endpoint: Mapped[str] = mapped_column(Text)
    p256dh: Mapped[str] = mapped_column(String(88))
    auth: Mapped[str] = mapped_column(String(24))
    feed: Mapped[str] = mapped_column(String(128))
    lon: Mapped[float]
    lat: Mapped[float]
    name: Mapped[str] = mapped_column(String(80))
    rain_rate: Mapped[float]
    probability: Mapped[float | None]
    within: Mapped[float]
    language: Mapped[str] = mapped_column(String(8))
    created: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    renewed: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))

    __table_args__ = (Index("ix_push_subscriptions_feed", "feed"), Index("ix_push_subscriptions_client", "client"))

    def rule(self) -> AlertRule:
        """Return the rule by which its place is judged."""
        if self.probability is None:
            limits = {"rain_rate": self.rain_rate, "clear_rain_rate": CLEAR_SHARE * self.rain_rate}
        else:
            limits = {
                "probability": self.probability,
                "threshold": self.rain_rate,
                "clear_probability": CLEAR_SHARE * self.probability,
            }
        place = {"lon": self.lon, "lat": self.lat, "within": self.within}
        return AlertRule.model_validate({"name": self.id, "clear_after": CLEAR_AFTER, **place, **limits})


class PushMessage(Delivery, Base, kw_only=True):
    """A message to a browser. `expires`: when the precipitation has begun, and there is nothing left to tell."""

    __tablename__ = "push_messages"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("push_subscriptions.id", ondelete="CASCADE"))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    expires: Mapped[datetime]

    __table_args__ = (Index("ix_push_messages_due", "due"), Index("ix_push_messages_subscription", "subscription_id"))
