"""The summary of probabilities at a place: from single times only, and nothing is dry for want of data."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.probability_summary import summarize_probability

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NONE = np.nan


def summarize(*probability, thresholds=(0.1, 2.0)):
    times = [NOON + timedelta(minutes=5 * (lead + 1)) for lead in range(len(probability[0]))]
    return summarize_probability(np.array(probability, np.float32), thresholds, times)


def minutes(*times):
    return [None if time is None else (time - NOON) / timedelta(minutes=1) for time in times]


def test_when_rain_is_possible_and_likely():
    summary = summarize([0.05, 0.2, 0.6, 0.1, 0.0], [0, 0, 0.3, 0, 0])
    assert minutes(summary.possible_from, summary.possible_until) == [10, 20]
    assert minutes(summary.likely_from, summary.likely_until) == [15, 15]
    assert summary.highest == pytest.approx(0.6)


def test_the_peak_is_as_high_as_single_times_say_at_least():
    summary = summarize([0.95, 0.2], [0.05, 0.5], thresholds=(0.1, 2.0))
    assert (summary.peak.p10, summary.peak.p50, summary.peak.p90) == (0.1, 2, 2)
    assert summarize([0.05], [0.0]).peak.p90 == 0


@pytest.mark.parametrize(
    ("rain", "span"),
    [
        ([NONE, 0.2, 0], [None, 10]),
        ([0.2, 0, NONE], [5, None]),
        ([0, NONE, 0], [None, None]),
        ([0, 0, 0], [None, None]),
    ],
)
def test_missing_data_leaves_open_when_rain_is_possible(rain, span):
    summary = summarize(rain, rain)
    assert minutes(summary.possible_from, summary.possible_until) == span


def test_without_any_data_nothing_is_known():
    summary = summarize([NONE, NONE], [NONE, NONE])
    assert (summary.highest, summary.possible_from, summary.peak.p90) == (None, None, 0)


def test_without_probabilities_or_without_leads_there_is_no_summary():
    assert summarize_probability(np.empty((0, 3)), (), [NOON] * 3) is None
    assert summarize_probability(np.empty((2, 0)), (0.1, 2.0), []) is None


def test_without_a_probability_of_rain_only_the_peak_is_known():
    summary = summarize([0.6, 0.2], thresholds=(2.0,))
    assert (summary.highest, summary.possible_from, summary.peak.p50) == (None, None, 2)
