"""Losses against values worked out by hand."""

import pytest
import torch

from model.losses import balanced_loss, fraction_of, pixel_weights, soft_csi_loss


def pixels(*values):
    """[1, 1, 1, n] of rain rates as fractions."""
    return torch.tensor([[[[fraction_of(value) for value in values]]]])


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
