"""Losses against values worked out by hand."""

import math

import pytest
import torch

from model.losses import (
    balanced_loss,
    decoupling_loss,
    differential_divergence,
    mean_squared_error,
    mse_plus_mae,
    pixel_weights,
    soft_csi_loss,
)
from model.metrics import float32_pixel_threshold


def pixels(*values):
    """[1, 1, 1, n] of rain rates as fractions."""
    return torch.tensor([[[[float32_pixel_threshold(value) for value in values]]]])


def test_hko7_weights_by_rain_class():
    truth = pixels(0.1, 0.5, 1.9, 2.0, 4.9, 5.0, 9.9, 10.0, 29.0, 30.0, 80.0)
    assert pixel_weights(truth).flatten().tolist() == [1, 1, 1, 2, 2, 5, 5, 10, 10, 30, 30]


def test_balanced_loss_weighs_by_truth_and_leaves_out_what_is_not_known():
    truth, forecast = pixels(1.0, 20.0, 20.0), pixels(1.0, 20.0, 20.0)
    forecast = forecast + torch.tensor([0.1, 0.2, 5.0])
    known = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    # (1 * (0.1 + 0.01) + 10 * (0.2 + 0.04)) / 2 pixels
    assert balanced_loss(forecast, truth, known).item() == pytest.approx((0.11 + 2.4) / 2, rel=1e-5)


def test_soft_csi_is_the_csi_where_nothing_is_near_the_threshold():
    truth = torch.cat([pixels(*[20.0] * 60), pixels(*[0.1] * 60)], dim=3)
    forecast = torch.cat([pixels(*[20.0] * 30), pixels(*[0.1] * 80), pixels(*[20.0] * 10)], dim=3)
    # Events 60, hits 30, false alarms 10: CSI 30 / 70.
    loss = soft_csi_loss(forecast, truth, torch.ones_like(truth), thresholds_mm_h=(2.0,), softness=0.005)
    assert loss.item() == pytest.approx(1 - 30 / 70, abs=1e-3)


def test_soft_csi_leaves_out_thresholds_that_are_never_reached():
    truth = pixels(*[20.0] * 60)
    both = soft_csi_loss(truth, truth, torch.ones_like(truth), thresholds_mm_h=(2.0, 50.0), softness=0.005)
    assert both.item() == pytest.approx(0.0, abs=1e-3)


def test_balanced_loss_summed_as_in_hko7_is_per_frame_and_leaves_out_what_is_not_known():
    truth = pixels(1.0, 20.0, 20.0).expand(3, 2, 1, 3)[:, :, None]
    forecast = truth + torch.tensor([0.1, 0.2, 5.0])
    known = torch.tensor([1.0, 1.0, 0.0]).expand_as(truth)
    # Each of 3 x 2 frames: 1 * (0.1 + 0.01) + 10 * (0.2 + 0.04)
    assert balanced_loss(forecast, truth, known, reduce="sum").item() == pytest.approx(0.11 + 2.4, rel=1e-5)


def test_rain_losses_do_not_change_with_a_channel_axis():
    generator = torch.Generator().manual_seed(0)
    forecast, truth = torch.rand(2, 2, 3, 8, 8, generator=generator)
    known = (torch.rand(2, 3, 8, 8, generator=generator) > 0.1).float()
    wide = [array[:, :, None] for array in (forecast, truth, known)]
    assert balanced_loss(*wide).item() == pytest.approx(balanced_loss(forecast, truth, known).item())
    options = {"thresholds_mm_h": (0.5, 2.0), "softness": 0.02}
    assert soft_csi_loss(*wide, **options).item() == pytest.approx(
        soft_csi_loss(forecast, truth, known, **options).item()
    )


def test_frame_losses_by_hand():
    truth = torch.zeros(2, 3, 1, 2, 2)
    forecast = truth.clone()
    forecast[0, 0, 0] = 0.5  # four pixels of one of six frames
    assert mean_squared_error(forecast, truth).item() == pytest.approx(0.25 / 6)
    assert mse_plus_mae(forecast, truth).item() == pytest.approx((4 * 0.25 + 4 * 0.5) / 6)


