"""What the warnings of a feed were worth, as the route responds with it. The functions block."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from model.core.bootstrap import Interval
from service.api.context import GatewayContext
from service.api.feeds.skill_types import FeedWarningSkill, RuleSkill, Score, SuggestedProbability
from service.feeds.config import Feed
from service.feeds.skill import warnings
from service.feeds.skill.warning_limit import SuggestedLimit

DIGITS: Final = 3


def warning_skill(context: GatewayContext, feed: Feed, hours: float) -> FeedWarningSkill:
    """Return the verification of each rule on a place or an area, of a window up to the newest frame."""
    newest = context.feed_ledger.newest_time(feed.name) or datetime.now(UTC)
    found = warnings.verify_rules(context.ledger, feed, newest - timedelta(hours=hours), context.suggested_limits)
    return FeedWarningSkill(feed=feed.name, window_hours=hours, rules=[_rule(skill) for skill in found])


def _rule(skill: warnings.RuleSkill) -> RuleSkill:
    counts = skill.counts
    errors = counts.onset_errors_minutes
    return RuleSkill(
        rule=skill.rule.name,
        watches="point" if skill.rule.area is None else "area",
        enough=not skill.shortage,
        comment=skill.shortage,
        truth=skill.truth,
        threshold_mm_h=skill.threshold_mm_h,
        within_minutes=skill.rule.within or 0.0,
        observed_since=skill.since,
        observed_until=skill.until,
        starts=counts.starts,
        hits=counts.hits,
        late=counts.late,
        misses=counts.misses,
        warnings=counts.warnings,
        false_alarms=counts.false_alarms,
        while_raining=counts.while_raining,
        open=counts.open,
        pod=_share(counts.hits, counts.starts),
        false_alarm_ratio=_share(counts.false_alarms, counts.warnings),
        late_share=_share(counts.late, counts.starts),
        onset_error_minutes=round(sum(errors) / len(errors), 1) if errors else None,
        onset_absolute_error_minutes=round(sum(map(abs, errors)) / len(errors), 1) if errors else None,
        suggested_probability=None if skill.suggestion is None else _suggestion(skill.suggestion),
    )


def _suggestion(found: SuggestedLimit) -> SuggestedProbability:
    return SuggestedProbability(
        probability=_score(found.probability),
        comment=found.comment,
        best_for=found.score,
        suggested=_score(found.suggested),
        present=_score(found.present),
        gain=_score(found.gain),
        hits=found.hits,
        misses=found.misses,
        false_alarms=found.false_alarms,
        starts=found.starts,
        days=found.days,
        nowcasts=found.nowcasts,
        since=found.since,
        until=found.until,
    )


def _score(found: Interval) -> Score:
    value, low, high = (
        round(each, DIGITS) if math.isfinite(each) else None for each in (found.value, found.low, found.high)
    )
    return Score(value=value, low=low, high=high)


def _share(number: int, total: int) -> float | None:
    return round(number / total, DIGITS) if total else None
