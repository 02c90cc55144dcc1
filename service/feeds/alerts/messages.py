"""What events of alerts say to people."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from model.core.warning_condition import Judgement
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.transition import Change

WORDS: Final = {
    Change.RAISED: "raised",
    Change.CLEARED: "cleared",
    Change.UNKNOWN: "cannot be judged",
    Change.KNOWN: "can be judged again",
}
REMOVED: Final = "The rule is no longer in the file of feeds; what it watches was not judged again."


def title_of(feed: str, rule: str, change: Change, severity: str) -> str:
    """Return the title of a message, such as "underpass raised (severe), feed helsinki"."""
    return f"{rule} {WORDS[change]} ({severity}), feed {feed}"


def text_of(
    rule: AlertRule, change: Change, judgement: Judgement, reference_time: datetime | None, revision: int
) -> str:
    """Return the text about a change.

    Parameters
    ----------
    rule, change
        The rule, and what has become of its alert.
    judgement
        What was found. Of a rule on the feed, `reason` is its health.
    reference_time, revision
        Of the nowcast by which a rule on rain was judged; with a revision, its frame was issued again.
    """
    if rule.watches == "feed":
        return f"{judgement.reason[:1].upper()}{judgement.reason[1:]}."
    if change is Change.UNKNOWN:
        minutes = rule.unknown_after or 0.0
        return f"It is not known whether it will rain, for {minutes:g} min now: {judgement.reason}."
    by = "" if reference_time is None else f" By the nowcast from {_clock(reference_time, rule)}"
    by += ", whose frame was issued again." if revision and by else "." if by else ""
    span = f"within {rule.within or 0:g} min"
    if judgement.holds:
        when = ""
        if judgement.onset is not None and judgement.lead_minutes is not None:
            when = f", from {_clock(judgement.onset, rule)} (in {judgement.lead_minutes:.0f} min)"
        return f"Expected {span}{when}: {_found(judgement)}. The limit is {_limit(rule)}.{by}"
    return f"Not expected {span}: {_found(judgement)}. The limit is {_limit(rule)}.{by}"


def _clock(time: datetime, rule: AlertRule) -> str:
    return f"{time.astimezone(rule.zone):%H:%M %Z}"


def _limit(rule: AlertRule) -> str:
    parts = []
    if rule.rain_rate is not None:
        parts.append(f"{rule.rain_rate:g} mm/h")
    if rule.probability is not None:
        parts.append(f"{rule.probability:.0%} for {rule.threshold or 0:g} mm/h")
    return (" or " if rule.either else " and ").join(parts)


def _found(judgement: Judgement) -> str:
    """Return the highest values within the time of the rule."""
    parts = []
    if judgement.rain_rate_mm_h is not None:
        parts.append(f"up to {judgement.rain_rate_mm_h:.1f} mm/h")
    if judgement.probability is not None:
        parts.append(f"a probability of up to {judgement.probability:.0%}")
    return ", ".join(parts) or "no data"