def row(*channels):
    """[1, channels, 1, x] of values by channel."""
    return torch.tensor([channels], dtype=torch.float32)[:, :, None]


def test_decoupling_by_hand():
    # Channel 1: (3, 4) and (4, 3), cosine 24 / 25. Channel 2: at right angles. Channel 3: opposite.
    c, m = row([3, 4], [1, 0], [1, 2]), row([4, 3], [0, 2], [-2, -4])
    still = torch.zeros_like(c)
    same = torch.nn.Identity()
    assert decoupling_loss([[(c, m)]], same).item() == pytest.approx((0.96 + 0 + 1) / 3, rel=1e-6)
    steps = [[(c, m), (c, c)], [(c, m), (still, m)]]
    # Layer 1: 1.96 at both steps; layer 2: 3, then 0 where nothing was written.
    assert decoupling_loss(steps, same, reduce="mean").item() == pytest.approx((1.96 + 1.5) / 6, rel=1e-6)
    assert decoupling_loss(steps, same, reduce="sum").item() == pytest.approx(1.96 + 1.5, rel=1e-6)


def test_decoupling_takes_the_cosine_by_sample_after_the_projection():
    c, m = torch.cat([row([1, 0]), row([1, 1])]), torch.cat([row([0, 1]), row([1, 1])])
    assert decoupling_loss([[(c, m)]], torch.nn.Identity()).item() == pytest.approx(0.5)
    biased = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(biased.weight, 1.0)
    torch.nn.init.constant_(biased.bias, 1.0)
    # (2, 1) and (1, 2): 4 / 5; (2, 2) with itself: 1.
    assert decoupling_loss([[(c, m)]], biased).item() == pytest.approx(0.9)


def test_decoupling_holds_layers_of_different_scale_and_reaches_what_was_written():
    generator = torch.Generator().manual_seed(1)
    steps = [
        [
            tuple(torch.randn(2, 4, side, side, generator=generator, requires_grad=True) for _ in "cm")
            for side in (8, 4, 8)
        ]
        for _ in range(2)
    ]
    projection = torch.nn.Conv2d(4, 4, 1, bias=False)
    loss = decoupling_loss(steps, projection)
    loss.backward()
    assert 0 < loss.item() < 1
    assert all(written.grad.abs().sum() > 0 for step in steps for pair in step for written in pair)
    assert projection.weight.grad.abs().sum() > 0


def test_a_network_without_two_memories_has_nothing_to_decouple():
    with pytest.raises(ValueError, match="two memories"):
        decoupling_loss([[], []], torch.nn.Identity())


def test_differential_divergence_by_hand():
    truth = torch.tensor([[0.0, 0.0], [0.0, 0.0]])[None, :, None, None]
    forecast = torch.tensor([[0.5, 0.5], [0.5 + 0.1 * math.log(3), 0.5]])[None, :, None, None]
    # Softmax of (ln 3, 0) is (3/4, 1/4); of the truth (1/2, 1/2); OpenSTL's mean is over the two pixels.
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert differential_divergence(forecast, truth).item() == pytest.approx(divergence / 2, rel=1e-4)
    assert differential_divergence(forecast, truth, tau=0.2).item() < divergence / 4


def test_differential_divergence_sees_changes_only():
    generator = torch.Generator().manual_seed(2)
    truth = torch.rand(2, 4, 3, 8, 8, generator=generator)
    still = torch.rand(2, 1, 3, 8, 8, generator=generator)
    assert differential_divergence(truth + still, truth).item() == pytest.approx(0.0, abs=1e-6)
    assert differential_divergence(truth.flip(1), truth).item() > 1e-4
    assert differential_divergence(truth[:, :1], truth[:, :1] + 1).item() == 0.0
