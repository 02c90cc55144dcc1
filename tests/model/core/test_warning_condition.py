"""Whether the condition of a warning holds. What is not known is never dry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.warning_condition import Judgement, WarningCondition, judge_condition, reached_probability

NOW = datetime(2026, 6, 1, 12, 7, tzinfo=UTC)
NO = np.nan


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def judged(rates, chances=None, *, first: float = -2, step: float = 5, complete=True, **condition) -> Judgement:
    """Judge series whose lead steps begin `first` minutes after now."""
    times = [after(first + step * number) for number in range(len(rates))]
    values = {"within_minutes": 20, "rain_rate_mm_h": 5, **condition}
    return judge_condition(
        WarningCondition(**values), times, NOW, rain_rate_mm_h=rates, probability=chances, complete=complete
    )


def test_the_first_lead_step_that_reaches_the_rate_is_the_onset() -> None:
    found = judged([9, 0, 4.9, 5, 7, 99])
    assert (found.holds, found.onset, found.lead_minutes) == (True, after(13), 13)
    assert found.rain_rate_mm_h == 7, "the last one is beyond 20 min"


def test_lead_steps_that_have_passed_and_those_beyond_do_not_count() -> None:
    assert judged([9, 0, 0, 0, 0, 9]).holds is False


@pytest.mark.parametrize(
    ("rates", "holds"),
    [([0, 0, NO, 0, 0, 0], None), ([0, 0, NO, 6, 0, 0], True), ([NO] * 6, None), ([0, 0], None), ([9], None)],
)
def test_what_is_not_known_neither_holds_nor_is_dry(rates: list[float], holds: bool | None) -> None:
    found = judged(rates)
    assert found.holds is holds
    assert bool(found.reason) == (holds is None)


def test_a_forecast_that_ends_too_early_says_how_far_it_reaches() -> None:
    assert judged([0, 0, 0, 0]).reason == "the forecast reaches 13 min from now, less than 20"
    assert judged([0] * 5).holds is False, "its next lead step would lie beyond 20 min"


def test_a_probability_counts_where_it_is_asked_for() -> None:
    rates, chances = [0, 0, 0, 0, 0, 0], [1, 0.1, 0.4, 0.2, 0.1, 0.1]
    of_probability = {"rain_rate_mm_h": None, "probability": 0.4}
    found = judged(rates, np.float32(chances), **of_probability)
    assert (found.holds, found.lead_minutes, found.probability) == (True, 8, pytest.approx(0.4))
    assert judged(rates, None, **of_probability).holds is None, "the forecast has no probabilities"
    assert judged(rates, [NO] * 6, **of_probability).holds is None


@pytest.mark.parametrize(
    ("rate", "chance", "both", "either"),
    [
        (9, 0.9, True, True),
        (9, 0.1, False, True),
        (0, 0.1, False, False),
        (9, NO, None, True),
        (0, NO, False, None),
        (NO, 0.1, False, None),
        (NO, NO, None, None),
    ],
)
def test_both_or_either(rate: float, chance: float, both: bool | None, either: bool | None) -> None:
    for either_suffices, holds in ((False, both), (True, either)):
        found = judged([rate] * 6, [chance] * 6, probability=0.5, either=either_suffices)
        assert found.holds is holds


def test_lower_bounds_may_hold_and_are_never_dry() -> None:
    complete = [True, True, False, True, True, True]
    assert judged([0, 0, 6, 0, 0, 0], complete=complete).holds is True
    assert judged([0, 0, 4, 0, 0, 0], complete=complete).holds is None
    assert judged([0, 0, 4, 0, 0, 0]).holds is False


def test_one_lead_step_reaches_both() -> None:
    assert judged([0, 9, 0, 0, 0, 0], [0, 0, 0.9, 0, 0, 0], probability=0.5).holds is False


def test_a_condition_asks_for_something() -> None:
    with pytest.raises(ValueError, match="needs"):
        WarningCondition(within_minutes=20)


@pytest.mark.parametrize(
    ("rates", "chances", "condition", "expected"),
    [
        ([0] * 6, [1, 0.1, 0.4, 0.2, 0.1, 0.1], {"rain_rate_mm_h": None}, (0.4, True)),
        ([0, 0, 0, 6, 0, 0], [1, 0.1, 0.4, 0.2, 0.1, 0.1], {}, (0.2, True)),  # one lead step reaches both
        ([0] * 6, [1, 0.1, 0.4, 0.2, 0.1, 0.1], {}, (0, True)),
        ([0, 0, 0, 6, 0, 0], [0] * 6, {"either": True}, (1, False)),  # at any limit
        ([0] * 6, [1, 0.1, NO, 0.2, 0.1, 0.1], {"rain_rate_mm_h": None}, (0.2, False)),
    ],
)
def test_up_to_which_limit_a_probability_suffices(rates, chances, condition, expected) -> None:
    times = [after(-2 + 5 * number) for number in range(6)]
    of_rule = WarningCondition(**{"within_minutes": 20, "rain_rate_mm_h": 5, "probability": 0.7, **condition})
    found = reached_probability(of_rule, times, NOW, rain_rate_mm_h=rates, probability=chances)
    assert (found.probability, found.certain) == (pytest.approx(expected[0]), expected[1])
