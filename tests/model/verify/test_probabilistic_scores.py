"""Scores of probabilities and members: computed by hand, and beside `scores` and brute force."""

import numpy as np
import pytest
from scores.probability import brier_score_for_ensemble, roc_curve_data

from model.core.probability_scores import (
    bin_sums,
    brier,
    decomposition,
    largest_deviation,
    members_crps,
    merged_bins,
    roc_area,
    spread_error_ratio,
)
from model.core.rain_distribution import RainDistribution
from model.verify.probabilistic.accumulators import HourTotals, truth_ranks
from model.verify.probabilistic.crps import distribution_crps, fair_energy_score
from model.verify.probabilistic.forecast import LeadForecast
from model.verify.probabilistic.protocol import NOWCAST_60_PROB
from model.verify.probabilistic.window import wettest_window, window_shape

START = np.datetime64("2026-06-01T00:00", "s")


def bins_of(probability, events):
    """Return the sums of bins [bin, sum, lead] of one lead, as the accumulators make them."""
    edges = NOWCAST_60_PROB.probability_edges
    return bin_sums(np.asarray(probability, np.float32), np.asarray(events, bool), edges)[..., None]


def test_crps_of_a_distribution_by_hand():
    # P is 1 up to 1 mm/h, and 1 - ln r from there to e.
    distribution = RainDistribution((1.0, float(np.e)), np.float32([[1, 1, 1], [0, 0, 0]]))
    after = 2 * np.e - 5  # integral of (1 - ln r)^2 from 1 to e
    # Without rain all of P counts; with 1 mm/h what lies above; with e, the integral of (ln r)^2, e - 2.
    assert distribution_crps(distribution, np.float32([0, 1, np.e])) == pytest.approx([1 + after, after, np.e - 2])


def test_crps_of_a_distribution_is_the_integral_of_the_brier_score():
    generator = np.random.default_rng(1)
    thresholds = NOWCAST_60_PROB.distribution_thresholds_mm_h
    exceedance = np.sort(generator.random((len(thresholds), 40)).astype(np.float32), axis=0)[::-1]
    distribution = RainDistribution(thresholds, exceedance, tail_mm_h=4.0)
    truth = np.float32([*generator.gamma(0.5, 8, 34), 0, 0.05, 0.1, 50, 60, 120])
    edges = np.concatenate(
        [np.linspace(0, 0.1, 201), np.geomspace(0.1, 50, 20001)[1:], np.linspace(50, 250, 40001)[1:]]
    )
    middle = (edges[1:] + edges[:-1]) / 2
    probability = np.where(
        middle[:, None] < 0.1, exceedance[0], distribution.probability_of_exceedance(tuple(np.maximum(middle, 0.1)))
    )
    error = (probability - (middle[:, None] < truth)) ** 2
    assert distribution_crps(distribution, truth) == pytest.approx(
        (error * np.diff(edges)[:, None]).sum(axis=0), rel=2e-3
    )


def test_crps_of_a_certain_distribution_is_the_absolute_error_within_its_last_segment():
    # Certainly between 2 and 2.0001 mm/h.
    distribution = RainDistribution((0.1, 2.0, 2.0001), np.float32([[1, 1], [1, 1], [0, 0]]))
    assert distribution_crps(distribution, np.float32([0, 5])) == pytest.approx([2, 3], abs=1e-4)


def test_crps_of_members_is_unbiased_in_their_number():
    generator = np.random.default_rng(2)
    members, truth = generator.gamma(0.4, 3, (6, 50)), generator.gamma(0.4, 3, 50)
    by_hand = [
        np.mean([abs(x - y) for x in ensemble]) - sum(abs(a - b) for a in ensemble for b in ensemble) / (2 * 6 * 5)
        for ensemble, y in zip(members.T, truth, strict=True)
    ]
    assert members_crps(members, truth) == pytest.approx(by_hand)
    # Two members that are 0 or 1 alike often, and a truth that is: the expected score is that of the distribution.
    pairs = np.float32([[0, 0, 1, 1], [0, 1, 0, 1]])
    fair = np.mean([members_crps(pairs, np.full(4, y, np.float32)).mean() for y in (0, 1)])
    assert fair == pytest.approx(0.25)


