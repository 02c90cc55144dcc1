"""Sampling schedules against the authors' numbers, and what is drawn from them."""

import math

import pytest
import torch

from model.sampling import (
    ReverseScheduledSampling,
    ScheduledSampling,
    reverse_context_probability,
    reverse_forecast_probability,
    reverse_scheduled_sampling,
    scheduled_probability,
    scheduled_sampling,
)

SCHEDULED = ScheduledSampling()
REVERSE = ReverseScheduledSampling()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("step", "probability"), [(1, 0.99998), (25_000, 0.5), (49_999, 0.00002), (50_000, 0.0), (70_000, 0.0)]
)
def test_scheduled_sampling_falls_linearly(step, probability):
    assert scheduled_probability(SCHEDULED, step) == pytest.approx(probability, abs=1e-9)


def test_scheduled_sampling_stops_where_it_says():
    assert scheduled_probability(ScheduledSampling(rate=1e-5, stop=50_000), 49_999) > 0.5
    assert scheduled_probability(ScheduledSampling(rate=1e-5, stop=50_000), 50_000) == 0.0


@pytest.mark.parametrize(
    ("step", "context", "forecast"),
    [
        (1, 0.5, 0.5),
        (24_999, 0.5, 0.5),
        (25_000, 0.5, 0.5),
        (27_500, 1 - 0.5 / math.e, 0.45),
        (37_500, 1 - 0.5 * math.exp(-5), 0.25),
        (50_000, 1.0, 0.0),
        (80_000, 1.0, 0.0),
    ],
)
def test_reverse_scheduled_sampling_of_predrnn_v2(step, context, forecast):
    assert reverse_context_probability(REVERSE, step) == pytest.approx(context)
    assert reverse_forecast_probability(REVERSE, step) == pytest.approx(forecast)


def test_scheduled_sampling_leaves_the_context_true():
    drawn = scheduled_sampling(SCHEDULED, 25_000, batch=2000, context=4, leads=3, generator=seeded())
    assert drawn.dtype == torch.bool
    assert drawn.shape == (2000, 6)
    assert drawn[:, :4].all()
    assert drawn[:, 4:].float().mean(dim=0).tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_reverse_sampling_draws_context_and_forecast_by_their_own_probability():
    drawn = reverse_scheduled_sampling(REVERSE, 37_500, batch=4000, context=3, leads=3, generator=seeded())
    rates = drawn.float().mean(dim=0).tolist()
    assert rates[0] == 1.0
    assert rates[1:] == pytest.approx([0.9966, 0.9966, 0.25, 0.25], abs=0.04)


@pytest.mark.parametrize(("draw", "schedule"), [(scheduled_sampling, SCHEDULED), (reverse_scheduled_sampling, REVERSE)])
def test_at_the_end_a_network_reads_as_it_forecasts(draw, schedule):
    drawn = draw(schedule, 60_000, batch=3, context=4, leads=5, generator=seeded())
    assert drawn.tolist() == [[True] * 4 + [False] * 4] * 3


def test_the_same_generator_draws_the_same():
    first, again, other = (
        reverse_scheduled_sampling(REVERSE, 10, batch=4, context=5, leads=5, generator=seeded(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
