"""How layers hear one another: the zigzag of M, the skips across scales, and which stacks there are."""

from dataclasses import replace

import pytest
import torch

from model.nets.forecast_model import FrameBatch, ModelConfig, build_model
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN, MULTI_SCALE, PLAIN
from model.nets.profile import profile
from model.nets.stack import RecurrentStack, StackConfig
from model.nets.warp import warp

MS = StackConfig(hidden=6, scales=MULTI_SCALE, kernel=3, patch=2, embed="pointwise")
STACKED = StackConfig(hidden=6, scales=(1, 1, 1, 1), kernel=5, patch=4)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(7)


def after_one_step(stack, frame):
    return stack.step(frame, stack.initial_state(1, *frame.shape[2:], frame)).state


def test_memory_zigzags_from_the_last_layer_to_the_first_of_the_next_step():
    stack = RecurrentStack(STACKED)
    frame = torch.rand(1, 1, 32, 32)
    after = after_one_step(stack, frame)
    without_m = (*after[:-1], torch.zeros_like(after[-1]))
    h_first = stack.step(frame, after).state[0]
    assert (h_first - stack.step(frame, without_m).state[0]).abs().max() > 1e-5


def test_the_skip_joins_the_layers_of_one_scale():
    """With the layers between cut off (their output zeroed by the gate), layer 6 still hears layer 1."""
    stack = RecurrentStack(MS)
    frame = torch.rand(1, 1, 32, 32)
    heard = []
    original = stack.cells[5].step

    def listen(below, state):
        heard.append(below.x)
        return original(below, state)

    stack.cells[5].step = listen
    for layer in (1, 2, 3, 4):
        torch.nn.init.zeros_(stack.cells[layer].merge.weight)
        torch.nn.init.zeros_(stack.cells[layer].merge.bias)
    after = after_one_step(stack, frame)
    assert torch.allclose(heard[0], after[0], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in IN_MS_RNN if name.startswith("ms-")])
def test_multi_scale_costs_about_the_44_percent_of_ms_rnns_claim(name):
    def cells(network):
        config = ModelConfig(net=network, reads_known=False, reads_time=False, residual=False)
        layers = profile(build_model(config))
        return [layer.macs_per_pixel for layer in layers if layer.name.startswith("cell")]

    multi, plain = cells(IN_MS_RNN[name]()), cells(IN_MS_RNN[name.removeprefix("ms-")]())
    shares = [few / many for few, many in zip(multi, plain, strict=True)]
    assert shares == pytest.approx([1 / scale**2 for scale in MULTI_SCALE])
    # The claim holds to the letter where all layers cost the same; MIM's first is the cheaper ST-LSTM.
    assert sum(multi) / sum(plain) == pytest.approx(
        0.4375 if "mim" not in name and "motion" not in name else 0.385, abs=0.01
    )


@pytest.mark.parametrize(
    ("name", "millions"),
    [("predrnn", 23.8), ("predrnn-v2", 23.9), ("simvp-gsta", 46.8), ("tau", 44.7), ("simvp-incepu", 58.0)],
)
def test_parameters_are_as_many_as_published(name, millions):
    net = build_model(ModelConfig(net=AS_PUBLISHED[name](), reads_known=False, reads_time=False, residual=False))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scales": (1, 4, 1)}, "another factor"),
        ({"scales": (2, 1)}, "start and end"),
        ({"hidden": (6, 6)}, "differ in length"),
        ({"hidden": (6, 8, 8, 8, 8, 8)}, "only a plain stack of Causal LSTMs"),
        ({"scales": (1,), "gradient_highway": True}, "needs two at least"),
        ({"kernel": 4}, "an even kernel"),
        ({"cell": "conv-lstm", "decoupled": True}, "needs the memories C and M"),
        ({"motion": True, "implementation": "ms-rnn", "embed": "none"}, "needs an embedding"),
    ],
)
def test_stacks_that_do_not_fit_together_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(MS, **changes)


def test_a_state_of_another_stack_is_refused():
    stack = RecurrentStack(MS)
    frame = torch.rand(1, 1, 32, 32)
    with pytest.raises(ValueError, match="this stack has 13"):
        stack.step(frame, after_one_step(stack, frame)[:-1])


def test_a_conditioned_stack_without_fields_is_refused():
    stack = RecurrentStack(STACKED, actions=2)
    frame = torch.rand(1, 1, 32, 32)
    with pytest.raises(ValueError, match="needs an action"):
        after_one_step(stack, frame)


def test_a_zero_flow_is_the_identity_exactly():
    image = torch.randn(2, 3, 37, 53)
    still = warp(image, torch.zeros(2, 4, 2, 37, 53))
    assert torch.equal(still, image.unsqueeze(2).expand_as(still))


def test_a_flow_of_whole_pixels_reads_from_where_it_points():
    image = torch.randn(1, 2, 11, 13)
    moved = warp(image, torch.tensor([2.0, -1.0])[None, None, :, None, None].expand(1, 1, 2, 11, 13))[:, :, 0]
    assert torch.allclose(moved[:, :, 1:, :-2], image[:, :, :-1, 2:], atol=1e-4)
    assert moved[:, :, 0].abs().max() < 1e-4


def rain(net=MS):
    return build_model(ModelConfig(net=net))


def of(frames, step_minutes=5.0):
    return FrameBatch(frames, torch.ones_like(frames), torch.tensor([step_minutes]))


def test_an_untrained_rain_network_is_persistence():
    frames = torch.rand(1, 4, 1, 32, 32)
    forecast = rain().eval()(of(frames), 3)
    assert torch.allclose(forecast, frames[:, -1:].expand(-1, 3, -1, -1, -1))


def test_the_time_step_reaches_the_forecast():
    net = rain().eval()
    torch.nn.init.normal_(net.stack.embedding.output.weight, std=0.1)
    frames = torch.full((1, 4, 1, 32, 32), 0.5)
    answers = [net(of(frames, step), 2) for step in (5.0, 15.0)]
    assert (answers[0] - answers[1]).abs().max().item() > 1e-4


def test_fields_reach_the_forecast():
    net = build_model(ModelConfig(net=STACKED, fields=2)).eval()
    torch.nn.init.normal_(net.stack.embedding.output.weight, std=0.1)
    frames = of(torch.full((1, 4, 1, 32, 32), 0.5))
    night, noon = (frames._replace(fields=torch.full((1, 6, 2, 32, 32), value)) for value in (-1.0, 1.0))
    assert (net(night, 2) - net(noon, 2)).abs().max().item() > 1e-4


def test_plain_and_multi_scale_have_the_same_parameters():
    def count(scales):
        return sum(p.numel() for p in RecurrentStack(replace(MS, scales=scales)).parameters())

    assert count(PLAIN) == count(MULTI_SCALE)
