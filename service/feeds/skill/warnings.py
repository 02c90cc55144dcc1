"""How well the alerts of a feed warned: each rule on a place or an area, by what was observed there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select

from model.core.warning_verification import Warned, WarningCounts, verify_warnings
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.config import Feed
from service.feeds.skill.observations import Observations, place_of_rule
from service.feeds.skill.rule_forecasts import RuleForecasts
from service.feeds.skill.tables import Source
from service.feeds.skill.warning_limit import SuggestedLimit, suggest_limit
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
    observations, None without any. `suggestion`: the limit of its probability that would have been best on all that is
    kept of the past; None of a rule without a probability.
    """

    rule: AlertRule
    truth: Source
    threshold_mm_h: float
    counts: WarningCounts
    since: datetime | None
    until: datetime | None
    suggestion: SuggestedLimit | None

    @property
    def shortage(self) -> str:
        """Why there are too few cases for a conclusion; empty where there are enough."""
        if self.counts.starts >= FEWEST_STARTS:
            return ""
        return f"too few cases: {self.counts.starts} starts of rain, {FEWEST_STARTS} are needed"


class SuggestedLimits:
    """The suggestions for the rules of a ledger, each kept until more is known: it takes all that is kept of the past.

    Parameters
    ----------
    ledger
        Where that is.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[tuple[str, str], tuple[object, SuggestedLimit]] = {}

    def of(self, feed: str, rule: AlertRule, threshold_mm_h: float) -> SuggestedLimit:
        """Return the limit that is suggested for a rule with a probability, about rain of a threshold (mm h-1)."""
        forecasts, observations = RuleForecasts(self._ledger), Observations(self._ledger)
        known = forecasts.extent(feed, rule.watched()), observations.extent(feed, place_of_rule(rule))
        kept = self._kept.get((feed, rule.name))
        if kept is None or kept[0] != (rule, known):
            said = forecasts.of(feed, rule.watched())
            since = said[0].reference_time if said else datetime.now(UTC)
            _, times, rates = _observed(self._ledger, feed, rule, since)
            kept = (rule, known), suggest_limit(rule, said, times, rates, threshold_mm_h)
            self._kept[feed, rule.name] = kept
        return kept[1]


def verify_rules(ledger: Ledger, feed: Feed, since: datetime, suggested: SuggestedLimits) -> list[RuleSkill]:
    """Verify the rules on places and areas by what was observed since a time.

    Events from before a rule was changed do not count.
    """
    alerts = {alert.rule: alert for alert in AlertLedger(ledger).alerts(feed.name)}
    found = []
    for rule in feed.alert:
        if rule.watches == "feed":
            continue
        threshold = min(limit for limit in (rule.rain_rate, rule.threshold) if limit is not None)
        suggestion = None if rule.probability is None else suggested.of(feed.name, rule, threshold)
        truth, times, rates = _observed(ledger, feed.name, rule, since)
        alert = alerts.get(rule.name)
        warnings = [] if alert is None else _warned(ledger, feed.name, rule.name, since, alert.taken_up)
        counts = verify_warnings(warnings, times, rates, threshold, timedelta(minutes=rule.within or 0.0))
        first, last = (times[0], times[-1]) if times else (None, None)
        found.append(
            RuleSkill(
                rule=rule,
                truth=truth,
                threshold_mm_h=threshold,
                counts=counts,
                since=first,
                until=last,
                suggestion=suggestion,
            )
        )
    return found


def _observed(
    ledger: Ledger, feed: str, rule: AlertRule, since: datetime
) -> tuple[Source, list[datetime], list[float]]:
    """Return what was observed where a rule looks since a time: by what, times, and rates (mm h-1, NaN: not known)."""
    truth, rows = Observations(ledger).at(feed, place_of_rule(rule), since)
    rates = [float("nan") if row.rain_rate is None else row.rain_rate for row in rows]
    return truth, [row.valid_time for row in rows], rates


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
