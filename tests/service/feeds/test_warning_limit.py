"""Which limit of a probability would have been best: what a rule would have done with another one, and theory."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from service.feeds.alerts.rule import AlertRule
from service.feeds.skill.rule_forecasts import Said
from service.feeds.skill.warning_limit import suggest_limit, warned_by

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def rule_of(**keys):
    return AlertRule(name="town", lon=5, lat=52, threshold=2, within=60, **{"probability": 0.5, **keys})


def said(chances, certain=None):
    """What nowcasts every 10 min say of a rule."""
    known = [True] * len(chances) if certain is None else certain
    times = [NOON + timedelta(minutes=10 * number) for number in range(len(chances))]
    return [
        Said(reference_time=time, judged=time, to_raise=chance, to_stay=chance, certain=each)
        for time, chance, each in zip(times, chances, known, strict=True)
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [0, 1, 0, 1, 1, 0, 0]),
        ({"clear_probability": 0.2}, [0, 1, 1, 1, 1, 1, 0]),
        ({"raise_after": 2}, [0, 0, 0, 0, 1, 0, 0]),
        ({"clear_after": 2}, [0, 1, 1, 1, 1, 1, 0]),
        ({"probability": 0.9, "clear_probability": 0.8}, [0, 1, 0, 1, 1, 0, 0]),  # it clears at most at the new limit
    ],
)
def test_with_another_limit_a_rule_raises_and_clears_by_its_other_keys(keys, expected):
    chances = [0.1, 0.6, 0.3, 0.5, 0.7, 0.2, 0.1]
    assert warned_by(rule_of(**keys), 0.5, said(chances)).tolist() == expected


def test_missing_data_neither_clears_nor_raises():
    chances, certain = [0.6, 0.1, 0.1, 0.1, 0.1], [True, False, False, True, False]
    assert warned_by(rule_of(), 0.5, said(chances, certain)).tolist() == [1, 1, 1, 0, 0]


def test_of_calibrated_probabilities_the_best_limit_is_the_one_of_theory():
    """Hours of their own: of each it is said how likely it rains, and so often it does."""
    random = np.random.default_rng(4)
    hourly = random.uniform(0, 0.9, 3000)
    rains = random.random(3000) < hourly
    chances, rain = [], []
    for chance, wet in zip(hourly.tolist(), rains.tolist(), strict=True):
        chances += [chance, 0, 0, 0, 0, 0, 0, 0]
        rain += [0, 0, 0, 0, 5 if wet else 0, 0, 0, 0]
    spoken = [each for number, each in enumerate(said(chances)) if number % 8 == 0]
    times = [NOON + timedelta(minutes=10 * number) for number in range(len(rain))]
    for cost_loss in (0.2, 0.5):
        found = suggest_limit(rule_of(cost_loss=cost_loss), spoken, times, rain, 2.0)
        assert found.probability.value == pytest.approx(cost_loss, abs=0.05)
        assert found.probability.low <= cost_loss <= found.probability.high
    found = suggest_limit(rule_of(probability=0.9), spoken, times, rain, 2.0)
    csi = found.suggested.value
    assert found.probability.value == pytest.approx(csi / (1 + csi), abs=0.05)
    assert found.gain.low > 0


@pytest.mark.parametrize("judged_days", [0, 1, 2, 4])
def test_rain_after_nowcasts_are_no_longer_judged_is_no_case(judged_days):
    """It rains four times a day for ten days, of which only the first ones have nowcasts."""
    times = [NOON + timedelta(minutes=10 * number) for number in range(10 * 144)]
    rain = [5.0 if number % 36 in (20, 21, 22) else 0.0 for number in range(len(times))]
    found = suggest_limit(rule_of(), said([0.6] * (144 * judged_days or 1)), times, rain, 2.0)
    assert (found.starts, np.isnan(found.probability.value)) == (4 * judged_days, True)
    assert found.comment.startswith(f"too few cases: {4 * judged_days} starts of rain on ")
    unknown = suggest_limit(rule_of(), said([0.6] * 144), times, [np.nan] * len(times), 2.0)
    assert (unknown.nowcasts, unknown.starts, unknown.days) == (0, 0, 0)
