"""The distribution head: monotone whatever the weights, and trained by a proper score."""

import numpy as np
import pytest
import torch

from model.core.rain_distribution import RainDistribution
from model.losses import exceedance_loss
from model.metrics import float32_pixel_threshold
from model.nets.exceedance_head import ExceedanceHead
from model.nets.forecast_model import FrameBatch, ModelConfig, build_model
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig

THRESHOLDS = (0.1, 0.5, 2.0, 10.0, 50.0)
CELLS = ("conv-lstm", "traj-gru", "st-lstm", "causal-lstm", "mim")


def networks():
    for cell in CELLS:
        yield cell, StackConfig(cell=cell, hidden=4, kernel=3, scales=(1, 2, 1), patch=2, embed="pointwise")
    yield "strided", StackConfig(hidden=4, kernel=3, scales=(1, 1), patch=2, embed="strided", embed_skips=True)
    yield "plain pixels", StackConfig(hidden=4, kernel=3, scales=(1, 1))
    for translator in ("tau", "gsta", "incepu"):
        yield (
            translator,
            SimVPConfig(translator=translator, frames=4, hidden=4, translator_hidden=16, translator_layers=2),
        )


@pytest.mark.parametrize(("name", "net"), [pytest.param(*each, id=each[0]) for each in networks()])
def test_every_network_forecasts_a_distribution_that_is_monotone_whatever_its_weights(name, net):
    torch.manual_seed(0)
    model = build_model(ModelConfig(net=net, thresholds_mm_h=THRESHOLDS)).train()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    data = torch.rand(2, 4, 1, 32, 48)
    frames = FrameBatch(data, torch.ones_like(data), torch.full((2,), 5.0))
    rollout = model.rollout(frames, 4, 6)
    assert rollout.exceedance.shape == (2, 6, len(THRESHOLDS), 32, 48)
    assert torch.isfinite(rollout.exceedance).all()
    assert (rollout.exceedance.diff(dim=2) < 0).all()
    weights = (1.0,) * len(THRESHOLDS)
    exceedance_loss(
        rollout.exceedance,
        data[:, :1].expand(-1, 6, -1, -1, -1),
        torch.ones(2, 6, 1, 32, 48),
        thresholds_mm_h=THRESHOLDS,
        threshold_weights=weights,
    ).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing


def test_an_untrained_network_says_that_the_rain_that_it_reads_stays():
    head = ExceedanceHead(THRESHOLDS)
    frame = torch.full((1, 1, 1, 1), float32_pixel_threshold(2.0))
    chance = torch.sigmoid(head(frame, torch.zeros(1, head.planes, 1, 1)))[0, :, 0, 0]
    assert chance[2] == pytest.approx(0.5, abs=0.1)
    assert chance[0] > 0.95
    assert chance[4] < 0.01


def test_the_loss_is_least_at_the_true_frequencies():
    """A proper score: heavy rain may weigh more, and the frequencies stay the best forecast."""
    truth = torch.rand(1, 1, 1, 40, 50, generator=torch.Generator().manual_seed(1))
    edges = torch.tensor([float32_pixel_threshold(threshold) for threshold in THRESHOLDS])
    frequency = (truth >= edges[:, None, None]).float().mean(dim=(0, 1, 3, 4))

    def loss(chance):
        logits = torch.logit(chance)[None, None, :, None, None].expand(1, 1, -1, 40, 50)
        known = torch.ones_like(truth)
        return exceedance_loss(logits, truth, known, thresholds_mm_h=THRESHOLDS, threshold_weights=(1, 2, 3, 4, 5))

    assert loss(frequency) < min(loss(frequency * factor) for factor in (0.9, 0.97, 1.03, 1.1))


def test_pixels_without_truth_do_not_count():
    logits = torch.randn(1, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2)).cumsum(dim=2)
    truth, known = torch.rand(1, 2, 1, 8, 8), torch.ones(1, 2, 1, 8, 8)
    known[..., 4:] = 0
    settings = {"thresholds_mm_h": (0.5, 2.0, 5.0), "threshold_weights": (1.0, 1.0, 1.0)}
    half = exceedance_loss(logits, truth, known, **settings)
    changed = torch.where(known.bool(), truth, 1 - truth)
    assert exceedance_loss(logits, changed, known, **settings) == half


