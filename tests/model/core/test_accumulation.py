"""Rainfall over periods: what each lead step counts, and what is missing."""

import numpy as np

from model.core.accumulation import exceedance, rainfall_mm, step_hours

LEADS = (5.0, 10.0, 15.0, 20.0)


def test_a_period_takes_the_share_of_each_step_that_lies_in_it():
    np.testing.assert_allclose(step_hours(LEADS, 0, 15) * 60, [5, 5, 5, 0])
    np.testing.assert_allclose(step_hours(LEADS, 3, 18) * 60, [2, 5, 5, 3])
    np.testing.assert_allclose(step_hours(LEADS, 5, 20) * 60, [0, 5, 5, 5])


def test_a_forecast_that_ends_before_the_period_gives_none():
    assert step_hours(LEADS, 0, 30) is None
    assert step_hours(LEADS, 6, 21) is None


def test_a_sum_over_a_missing_step_is_missing_and_other_steps_do_not_matter():
    rates = np.full((4, 1, 2), 12.0, np.float32)
    rates[1, 0, 0] = np.nan
    np.testing.assert_allclose(rainfall_mm(rates, step_hours(LEADS, 0, 15)), [[np.nan, 3.0]])
    np.testing.assert_allclose(rainfall_mm(rates, step_hours(LEADS, 10, 20)), [[2.0, 2.0]])


def test_probabilities_are_shares_of_members_and_missing_where_one_is():
    members = np.array([[[0.0, 4.0, 9.0]], [[2.0, 5.0, np.nan]]], np.float32)
    np.testing.assert_allclose(exceedance(members, (1.0, 5.0)), [[[0.5, 1, np.nan]], [[0, 0.5, np.nan]]])