def test_brier_score_of_members_beside_scores():
    import xarray as xr

    generator = np.random.default_rng(3)
    members, truth = generator.gamma(0.4, 3, (20, 500)), generator.gamma(0.4, 3, 500)
    bins = bins_of((members >= 2).mean(axis=0), truth >= 2)
    for fair, count in ((True, 20), (False, None)):
        expected = brier_score_for_ensemble(
            xr.DataArray(members, dims=("m", "p")), xr.DataArray(truth, dims="p"), "m", 2.0, fair_correction=fair
        )
        assert brier(bins, count)[0] == pytest.approx(expected.item(), rel=1e-5)


def test_decomposition_by_hand():
    # Two bins: .1 (twice, one event) and .8 (twice, both events): climate .75.
    bins = bins_of([0.1, 0.1, 0.8, 0.8], [0, 1, 1, 1])
    reliability = (2 * (0.1 - 0.5) ** 2 + 2 * (0.8 - 1) ** 2) / 4
    resolution = (2 * (0.5 - 0.75) ** 2 + 2 * (1 - 0.75) ** 2) / 4
    assert decomposition(bins)[:, 0] == pytest.approx([reliability, resolution, 0.75 * 0.25, 0], abs=1e-7)
    assert brier(bins)[0] == pytest.approx((0.01 + 0.81 + 0.04 + 0.04) / 4)


def test_terms_of_the_decomposition_add_up_to_the_score():
    generator = np.random.default_rng(4)
    probability = generator.random(3000)
    bins = bins_of(probability, generator.random(3000) < probability**2)
    reliability, resolution, uncertainty, within = decomposition(bins)[:, 0]
    assert within != 0
    assert reliability - resolution + uncertainty + within == pytest.approx(brier(bins)[0], rel=1e-9)


def test_roc_area_beside_scores_and_by_hand():
    import xarray as xr

    generator = np.random.default_rng(5)
    probability = generator.integers(0, 20, 2000) / 20
    events = generator.random(2000) < probability
    thresholds = [0, *(np.arange(1, 20) / 20 - 1e-4), 1]
    curve = roc_curve_data(xr.DataArray(probability, dims="p"), xr.DataArray(events * 1.0, dims="p"), thresholds)
    assert roc_area(bins_of(probability, events))[0] == pytest.approx(curve.AUC.item(), rel=1e-9)
    assert roc_area(bins_of([0.9, 0.9, 0.1, 0.1], [1, 1, 0, 0]))[0] == 1
    assert roc_area(bins_of([0.5, 0.5, 0.1, 0.1], [1, 0, 1, 0]))[0] == 0.5
    assert np.isnan(roc_area(bins_of([0.5, 0.1], [0, 0]))[0])


def test_shares_of_members_belong_to_the_bin_that_they_start():
    shares = np.float32([k / 20 for k in range(21)])
    bins = bins_of(shares, np.zeros(21))[..., 0]
    edges = NOWCAST_60_PROB.probability_edges
    counts = dict(zip(edges, bins[:, 0], strict=True))
    assert [counts[edge] for edge in (0.0, 0.02, 0.05, 0.3, 0.6, 0.95)] == [1, 0, 1, 1, 1, 2]
    merged = merged_bins(bins, edges, NOWCAST_60_PROB.reliability_edges, axis=0)
    assert merged[:, 0] == pytest.approx([2] * 9 + [3])


def test_small_bins_do_not_count_in_the_deviation():
    probability = [0.25] * 1000 + [0.85] * 10
    bins = bins_of(probability, [1] * 300 + [0] * 700 + [0] * 10)[..., 0]
    assert largest_deviation(bins, 1000) == pytest.approx(0.05)
    assert largest_deviation(bins, 1) == pytest.approx(0.85)
    assert np.isnan(largest_deviation(bins, 2000))


