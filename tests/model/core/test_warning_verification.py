"""Warnings against observations: what was warned of in time, late, or not, and what was a false alarm."""

from datetime import UTC, datetime, timedelta

import pytest

from model.core.warning_verification import Warned, WarningCounts, starts_within, verify_warnings

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(minutes=60)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def counted(raised_at, rain, **known):
    """The counts of warnings, given as (raised, cleared, onset) minutes, by observations every 10 min."""
    times = [at(10 * number) for number in range(len(rain))]
    warned = [
        Warned(raised=at(raised), cleared=None if cleared is None else at(cleared), onset=at(onset))
        for raised, cleared, onset in raised_at
    ]
    found = verify_warnings(warned, times, rain, 1.0, HOUR)
    assert found == WarningCounts(**known), found


DRY = [0.0] * 10
NAN = float("nan")


def test_rain_that_starts_after_a_warning_is_a_hit_with_the_error_of_its_start():
    counted([(75, 200, 110)], [*DRY, 2, 2, 0], hits=1, warnings=1, onset_errors_minutes=[10.0])


def test_a_warning_during_the_rain_is_late_and_forecasts_no_start():
    counted([(105, 200, 120)], [*DRY, 2, 2, 2, 0], late=1, while_raining=1)


def test_rain_without_a_warning_is_missed_and_a_warning_without_rain_is_a_false_alarm():
    counted([], [*DRY, 2, 0], misses=1)
    counted([(5, 60, 30)], DRY, warnings=1, false_alarms=1)


def test_a_warning_that_was_cleared_before_the_rain_is_no_hit():
    counted([(75, 95, 110)], [*DRY, 2, 2, 0], misses=1, warnings=1, onset_errors_minutes=[10.0])


def test_a_raised_warning_covers_rain_that_comes_again_and_short_breaks_are_one_spell():
    again = [*DRY, 2, 0, 2, *DRY, 3, 0]
    counted([(75, None, 100)], again, hits=2, warnings=1, onset_errors_minutes=[0.0])


@pytest.mark.parametrize(
    ("warnings", "rain", "known"),
    [
        ([(35, 90, 60)], [0, 0, 0, 0, 0, NAN, 0, 0, 0, 0, 0, 0], {"open": 1}),
        ([(75, None, 100)], DRY, {"open": 1}),  # what follows is not known yet
        ([(5, 60, 30)], [0, 0, 0, NAN, 2, 2, 0, 0, 0, 0], {"warnings": 1}),  # when it started is not known
        ([], [2, 2, 0, 0], {}),
    ],
)
def test_what_is_not_known_is_neither_a_miss_nor_a_false_alarm(warnings, rain, known):
    counted(warnings, rain, **known)


def test_whether_rain_starts_is_asked_while_it_is_known_to_be_dry():
    rain = [0, 0, 0, 0, 2, 0, 2, 0, 0, NAN, 0, 0, 0, 0]
    times = [at(10 * number) for number in range(len(rain))]
    asked = [at(minutes) for minutes in range(3, 123, 10)]
    found = starts_within(asked, times, rain, 1.0, timedelta(minutes=25))
    expected = [
        0,
        0,
        1,
        1,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        0,
        NAN,
    ]  # it rains from 40 to 60; 90, and after 130: not known
    assert found.tolist() == pytest.approx(expected, nan_ok=True)
