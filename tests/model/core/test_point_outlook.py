"""What is told of a place by members, probabilities of single times, or the field: each no more than it knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.members_summary import summarize_members
from model.core.point_outlook import PointOutlook, intensity, point_outlook
from model.core.point_sentence import SentenceStyle, sentence
from model.core.point_summary import summarize_point
from model.core.probability_summary import summarize_probability

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NO_DATA = np.nan
THRESHOLDS = (0.1, 2.0, 10.0)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def of(rain, *, now_mm_h=0.0, probability=None, members=None) -> PointOutlook:
    """The outlook of rain rates every 5 minutes from now on, with P(0.1 mm/h), and members."""
    times = [at(5 * (step + 1)) for step in range(len(rain))]
    leads = [5.0 * (step + 1) for step in range(len(rain))]
    by_threshold = (
        None if probability is None else [probability, *[[p * share for p in probability] for share in (0.4, 0.2)]]
    )
    return point_outlook(
        summarize_point(rain, times, now_mm_h=now_mm_h, lead_minutes=leads),
        rain,
        times,
        NOW,
        now_mm_h=now_mm_h,
        probability_of_rain=probability or (),
        probabilities=None if by_threshold is None else summarize_probability(by_threshold, THRESHOLDS, times),
        members=None if members is None else summarize_members(members, times, leads, now_mm_h=now_mm_h),
    )


def starting_at(*steps, length=3, of_steps=12):
    """Members whose rain of 3 mm/h starts at these steps; None: never."""
    rain = np.zeros((len(steps), of_steps))
    for member, step in enumerate(steps):
        if step is not None:
            rain[member, step : step + length] = 3.0
    return rain


def test_members_tell_how_likely_and_the_range_of_start_and_end():
    told = of([0, 0, 3, 3, 3, *[0] * 7], members=starting_at(*[1] * 2, *[2] * 10, *[4] * 5, *[None] * 3))
    assert (told.state, told.basis, told.probability, told.members) == ("coming", "members", 0.85, 20)
    assert (told.starts_from, told.starts_by) == (at(5), at(25))
    assert (told.end, told.over_by) == ("over", at(40))
    assert (told.intensity, told.heaviest) == ("moderate", at(15))


def test_a_start_that_all_members_agree_on_lies_between_two_frames():
    told = of([0, 0, 3, 0], members=starting_at(*[2] * 10, of_steps=4, length=1))
    assert (told.starts_from, told.starts_by) == (at(10), at(15))


@pytest.mark.parametrize(("ending", "end"), [(10, "over"), (6, "may-last"), (3, "lasts")])
def test_rain_is_over_only_where_most_members_say_so(ending, end):
    members = np.full((10, 6), 3.0)
    members[:, 0] = 0
    members[:ending, 4:] = 0
    told = of([0, 3, 3, 3, 0, 0], members=members)
    assert told.end == end
    assert (told.over_by is not None) == (end == "over")


def test_few_members_with_rain_make_it_possible_and_none_make_it_dry():
    possible = of([0] * 12, members=starting_at(2, 4, 6, *[None] * 17))
    assert (possible.state, possible.probability, possible.starts_by) == ("possible", 0.15, at(35))
    dry = of([0] * 12, members=starting_at(*[None] * 20))
    assert (dry.state, dry.probability, dry.starts_by) == ("dry", 0, None)


def test_a_wet_field_is_never_called_dry_whatever_the_members_say():
    assert of([0, 3, 0], members=starting_at(*[None] * 20, of_steps=3)).state == "possible"


def test_where_missing_data_of_a_member_would_decide_the_probabilities_tell():
    members = starting_at(*[2] * 9, None, of_steps=6)
    members[9, 1] = NO_DATA
    told = of([0, 0, 3, 3, 3, 0], members=members, probability=[0, 0.2, 0.9, 0.9, 0.7, 0.2])
    assert (told.basis, told.probability) == ("probabilities", 0.9)


def test_probabilities_of_several_times_are_not_combined():
    told = of([0] * 6, probability=[0.3] * 6)
    assert (told.state, told.probability, told.likeliest) == ("possible", 0.3, at(5))


def test_probabilities_tell_from_when_it_is_possible_likely_and_no_longer_likely():
    told = of([0, 0, 3, 3, 0, 0], probability=[0.02, 0.2, 0.6, 0.9, 0.4, 0.1])
    assert (told.state, told.probability, told.basis) == ("coming", 0.9, "probabilities")
    assert (told.starts_from, told.starts_by) == (at(5), at(15))
    assert (told.end, told.over_by) == ("over", at(25))
    assert of([0, 0, 3, 3, 0, 0], probability=[0.02, 0.2, 0.6, 0.9, NO_DATA, 0.4]).end == "unknown"
    assert of([0, 0, 3], probability=[0.02, 0.2, 0.6]).end == "lasts"
    assert of([0, 0, 3], probability=[NO_DATA, 0.2, 0.6]).starts_from is None


def test_the_end_is_that_of_the_first_spell_and_the_next_one_is_told():
    told = of([3, *[0] * 9, 3, 3], now_mm_h=3, probability=[0.9, *[0.1] * 9, 0.6, 0.6])
    assert (told.basis, told.end, told.over_by, told.again) == ("probabilities", "over", at(10), at(55))
    told = of([0, 3, 0, 0, 3, 0], probability=[0.1, 0.7, 0.2, NO_DATA, 0.6, 0.1])
    assert (told.starts_by, told.end, told.over_by, told.again) == (at(10), "over", at(15), at(25))
    told = of([0, 3, NO_DATA, 0, 3, 0], probability=[0.1, 0.7, NO_DATA, 0.2, 0.6, 0.1])
    assert (told.end, told.over_by, told.again) == ("unknown", None, None)
    assert of([0, 3, 0, 0, 3, 0]).again == at(25)


def test_low_probabilities_with_gaps_are_no_bound():
    told = of([0, 0, 0], probability=[0.02, NO_DATA, 0.02])
    assert (told.state, told.basis, told.probability) == ("dry", "field", None)
    assert sentence(told, NOW) == "no precipitation in the next 15 min; how sure is not known"
    assert of([0, 0, 0], probability=[0.02, NO_DATA, 0.3]).state == "possible"


def test_heavier_rain_than_that_of_the_field_is_told_where_it_is_possible():
    assert of([0, 1, 0], probability=[0, 0.6, 0]).may_reach == "heavy"
    assert of([0, 1, 0], probability=[0, 0.4, 0]).may_reach is None


def test_without_probabilities_nobody_knows_how_sure_it_is():
    told = of([0, 0, 3, 0])
    assert (told.state, told.basis, told.probability) == ("coming", "field", None)
    assert (told.starts_from, told.starts_by, told.over_by) == (at(10), at(15), at(20))


def test_of_rain_that_falls_already_the_end_is_what_is_uncertain():
    told = of([3, 3, 0, 0], now_mm_h=1, members=starting_at(*[0] * 10, length=2, of_steps=4))
    assert (told.state, told.starts_by, told.over_by, told.probability) == ("raining", None, at(15), 0.9)
    assert of([3, 3, 0, 0], now_mm_h=1, probability=[0.9, 0.8, 0.4, 0.2]).over_by == at(15)


def test_now_is_as_heavy_as_it_is_now():
    told = of([1, 1, 20, 0], now_mm_h=0.5)
    assert (told.intensity, told.later, told.later_time) == ("light", "heavy", at(15))


@pytest.mark.parametrize("rain", [[NO_DATA] * 3, []])
def test_missing_data_is_never_dry(rain):
    told = of(rain, now_mm_h=NO_DATA, probability=rain)
    assert (told.state, told.probability) == ("no-data" if rain else "no-forecast", None)


def test_gaps_are_told():
    told = of([0, NO_DATA, 0], probability=[0.02, NO_DATA, 0.02])
    assert (told.state, told.frames, told.frames_without_data) == ("dry-where-known", 3, 1)


def test_intensities_have_the_limits_of_the_wmo() -> None:
    assert [intensity(rate) for rate in (0.1, 2.4, 2.5, 9.9, 10, 49, 50, 300)] == [
        *["light"] * 2,
        *["moderate"] * 2,
        *["heavy"] * 2,
        *["violent"] * 2,
    ]


def test_without_the_probability_of_rain_that_of_the_lowest_threshold_is_told():
    times = [at(5), at(10)]
    rain = [0.0, 1.0]
    summary = summarize_point(rain, times, now_mm_h=0.0, lead_minutes=[5.0, 10.0])
    told = point_outlook(summary, rain, times, NOW, now_mm_h=0.0, lowest_threshold=(0.5, 0.56))
    assert (told.basis, told.probability, told.threshold_mm_h, told.threshold_probability) == ("field", None, 0.5, 0.56)
    assert sentence(told, NOW).endswith("; 0.5 mm/h or more: at most 56 % chance at any one time")
    assert "0,5 mm/h oder mehr" in sentence(told, NOW, SentenceStyle(language="de"))