def test_ranks_are_flat_for_members_like_the_truth_and_ties_are_broken_by_the_seed():
    generator = np.random.default_rng(6)
    values = np.maximum(generator.gamma(0.3, 2, (5, 60000)) - 0.3, 0)
    counts = np.bincount(truth_ranks(values[:4], values[4], np.random.default_rng(0)), minlength=5)
    assert counts / 12000 == pytest.approx(np.ones(5), abs=0.03)
    # Below 0.1 mm/h all are dry, and any rank is as likely.
    dry = truth_ranks(np.full((4, 5000), 0.05), np.zeros(5000), np.random.default_rng(0))
    assert np.bincount(dry) / 1000 == pytest.approx(np.ones(5), abs=0.15)
    again = truth_ranks(np.full((4, 5000), 0.05), np.zeros(5000), np.random.default_rng(0))
    assert np.array_equal(dry, again)
    members = np.array([[1.0], [2.0], [3.0]])
    ranks = [int(truth_ranks(members, np.array([truth]), generator)[0]) for truth in (0.5, 1.5, 2.5, 9.0)]
    assert ranks == [0, 1, 2, 3]


def test_spread_over_error_of_consistent_members_is_one():
    generator = np.random.default_rng(7)
    centre = generator.normal(size=200000)
    values = centre + generator.normal(size=(6, 200000))
    members, truth = values[:5], values[5]
    sums = np.array([[members.var(axis=0, ddof=1).sum()], [((members.mean(axis=0) - truth) ** 2).sum()]])
    assert spread_error_ratio(sums, 5)[0] == pytest.approx(1, abs=0.01)


def test_energy_score_by_hand():
    members, truth = np.float32([[0, 0], [6, 8]]), np.float32([0, 0])
    # Mean distance to the truth 5, distance of the two members 10: fair, 5 - 10 / 2; the root of 2 elements divides.
    assert fair_energy_score(members, truth) == pytest.approx(0, abs=1e-6)
    assert fair_energy_score(members[1:], truth) == pytest.approx(10 / np.sqrt(2))
    # Members that are right at each element and wrong together lose.
    together, apart = np.float32([[0, 0], [1, 1]]), np.float32([[0, 1], [1, 0]])
    joint = [np.mean([fair_energy_score(each, np.float32([y, y])) for y in (0, 1)]) for each in (together, apart)]
    assert joint[0] < joint[1]


def test_totals_over_areas_leave_out_what_is_not_scored():
    totals = HourTotals(side_px=2, share=0.75, hours=0.5)
    truth = np.float32([[1, 1, 4, 4], [1, 1, 4, np.nan], [2, 2, np.nan, np.nan], [2, 2, 8, 8]])
    members = np.stack([truth, 2 * truth])
    forecast = LeadForecast(fields={"deterministic": 3 * truth}, members=members)
    totals.add({"model": forecast}, truth, np.isfinite(truth))
    late = np.isfinite(truth)
    late[:2, :2] = [[False, True], [True, True]]  # one pixel of the first area is unknown at the second lead
    later = LeadForecast(fields={"deterministic": truth}, members=members)
    totals.add({"model": later}, truth, late)
    observed, found = totals.areas()
    # The area at the lower right has two pixels of four.
    assert observed == pytest.approx([1, 4, 2])
    assert found["model"].field == pytest.approx([2, 8, 4])
    assert found["model"].members == pytest.approx(np.array([[1, 4, 2], [2, 8, 4]]))


def test_the_window_is_the_wettest_square():
    rain = np.zeros((6, 8), np.float32)
    rain[4, 5], rain[0, 0], rain[1, 1] = 5, 3, np.nan
    window = wettest_window([rain, rain], 2)
    assert rain[window].sum() == 5
    assert window_shape((6, 8), 7) == (6, 7)
    assert wettest_window([rain], 0) == (slice(0, 6), slice(0, 8))
