"""Field, probabilities and members of a network with a distribution."""

import tracemalloc

import numpy as np
import pytest

from model.core.forecast_output import ForecastOutput
from model.core.manifest import Distribution, SharpCuts
from model.runtime.advection import trajectories
from model.runtime.lead_fields import DistributionFields
from model.runtime.members import MemberGenerator

THRESHOLDS = (0.1, 1.0, 5.0)
SHAPE = (48, 64)
DISTRIBUTION = Distribution(
    thresholds_mm_h=THRESHOLDS, sharp_cuts=(SharpCuts(lead_minutes=5, probabilities=(0.5, 0.5, 0.5)),)
)


@pytest.fixture
def known():
    held = np.ones(SHAPE, np.bool_)
    held[:6] = False
    return held


def test_probabilities_of_a_continent_are_in_memory_once():
    shape, thresholds = (300, 400), tuple(np.linspace(0.1, 5, 16).tolist())
    output = ForecastOutput(thresholds_mm_h=thresholds)
    known = np.ones(shape, np.bool_)
    known[:9] = False
    fields = DistributionFields(DISTRIBUTION, output, known=known, arrivals=None, step_minutes=5, ceiling_mm_h=50.0)
    planes = fields.reduce(1, np.full((3, *shape), 0.4, np.float32))
    tracemalloc.start()
    found = fields(planes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * planes.nbytes
    assert np.array_equal(np.isnan(found.probability).all(axis=0), ~known)


def made(known, output, exceedance, *, lagrangian=True):
    """What two lead steps hold, under a motion of 3 pixels per step to the right."""
    motion = np.broadcast_to(np.array([3, 0], np.float32), (*SHAPE, 2))
    newest = np.where(known, np.random.default_rng(1).gamma(0.3, 5, SHAPE), np.nan).astype(np.float32)
    members = MemberGenerator(
        newest,
        output.members,
        output.seed,
        step_minutes=5,
        pixel_km=1.0,
        thresholds_mm_h=THRESHOLDS,
        tail_mm_h=15.0,
        ceiling_mm_h=50.0,
    )
    moves = trajectories(motion, 2)
    fields = DistributionFields(
        DISTRIBUTION,
        output,
        known=known,
        arrivals=moves if lagrangian else None,
        step_minutes=5,
        ceiling_mm_h=50.0,
        members=members if output.members else None,
        member_arrivals=moves,
    )
    padded = np.pad(exceedance, [(0, 0), (0, 2), (0, 0)])
    return [fields(fields.reduce(step, padded.copy())) for step in (1, 2)]


def test_members_change_neither_field_nor_probabilities_and_agree_with_them(known):
    falling = np.array([0.7, 0.4, 0.1], np.float32)[:, None, None]
    exceedance = np.broadcast_to(falling, (3, *SHAPE)) * np.linspace(1, 0.2, SHAPE[1], dtype=np.float32)
    alone = made(known, ForecastOutput(thresholds_mm_h=(1.0, 2.0)), exceedance)
    both = made(known, ForecastOutput(thresholds_mm_h=(1.0, 2.0), members=50), exceedance)
    for without, with_members in zip(alone, both, strict=True):
        assert np.array_equal(without.frame, with_members.frame, equal_nan=True)
        assert np.array_equal(without.probability, with_members.probability, equal_nan=True)
        assert with_members.members.shape == (50, *SHAPE)
        gaps = np.isnan(with_members.frame)
        assert gaps.any()
        assert all(np.array_equal(np.isnan(member), gaps) for member in with_members.members)
        share = np.mean(with_members.members >= 1, axis=0)
        assert share[~gaps].mean() == pytest.approx(with_members.probability[0][~gaps].mean(), abs=0.02)


@pytest.mark.parametrize("lagrangian", [True, False])
def test_members_move_with_the_rain_in_both_frames_of_reference(known, lagrangian):
    exceedance = np.full((3, *SHAPE), 0.5, np.float32)
    first, second = made(known, ForecastOutput(members=50), exceedance, lagrangian=lagrangian)
    now, moved, still = (
        first.members[:, 8:, 20:50] > 0,
        second.members[:, 8:, 23:53] > 0,
        second.members[:, 8:, 20:50] > 0,
    )
    assert np.mean(now == moved) > np.mean(now == still) + 0.02
