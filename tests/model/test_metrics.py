"""Scores of frames: the literature's sums, and SSIM against its definition."""

import cv2
import numpy as np
import pytest

from model.metrics import mae, mse, psnr, ssim


def frames(seed, shape=(2, 3, 2, 16, 14)):
    noise = np.random.default_rng(seed).random(shape, np.float32)
    return np.stack([[[cv2.blur(c, (3, 3)) for c in t] for t in n] for n in noise])


def test_squared_and_absolute_error_are_summed_over_a_frame_and_averaged_over_sequences():
    truth = np.zeros((2, 3, 1, 4, 5), np.float32)
    forecast = truth.copy()
    forecast[0, 1] = 0.5  # one sequence of two is wrong at the second lead, by 0.5 in each of 20 pixels
    assert mse(forecast, truth) == pytest.approx([0, 0.25 * 20 / 2, 0])
    assert mae(forecast, truth) == pytest.approx([0, 0.5 * 20 / 2, 0])


def test_psnr_is_of_each_frame_and_in_db():
    truth = np.zeros((2, 2, 1, 4, 4), np.float32)
    forecast = truth.copy()
    forecast[0, 0], forecast[1, 0] = 0.1, 0.01
    assert psnr(forecast, truth)[0] == pytest.approx((20 + 40) / 2, rel=1e-5)
    assert np.isinf(psnr(forecast, truth)[1])


def test_ssim_is_that_of_its_definition():
    one, other = frames(1), frames(2)
    ramp = np.arange(11) - 5
    weights = np.exp(-(ramp[:, None] ** 2 + ramp[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    expected = np.zeros((2, 3, 2, 6, 4))
    for place in np.ndindex(expected.shape):
        n, t, c, y, x = place
        a, b = (array[n, t, c, y : y + 11, x : x + 11].astype(float) for array in (one, other))
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
        cov = (weights * (a - ma) * (b - mb)).sum()
        expected[place] = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert ssim(one, other) == pytest.approx(expected.mean(axis=(0, 2, 3, 4)), abs=1e-9)
    assert ssim(one, one) == pytest.approx(1)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="smaller than the 11 x 11 window"):
        ssim(frames(1)[..., :8, :8], frames(1)[..., :8, :8])
    with pytest.raises(ValueError, match="must have one shape"):
        mse(frames(1), frames(1)[:1])
