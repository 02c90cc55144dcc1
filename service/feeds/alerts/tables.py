"""The ledger's tables of alerts: their states, the events that changed them, and the messages about the events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from sqlalchemy import JSON, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from service.feeds.alerts.transition import AlertState, Change, Standing
from service.jobs.base import Base, text_enum
from service.jobs.outbox import Delivery


class Evidence(TypedDict):
    """What a judgement rests on; absent where there is none.

    `onset`: the lead step from which the condition holds (RFC 3339). `lead_minutes`: the time to it. `rain_rate` (mm/h)
    and `probability`: the highest ones within the time of the rule.
    """

    onset: NotRequired[str]
    lead_minutes: NotRequired[float]
    rain_rate: NotRequired[float]
    probability: NotRequired[float]


class Judged(MappedAsDataclass, kw_only=True):
    """The columns of what is judged by one nowcast after another.

    `since`: when it came into its state. `reference_time`, `revision`: of the newest nowcast by which it was judged, or
    when the feed was. `previous_state`, `previous_streak`: those of before that nowcast, from which a nowcast that
    corrects it is judged.
    """

    state: Mapped[AlertState] = mapped_column(text_enum(AlertState), default=AlertState.UNKNOWN)
    streak: Mapped[int] = mapped_column(default=0)
    since: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    reference_time: Mapped[datetime | None] = mapped_column(default=None)
    revision: Mapped[int] = mapped_column(default=0)
    previous_state: Mapped[AlertState] = mapped_column(text_enum(AlertState), default=AlertState.UNKNOWN)
    previous_streak: Mapped[int] = mapped_column(default=0)

    @property
    def standing(self) -> Standing:
        """Its state and streak."""
        return Standing(self.state, self.streak)

    @property
    def previous(self) -> Standing:
        """Those of before the newest nowcast."""
        return Standing(self.previous_state, self.previous_streak)


class Alert(Judged, Base, kw_only=True):
    """The state of one rule.

    `digest`: of the rule by which it was judged, taken up at `taken_up`. `unknown_since`: since when the rule cannot be
    judged; `unknown_told`: an event has said so. `reason`: why it cannot be judged, or what was found of the feed.
    `channels`: where to tell that the rule is removed.
    """

    __tablename__ = "alerts"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    rule: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    severity: Mapped[str] = mapped_column(String(16))
    channels: Mapped[list[str]] = mapped_column(JSON)
    taken_up: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    unknown_since: Mapped[datetime | None] = mapped_column(default=None)
    unknown_told: Mapped[bool] = mapped_column(server_default=false(), default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    evidence: Mapped[Evidence] = mapped_column(JSON, default_factory=lambda: Evidence())


class AlertEvent(Base, kw_only=True):
    """A change of an alert. `id`: the digest of rule, reference time, revision and change, so that each happens once.

    `number`: counts the events of all feeds without a gap, in the order in which they can be read. `reference_time`,
    `revision`: of the nowcast that made the change; of other changes the time at which it was found.
    """

    __tablename__ = "alert_events"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    feed: Mapped[str] = mapped_column(String(128))
    rule: Mapped[str] = mapped_column(String(128))
    change: Mapped[Change] = mapped_column(text_enum(Change))
    severity: Mapped[str] = mapped_column(String(16))
    reference_time: Mapped[datetime]
    revision: Mapped[int]
    title: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    evidence: Mapped[Evidence] = mapped_column(JSON)
    occurred: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))

    __table_args__ = (Index("ix_alert_events_feed", "feed", "rule", "number"),)


class AlertDelivery(Delivery, Base, kw_only=True):
    """The message about an event to one channel.

    `id`: that of the event, and the position of the channel. `url`: as the rule has it, `${NAME}` not replaced.
    `deferred`: it waits for the end of quiet hours or of the rule's `min_interval`. `withdrawn`: the alert changed back
    meanwhile, and nothing is left to tell.
    """

    __tablename__ = "alert_deliveries"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("alert_events.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(Text)
    deferred: Mapped[bool] = mapped_column(server_default=false(), default=False)
    withdrawn: Mapped[datetime | None] = mapped_column(default=None)

    __table_args__ = (Index("ix_alert_deliveries_due", "due"), Index("ix_alert_deliveries_event", "event_id"))