def test_fields_of_a_distribution_agree_with_samples_of_it():
    rng = np.random.default_rng(3)
    exceedance = np.sort(rng.random((len(THRESHOLDS), 4)), axis=0)[::-1].astype(np.float32)
    levels = rng.random(200_000).astype(np.float32)
    for pixel in range(4):
        column = exceedance[:, pixel : pixel + 1]
        rain = RainDistribution(THRESHOLDS, column)
        samples = RainDistribution(THRESHOLDS, np.broadcast_to(column, (len(THRESHOLDS), levels.size))).value_at(levels)
        assert samples.mean() == pytest.approx(rain.expected()[0], rel=0.02)
        assert np.median(samples) == pytest.approx(rain.median()[0], rel=0.05, abs=0.01)
        for threshold, chance in zip(
            (0.2, 2.0, 30.0, 80.0), rain.probability_of_exceedance((0.2, 2, 30, 80)), strict=True
        ):
            assert (samples >= threshold).mean() == pytest.approx(chance[0], abs=0.01)


def test_probabilities_between_thresholds_fall_in_the_last_bit_too():
    """A half percent, to which a file rounds them, may lie between two numbers that differ by rounding."""
    falling = np.sort(np.random.default_rng(4).random((len(THRESHOLDS), 100_000), dtype=np.float32), axis=0)[::-1]
    falling[:, ::2] = falling[0, ::2]
    asked = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 80.0)
    found = RainDistribution(THRESHOLDS, falling).probability_of_exceedance(asked)
    assert (np.diff(found, axis=0) <= 0).all()


def test_the_sharp_field_reaches_a_threshold_where_its_probability_exceeds_the_cut():
    exceedance = np.array([[0.9, 0.9, 0.3], [0.7, 0.45, 0.2], [0.5, 0.1, 0.0], [0.2, 0.0, 0.0], [0.0] * 3], np.float32)
    sharp = RainDistribution(THRESHOLDS, exceedance).sharp((0.4, 0.4, 0.4, 0.3, 0.3))
    assert 2 <= sharp[0] < 10
    assert 0.5 <= sharp[1] < 2
    assert sharp[2] == 0
    falling = RainDistribution(THRESHOLDS, np.array([[0.5], [0.38], [0.37], [0.35], [0.0]], np.float32))
    assert THRESHOLDS[3] <= falling.sharp((0.4, 0.4, 0.4, 0.3, 0.3))[0] < THRESHOLDS[4]
    assert np.isnan(RainDistribution(THRESHOLDS, np.full((5, 1), np.nan, np.float32)).sharp((0.4,) * 5)[0])


def calibrated(spread, seed=2, side=400):
    """Probabilities of two events that are right, and what was seen; the larger the spread, the surer they are."""
    rng = np.random.default_rng(seed)
    score = spread * rng.standard_normal((side, side)) - 2.5
    chance = 1 / (1 + np.exp(-score))
    exceedance = np.stack([chance, chance**2]).astype(np.float32)
    drawn = rng.random((side, side))
    return RainDistribution((1.0, 5.0), exceedance), [drawn < each for each in exceedance]


@pytest.mark.parametrize("spread", [1.5, 2.5, 5.0])
def test_the_best_cut_has_the_highest_csi_of_what_is_seen(spread):
    """The surer the probabilities, the higher the cut: no single cut is the best for all of them."""
    distribution, seen = calibrated(spread)
    cuts = distribution.best_cuts((0.9, 0.9))

    def csi(row, cut):
        region = distribution.exceedance[row] > cut
        return (region & seen[row]).sum() / (region | seen[row]).sum()

    for row, cut in enumerate(cuts):
        best = max(csi(row, other) for other in np.arange(0.1, 0.9, 0.02))
        assert csi(row, cut) >= 0.97 * best
        assert (distribution.exceedance[row] > cut).sum() <= 1.1 * seen[row].sum()
    assert cuts == distribution.best_cuts((0.1, 0.1))


def test_cuts_rise_with_the_certainty_and_those_given_serve_where_next_to_nothing_is_expected():
    found = [calibrated(spread)[0].best_cuts((0.9, 0.9))[0] for spread in (1.5, 2.5, 5.0)]
    assert found[0] < found[1] < found[2]
    dry = RainDistribution((1.0, 5.0), np.full((2, 50, 50), 1e-4, np.float32))
    assert dry.best_cuts((0.4, 0.3)) == (0.4, 0.3)


def test_the_frame_that_is_read_next_passes_no_gradient():
    """The last lead's probabilities depend on the first lead's frame, but the gradient does not pass through it."""
    torch.manual_seed(0)
    net = StackConfig(hidden=4, kernel=3, scales=(1, 1), patch=2, embed="pointwise")
    model = build_model(ModelConfig(net=net, thresholds_mm_h=THRESHOLDS)).train()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    reads = []
    step = model.step
    model.step = lambda frame, *others: reads.append(frame) or step(frame, *others)
    data = torch.rand(1, 4, 1, 16, 16)
    model.rollout(FrameBatch(data, torch.ones_like(data), torch.full((1,), 5.0)), 4, 3)
    assert len(reads) == 6
    assert not any(frame.requires_grad for frame in reads)
