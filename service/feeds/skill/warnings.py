"""How well the alerts of a feed warned: each rule on a place, by what was observed there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from model.core.warning_verification import Warned, WarningCounts, verify_warnings
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.config import Feed
from service.feeds.skill.observations import Observations
from service.feeds.skill.tables import Source, place_of
from service.jobs.database import load
from service.jobs.ledger import Ledger

BEFORE: Final = timedelta(days=1)
"""Alerts that were raised so long before the window may be raised when it begins."""

FEWEST_STARTS: Final = 10
"""Observed starts of rain that a conclusion needs."""


@dataclass(frozen=True, kw_only=True)
class RuleSkill:
    """What a rule's warnings were worth.

    `truth`: what they are compared with. `threshold_mm_h`: of the rain that the rule is about. `since`, `until`: of the
    observations, None without any.
    """

    rule: AlertRule
    truth: Source
    threshold_mm_h: float
    counts: WarningCounts
    since: datetime | None
    until: datetime | None

    @property
    def shortage(self) -> str:
        """Why there are too few cases for a conclusion; empty where there are enough."""
        if self.counts.starts >= FEWEST_STARTS:
            return ""
        return f"too few cases: {self.counts.starts} starts of rain, {FEWEST_STARTS} are needed"


def verify_rules(ledger: Ledger, feed: Feed, since: datetime) -> list[RuleSkill]:
    """Verify the rules on places by what was observed since a time.

    Events from before a rule was changed do not count.
    """
    alerts = {alert.rule: alert for alert in AlertLedger(ledger).alerts(feed.name)}
    found = []
    for rule in feed.alert:
        if rule.lon is None or rule.lat is None:
            continue
        truth, observed = Observations(ledger).at(feed.name, place_of(rule.lon, rule.lat), since)
        times = [row.valid_time for row in observed]
        rates = [float("nan") if row.rain_rate is None else row.rain_rate for row in observed]
        alert = alerts.get(rule.name)
        warnings = [] if alert is None else _warned(ledger, feed.name, rule.name, since, alert.taken_up)
        threshold = min(limit for limit in (rule.rain_rate, rule.threshold) if limit is not None)
        counts = verify_warnings(warnings, times, rates, threshold, timedelta(minutes=rule.within or 0.0))
        first, last = (times[0], times[-1]) if times else (None, None)
        skill = RuleSkill(rule=rule, truth=truth, threshold_mm_h=threshold, counts=counts, since=first, until=last)
        found.append(skill)
    return found


def _warned(ledger: Ledger, feed: str, rule: str, since: datetime, taken_up: datetime) -> list[Warned]:
    """Return the warnings of a rule by its events. What was raised is cleared by the next event that says so."""
    query = select(AlertEvent).where(AlertEvent.feed == feed, AlertEvent.rule == rule)
    query = query.where(AlertEvent.reference_time >= since - BEFORE, AlertEvent.occurred >= taken_up)
    found: list[Warned] = []
    for event in load(ledger.engine, query.order_by(AlertEvent.number)):
        if event.change is Change.RAISED:
            onset = event.evidence.get("onset")
            expected = None if onset is None else datetime.fromisoformat(onset)
            ahead = timedelta(minutes=event.evidence.get("lead_minutes", 0.0))
            raised = event.reference_time if expected is None else expected - ahead
            found.append(Warned(raised=raised, onset=expected))
        elif event.change is Change.CLEARED and found and found[-1].cleared is None:
            last = found[-1]
            found[-1] = Warned(raised=last.raised, onset=last.onset, cleared=event.reference_time)
    return found
