"""The summary of the forecast for one place."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.point_summary import summarize_point

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
NONE = np.nan


def times(count):
    return [START + timedelta(minutes=5 * (lead + 1)) for lead in range(count)]


@pytest.mark.parametrize(
    ("now", "ahead", "state", "starts", "ends"),
    [
        (0, [0, 0, 0], "dry", None, None),
        (0, [0, NONE, 0], "dry-where-known", None, None),
        (NONE, [NONE, NONE], "no-data", None, None),
        (0, [0, 2, 0], "rain-coming", 10, 15),
        (NONE, [2, 2], "rain-coming", 5, None),
        (0, [2, NONE, 0], "rain-coming", 5, None),
        (2, [1, 0, 3], "raining", 15, 10),
        (2, [2, 2], "raining", None, None),
        (2, [0, 0], "raining", None, 5),
        (2, [NONE, 1], "raining", None, None),
        (2, [NONE, 0, 1], "raining", 15, None),
        (2, [0, NONE, 1], "raining", 15, 5),
        (0, [0.09, 0.1], "rain-coming", 10, None),
    ],
)
def test_state_start_and_end(now, ahead, state, starts, ends):
    summary = summarize_point(ahead, times(len(ahead)), now_mm_h=now)
    at = [None if time is None else (time - START) / timedelta(minutes=1) for time in (summary.starts, summary.ends)]
    assert (summary.state, *at) == (state, starts, ends)


def test_peak_and_frames_without_data():
    summary = summarize_point([NONE, 2, 5, 5], times(4))
    assert (summary.peak, summary.peak_time, summary.frames_without_data) == (5, times(3)[-1], 1)
    assert summarize_point([0.05, NONE], times(2)).peak is None


def test_the_total_counts_each_rate_since_the_step_before():
    leads = [4, 9, 14]
    assert summarize_point([6, 0, 12], times(3), lead_minutes=leads).total_mm == pytest.approx((6 * 4 + 12 * 5) / 60)
    assert summarize_point([6, NONE, 12], times(3), lead_minutes=leads).total_mm is None
    assert summarize_point([], [], lead_minutes=[]).total_mm is None
