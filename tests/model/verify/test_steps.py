"""STEPS of pysteps as a model under verification."""

from dataclasses import replace

import numpy as np
import pytest

from model.core.forecast_output import ForecastOutput
from model.data.synthetic_storms import synthesise
from model.runtime.request import ForecastRequest
from model.verify.steps import INFO, Steps

pytest.importorskip("pysteps", reason="pysteps is not installed")


def members_of(sequence, output, steps=2):
    events = list(Steps().forecast([ForecastRequest.fit(sequence, INFO, steps, output=output)]))
    assert [event.error for event in events] == [None] * steps
    return np.stack([event.members for event in events]), np.stack([event.frame for event in events])


def test_members_are_seeded_and_their_mean_is_the_frame():
    storms = synthesise(frames=3, shape=(96, 96), step_minutes=10.0, seed=5)
    members, mean = members_of(storms, ForecastOutput(members=3, seed=1))
    assert members.shape == (2, 3, 96, 96)
    assert mean == pytest.approx(members.mean(axis=1), nan_ok=True)
    assert np.nanmin(members) == 0
    assert np.isfinite(members).mean() > 0.5
    again, _ = members_of(storms, ForecastOutput(members=3, seed=1))
    assert np.array_equal(members, again, equal_nan=True)
    other, _ = members_of(storms, ForecastOutput(members=3, seed=2))
    assert not np.array_equal(members, other, equal_nan=True)
    assert not np.array_equal(members[:, 0], members[:, 1], equal_nan=True)


def test_with_next_to_no_rain_members_are_the_extrapolation():
    storms = synthesise(frames=3, shape=(96, 96), step_minutes=10.0, seed=5)
    little = np.zeros_like(storms.rain_rate)
    little[:, 50:52, 50:52] = 1
    members, _ = members_of(replace(storms, rain_rate=little), ForecastOutput(members=3))
    assert np.array_equal(members[:, 0], members[:, 1], equal_nan=True)
    assert np.nanmax(members) > 0
