"""An event of an alert as others see it: what routes respond with, streams send, and webhooks carry."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from service.feeds.alerts.rule import Severity
from service.feeds.alerts.tables import AlertEvent
from service.feeds.alerts.transition import Change
from service.status import Link


class AlertEventInfo(BaseModel):
    """A change of an alert."""

    id: str = Field(
        description="Of the event, the same in every try to deliver it.", examples=["0b5f1e2a9c3d4e5f8a7b6c5d4e3f2a1b"]
    )
    number: int = Field(description="Counts the events of all feeds: a stream resumes after it. 0: a test.")
    feed: str = Field(examples=["helsinki"])
    rule: str = Field(examples=["underpass"])
    change: Change = Field(
        description="`raised`; `cleared`; `unknown`: the rule could not be judged for a while; `known`: it can again."
    )
    severity: Severity
    title: str
    message: str
    reference_time: datetime = Field(
        description="Of the nowcast that made the change; where there is none, when it was found."
    )
    revision: int = Field(description="How often the frame at the reference time was issued again.")
    occurred: datetime
    onset: datetime | None = Field(default=None, description="The first lead step at which the condition holds.")
    lead_minutes: float | None = Field(default=None, description="Minutes to `onset`, when the nowcast was judged.")
    rain_rate: float | None = Field(default=None, description="Highest rain rate (mm/h) within the time of the rule.")
    probability: float | None = Field(default=None, description="Highest probability within the time of the rule.")
    test: bool = Field(False, description="Whether it is a test of the channels.")
    links: list[Link]


def event_info(event: AlertEvent) -> AlertEventInfo:
    """Return an event as the ledger has it."""
    return AlertEventInfo.model_validate(
        {
            "id": event.id,
            "number": event.number,
            "feed": event.feed,
            "rule": event.rule,
            "change": event.change,
            "severity": event.severity,
            "title": event.title,
            "message": event.message,
            "reference_time": event.reference_time,
            "revision": event.revision,
            "occurred": event.occurred,
            "links": [alerts_link(event.feed)],
            **event.evidence,
        }
    )


def alerts_link(feed: str) -> Link:
    """Return the link to the alerts of a feed."""
    return Link(rel="related", href=f"/v1/feeds/{feed}/alerts", type="application/json", title="Alerts of the feed")
