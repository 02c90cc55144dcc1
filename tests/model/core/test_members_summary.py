"""What the members say of one place."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.members_summary import summarize_members
from model.core.packing import quantize

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
NONE = np.nan


def summarize(members, *, now=0.0, step=5.0):
    leads = step * np.arange(1, len(members[0]) + 1)
    times = [START + timedelta(minutes=float(lead)) for lead in leads]
    return summarize_members(np.array(members, float), times, leads.tolist(), now_mm_h=now)


def minutes(time):
    return None if time is None else (time - START) / timedelta(minutes=1)


def of(item):
    """Share, and minutes of the percentiles."""
    return item.probability, [minutes(time) for time in (item.p10, item.p50, item.p90)]


def starting_at(*steps, leads=12):
    """One member for each step, in which it rains for one step; None: it stays dry."""
    members = np.zeros((len(steps), leads))
    for member, step in zip(members, steps, strict=True):
        if step is not None:
            member[step - 1] = 1.0
    return members


def test_the_range_is_over_the_members_that_start_and_their_share_is_told():
    summary = summarize(starting_at(2, 3, 3, 4, 4, 5, 5, 6, 8, None, None, None))
    assert summary.count == 12
    assert of(summary.start) == (0.75, [10, 20, 40])
    assert of(summary.end) == (1, [15, 25, 45])


def test_one_member_in_ten_starts_before_the_range_and_one_after():
    """So that a further member lies in the range in 80 % of cases."""
    summary = summarize(starting_at(*range(1, 20), leads=24))
    assert of(summary.start) == (1, [10, 50, 90])


def test_rain_in_no_member_has_no_start_and_no_end():
    summary = summarize(starting_at(None, None, None))
    assert of(summary.start) == (0, [None] * 3)
    assert of(summary.end) == (None, [None] * 3)
    assert [chance.probability for chance in summary.next_hour.chances] == [0, 0, 0, 0]
    assert summary.total_mm.p90 == 0


def test_where_it_rains_already_the_end_comes_first_and_the_start_is_that_of_the_next_rain():
    members = [[1, 0, 0, 0], [1, 1, 0, 2], [0, 0, 0, 0], [1, 1, 1, 1]]
    summary = summarize(members, now=2.0)
    assert of(summary.end) == (0.75, [5, 10, 15])
    assert of(summary.start) == (0.25, [20, 20, 20])


def test_missing_data_that_would_decide_makes_the_answer_unknown():
    """No start is known of the second member: it may rain while there is no data."""
    summary = summarize([[0, 1, 0, 0], [0, NONE, NONE, 0]])
    assert of(summary.start) == of(summary.end) == (None, [None] * 3)
    assert [chance.probability for chance in summary.next_hour.chances] == [None] * 4
    assert (summary.total_mm.p10, summary.total_mm.p90) == (None, None)


def test_missing_data_after_the_answer_is_known_changes_nothing():
    summary = summarize([[1, 0, NONE, NONE], [0, 1, 0, NONE]])
    assert of(summary.start) == (1, [5, 10, 10])
    assert of(summary.end) == (1, [10, 15, 15])
    chances = {chance.threshold_mm_h: chance.probability for chance in summary.next_hour.chances}
    assert chances == {0.1: 1, 2: None, 5: None, 10: None}


def test_a_start_after_missing_data_is_unknown():
    """It may have rained before."""
    summary = summarize([[NONE, 0, 1, 0], [NONE, 0, 1, 0]])
    assert of(summary.start) == of(summary.end) == (None, [None] * 3)
    raining = summarize([[1, 0, NONE, 1], [1, 0, NONE, 1]], now=1.0)
    assert of(raining.start) == (None, [None] * 3)
    assert of(raining.end) == (1, [10, 10, 10])


def test_an_end_within_missing_data_is_unknown():
    summary = summarize([[1, NONE, 0, 0], [1, 0, 0, 0]])
    assert of(summary.start)[0] == 1
    assert of(summary.end) == (None, [None] * 3)


def test_a_place_without_data_has_no_probability_at_all():
    summary = summarize(np.full((4, 12), np.nan))
    assert of(summary.start) == of(summary.end) == (None, [None] * 3)
    assert [chance.probability for chance in summary.next_hour.chances] == [None] * 4
    assert summary.total_mm.p50 is None


def test_chances_are_those_of_any_time_within_the_hour():
    """Two members have 5 mm/h at different times: at each time 1 in 4, within the hour 2 in 4."""
    members = np.zeros((4, 14))
    members[0, 2] = members[1, 9] = 5.0
    members[2, 12:] = 20.0
    summary = summarize(members)
    assert summary.next_hour.within_minutes == 60
    chances = {chance.threshold_mm_h: chance.probability for chance in summary.next_hour.chances}
    assert chances == {0.1: 0.5, 2: 0.5, 5: 0.5, 10: 0}


def test_a_short_forecast_says_how_far_it_reaches():
    assert summarize(np.zeros((2, 6))).next_hour.within_minutes == 30
    beyond = summarize(np.zeros((2, 2)), step=90.0).next_hour
    assert (beyond.within_minutes, beyond.chances[0].probability) == (0, None)


def test_rain_rates_as_stored_reach_their_thresholds():
    stored = quantize(np.array([[0.1], [2.0], [5.0], [10.0]], np.float32))
    chances = summarize(stored).next_hour.chances
    assert [chance.probability for chance in chances] == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(("step", "leads"), [(5.0, 12), (10.0, 6)])
def test_the_total_is_in_mm(step, leads):
    """Rain of 0, 1, .. 18 mm/h for an hour."""
    members = np.repeat(np.arange(19.0)[:, None], leads, axis=1)
    total = summarize(members, step=step).total_mm
    assert (total.p10, total.p50, total.p90) == pytest.approx((1, 9, 17))


def test_the_peak_is_that_of_each_member():
    peak = summarize([[0, 0], [1, 5], [2, 0]]).peak
    assert (peak.p10, peak.p50, peak.p90) == (0, 2, 5)
    assert summarize([[0, np.nan], [1, 5], [2, 0]]).peak.p50 is None
