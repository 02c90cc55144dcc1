"""Which probability limit of a rule would have been best on the feed's own past.

Each nowcast that was judged while it was dry is a case: whether the alert would have been raised then, and whether rain
started within the rule's time. Best is the limit with the highest CSI or, where the rule has the ratio of cost to loss,
with the highest economic value (Richardson 2000, doi:10.1002/qj.49712656313). Of calibrated probabilities that would be
the limits CSI / (1 + CSI) (Lipton et al. 2014, doi:10.1007/978-3-662-44851-9_15) and cost / loss. The score of a limit
that was chosen by the same cases would be too good: each day counts with the limit that the other days suggest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model.core.bootstrap import MIN_DAYS, PERCENTILES, Interval, block_weights, confidence_intervals
from model.core.contingency import ratio
from model.core.warning_condition import TOLERANCE
from model.core.warning_verification import spells_of, starts_within
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.transition import AlertState, Standing, advance
from service.feeds.skill.rule_forecasts import Said

Array = NDArray[np.float64]
LimitScore = Literal["csi", "value"]

LIMITS: Final = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())
"""The limits that are compared."""

FEWEST_STARTS: Final = 20
FEWEST_DAYS: Final = MIN_DAYS
"""Starts of rain that followed a case in time, and days (UTC) with such cases, that a suggestion needs."""

CLEARED: Final = Standing(AlertState.CLEARED)
UNKNOWN: Final = Interval(np.nan, np.nan, np.nan)

HITS, MISSES, FALSE_ALARMS, OTHERS = range(4)
"""Columns of the counts."""


@dataclass(frozen=True, kw_only=True)
class SuggestedLimit:
    """The best limit of the past, and what it was worth.

    Attributes
    ----------
    probability : Interval
        The limit (0 to 1), and where it lies in 95 % of the resamples of the days; NaN where there are too few cases.
    score : {"csi", "value"}
        What it is best for: hits / (hits + misses + false alarms); or the economic value, 1 of a perfect forecast and 0
        of the better one of warning always and never.
    suggested, present, gain : Interval
        That score of the suggestion, of the limit of the rule, and the difference.
    hits, misses, false_alarms : int
        Nowcasts, of the suggestion.
    nowcasts, starts, days : int
        Cases; the starts of rain that followed any in time, as neighbouring cases share one; and days with such cases.
    since, until : datetime, optional
        Reference times of the first and the last of these nowcasts.
    comment : str
        Why there is no suggestion, or what speaks against it; empty where nothing does.
    """

    score: LimitScore
    nowcasts: int
    starts: int
    days: int
    since: datetime | None
    until: datetime | None
    comment: str
    probability: Interval = UNKNOWN
    suggested: Interval = UNKNOWN
    present: Interval = UNKNOWN
    gain: Interval = UNKNOWN
    hits: int = 0
    misses: int = 0
    false_alarms: int = 0


def suggest_limit(
    rule: AlertRule,
    said: Sequence[Said],
    times: Sequence[datetime],
    rain_rate_mm_h: Sequence[float],
    threshold_mm_h: float,
) -> SuggestedLimit:
    """Return the limit of a rule's probability that would have been best.

    Parameters
    ----------
    rule
        A rule with a probability.
    said
        What nowcasts said of it, the oldest first.
    times, rain_rate_mm_h
        What was observed (mm h-1, NaN where it is not known), in order.
    threshold_mm_h
        Rain is at least so much (mm h-1).
    """
    score: LimitScore = "csi" if rule.cost_loss is None else "value"
    rain = np.asarray(rain_rate_mm_h, np.float64)
    at, within = [each.judged for each in said], timedelta(minutes=rule.within or 0.0)
    event = starts_within(at, times, rain, threshold_mm_h, within)
    before_rain = sorted(time for time, follows in zip(at, event.tolist(), strict=True) if follows == 1)
    days = len({time.date() for time in before_rain})
    spells = [spell.start for spell in spells_of(times, rain, threshold_mm_h) if spell.start_known]
    starts = sum(_is_any_within(before_rain, start - within, start) for start in spells)
    shortage = ""
    if starts < FEWEST_STARTS or days < FEWEST_DAYS:
        found = f"{starts} starts of rain on {days} day{'' if days == 1 else 's'} while nowcasts were judged"
        shortage = f"too few cases: {found}, {FEWEST_STARTS} on {FEWEST_DAYS} days are needed"
    cases = SuggestedLimit(
        score=score,
        nowcasts=int(np.isfinite(event).sum()),
        starts=starts,
        days=days,
        since=said[0].reference_time if said else None,
        until=said[-1].reference_time if said else None,
        comment=shortage,
    )
    if shortage or rule.probability is None:
        return cases
    warned = np.stack([warned_by(rule, limit, said) for limit in (*LIMITS, rule.probability)])
    return _best(cases, _counts(warned, event, at), rule.cost_loss)


def _is_any_within(times: Sequence[datetime], first: datetime, end: datetime) -> bool:
    """Return whether any of the times, which are in order, is from `first` on and before `end`."""
    return bisect_left(times, first) < bisect_left(times, end)


def warned_by(rule: AlertRule, limit: float, said: Sequence[Said]) -> NDArray[np.bool_]:
    """Return whether a rule's alert would have been raised after each nowcast [nowcast], with another limit.

    A nowcast that is certain not to reach the limit leaves a cleared alert as it is: most are not looked at.
    """
    clear = limit if rule.clear_probability is None else min(limit, rule.clear_probability)
    may_raise = [number for number, each in enumerate(said) if each.to_raise >= limit - TOLERANCE or not each.certain]
    standing, warned, number = CLEARED, np.zeros(len(said), bool), -1
    while (number := number + 1) < len(said):
        if standing == CLEARED:
            later = bisect_left(may_raise, number)
            if later == len(may_raise):
                break
            number = may_raise[later]
        each, raised = said[number], standing.state is AlertState.RAISED
        reached, needed = (each.to_stay, clear) if raised else (each.to_raise, limit)
        holds = True if reached >= needed - TOLERANCE else False if each.certain else None
        standing = advance(standing, holds, raise_after=rule.raise_after, clear_after=rule.clear_after)
        warned[number] = standing.state is AlertState.RAISED
    return warned


def _counts(warned: NDArray[np.bool_], event: Array, at: Sequence[datetime]) -> Array:
    """Return counts [limit, day, column], given warnings [limit, nowcast] and what followed [nowcast]."""
    dates = [time.date() for time in at]
    known = np.isfinite(event)
    days, day = np.unique(np.array([date.toordinal() for date in dates])[known], return_inverse=True)
    counts = np.zeros((len(warned), len(days), 4))
    for number, of_limit in enumerate(warned[:, known]):
        column = np.where(event[known] > 0, np.where(of_limit, HITS, MISSES), np.where(of_limit, FALSE_ALARMS, OTHERS))
        np.add.at(counts[number], (day, column), 1)
    return counts


def _best(cases: SuggestedLimit, counts: Array, cost_loss: float | None) -> SuggestedLimit:
    """Return the best limit by counts [limit, day, column], of which the last limit is that of the rule."""
    present, counts = counts[-1], counts[:-1]
    days = np.arange(counts.shape[1])
    of_others = np.stack([_chosen(counts.sum(axis=1) - counts[:, day], cost_loss) for day in days])
    own = counts[of_others, days]
    weights = block_weights(len(days))
    suggested, at_present = (_score(weights @ each, cost_loss) for each in (own, present))
    gain = confidence_intervals(suggested - at_present).at()
    limits = np.asarray(LIMITS)[_chosen(np.einsum("sd,ldc->lsc", weights, counts), cost_loss)]
    low, high = np.percentile(limits[1:], PERCENTILES)
    total = own.sum(axis=0).astype(int)
    return replace(
        cases,
        comment="" if gain.low > 0 else "these cases do not tell whether it is better than the limit of the rule",
        probability=Interval(float(limits[0]), float(low), float(high)),
        suggested=confidence_intervals(suggested).at(),
        present=confidence_intervals(at_present).at(),
        gain=gain,
        hits=int(total[HITS]),
        misses=int(total[MISSES]),
        false_alarms=int(total[FALSE_ALARMS]),
    )


def _score(counts: Array, cost_loss: float | None) -> Array:
    """Return the score [..] of counts [.., column]; NaN where nothing can be told."""
    hits, misses, alarms, others = np.moveaxis(counts, -1, 0)
    if cost_loss is None:
        return ratio(hits, hits + misses + alarms)
    events, number = hits + misses, hits + misses + alarms + others
    without = np.minimum(cost_loss * number, events)  # the loss is 1
    return ratio(without - cost_loss * (hits + alarms) - misses, without - cost_loss * events)


def _chosen(counts: Array, cost_loss: float | None) -> NDArray[np.int64]:
    """Return the index of the best limit [..] by counts [limit, .., column]; of equal ones, that in their middle."""
    scores = np.nan_to_num(_score(counts, cost_loss), nan=-1e9)
    best = scores >= scores.max(axis=0) - 1e-9
    middle = (best.sum(axis=0) + 1) // 2
    return np.asarray(np.argmax(np.cumsum(best, axis=0) >= middle, axis=0), np.int64)
