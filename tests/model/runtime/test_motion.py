"""Motion and advection on fields whose motion is known."""

import cv2
import numpy as np
import pytest

from model.runtime.motion import advect, estimate_motion, to_newest, trajectories


@pytest.fixture
def rain():
    noise = np.random.default_rng(3).standard_normal((160, 200)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.maximum(smooth / smooth.std() - 0.3, 0) * 6


@pytest.mark.parametrize(("dx", "dy"), [(3, 2), (-4, 1), (0, 0), (2, -5)])
def test_a_field_that_moves_rigidly_has_that_motion(rain, dx, dy):
    frames = np.stack([np.roll(rain, (dy * i, dx * i), (0, 1)) for i in range(3)])
    motion = estimate_motion(frames)[40:-40, 40:-40]
    assert motion.mean(axis=(0, 1)) == pytest.approx([dx, dy], abs=0.15)


def test_no_rain_has_no_motion():
    assert not estimate_motion(np.zeros((3, 50, 60), np.float32)).any()


def test_dry_areas_take_the_motion_of_the_rain_around_them(rain):
    rain[:, :90] = 0
    frames = np.stack([np.roll(rain, 3 * i, 1) for i in range(3)])
    assert estimate_motion(frames)[80, 20, 0] == pytest.approx(3, abs=0.5)


def test_zero_motion_is_the_identity_exactly(rain):
    for origin in trajectories(np.zeros((*rain.shape, 2), np.float32), 3):
        assert np.array_equal(advect(rain, origin), rain)


def test_advection_moves_rain_downstream_and_leaves_the_inflow_unknown(rain):
    motion = np.full((*rain.shape, 2), (4.0, 0.0), np.float32)
    third = list(trajectories(motion, 3))[-1]
    moved = advect(rain, third)
    assert moved[:, 12:] == pytest.approx(rain[:, :-12], abs=1e-4)
    assert np.isnan(moved[:, :11]).all()


def test_frames_warped_to_the_newest_hold_its_rain_in_their_order(rain):
    frames = np.stack([(1 + i) * np.roll(rain, (2 * i, -3 * i), (0, 1)) for i in range(4)])
    warped = to_newest(frames, np.full((*rain.shape, 2), (-3.0, 2.0), np.float32))
    assert np.array_equal(warped[-1], frames[-1])
    for index, frame in enumerate(warped):
        assert frame[20:-20, 20:-20] == pytest.approx((1 + index) / 4 * frames[-1, 20:-20, 20:-20], abs=1e-4)


def test_no_data_moves_with_the_rain_and_never_becomes_dry(rain):
    rain[60:80, 60:80] = np.nan
    motion = np.full((*rain.shape, 2), (5.0, 0.0), np.float32)
    moved = advect(rain, next(trajectories(motion, 1)))
    assert np.isnan(moved[60:80, 65:85]).all()
    assert np.isfinite(moved[60:80, 90:]).all()


def test_a_domain_larger_than_the_flow_grid_has_the_same_motion_in_pixels():
    noise = np.random.default_rng(3).standard_normal((700, 2100)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 15)
    rain = np.maximum(smooth / smooth.std(), 0) * 5
    motion = estimate_motion(np.stack([np.roll(rain, 8 * i, 1) for i in range(3)]))
    assert motion[100:-100, 200:-200, 0].mean() == pytest.approx(8, abs=0.4)
