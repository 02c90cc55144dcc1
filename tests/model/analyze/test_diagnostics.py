"""The figures behind the pictures, against networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from model.analyze.diagnostics import cosines, gradient_by_frame, layer_responses, rollout_increments
from model.nets.forecast_model import FrameBatch

from .conftest import CONTEXT, network, simvp, stack


def frames(batch=2, height=16, width=24):
    generator = torch.Generator().manual_seed(1)
    return FrameBatch(
        data=torch.rand(batch, CONTEXT, 1, height, width, generator=generator),
        known=torch.ones(batch, CONTEXT, 1, height, width),
        step_minutes=torch.full((batch,), 5.0),
    )


def forgetful():
    """A stack in which nothing of a step reaches the next: H and M are not heard, C and M are forgotten at once."""
    net = network(stack(forget_bias=-100.0))
    for cell in net.stack.layers():
        for parameter in [*cell.from_h.parameters(), *cell.from_m.parameters()]:
            nn.init.zeros_(parameter)
    return net


def test_the_gradient_of_a_network_without_memory_comes_from_the_newest_frame_alone():
    for leads in (1, 3):
        gradient = gradient_by_frame(forgetful(), frames(), leads)
        assert gradient[-1] > 0
        assert not gradient[:-1].any()


@pytest.mark.parametrize("net", [stack(), stack(cell="conv-lstm", decoupled=False), simvp()], ids=str)
def test_the_gradient_of_a_network_with_memory_comes_from_every_frame(net):
    gradient = gradient_by_frame(network(net), frames(), 2)
    assert gradient.shape == (CONTEXT,)
    assert (gradient > 0).all()


def test_the_gradient_is_the_slope_of_the_forecast():
    net, read = network(stack()).double(), frames(batch=1)
    read = FrameBatch(read.data.double(), read.known.double(), read.step_minutes.double())
    slope = 0.0
    for row, column in np.ndindex(16, 24):
        bump = torch.zeros_like(read.data)
        bump[0, 0, 0, row, column] = 1e-5
        with torch.no_grad():
            up, down = (net(read._replace(data=read.data + sign * bump), 1).sum() for sign in (1, -1))
        slope += abs(float(up - down)) / 2e-5 / (16 * 24)
    assert gradient_by_frame(net, read, 1)[0] == pytest.approx(slope, rel=1e-4)


def test_a_forecast_that_is_cut_off_everywhere_has_no_gradient():
    net = network(stack())
    nn.init.constant_(net.stack.embedding.output.bias, 50.0)
    assert not gradient_by_frame(net, frames(), 1).any()


@pytest.mark.parametrize("net", [stack(), simvp()], ids=str)
def test_looking_leaves_the_network_as_it_was(net):
    net, read = network(net), frames()
    before = net(read, 2)
    gradient_by_frame(net, read, 2)
    layer_responses(net, read, 2)
    assert torch.equal(net(read, 2), before)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_cosine_of_the_same_is_one_of_the_opposite_too_and_of_orthogonal_increments_zero():
    left, right = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    left[..., :2], right[..., 2:] = 1.0, 3.0
    nothing = torch.zeros(1, 1, 4, 4)
    (of_layer,) = cosines([[(left, 2 * left)], [(left, -left)], [(left, right)], [(left, nothing)]])
    assert of_layer.shape == (4, 1, 1)
    np.testing.assert_allclose(of_layer.ravel(), [1, 1, 0, 0], atol=1e-6)


def test_the_projection_is_applied_to_both_before_the_angle_is_taken():
    left, right = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    left[..., :2], right[..., 2:] = 1.0, 3.0
    to_c, to_m = torch.cat([left, right], dim=1), torch.cat([right, left], dim=1)
    summed = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.ones_(summed.weight)
    assert not cosines([[(to_c, to_m)]])[0].any()
    np.testing.assert_allclose(cosines([[(to_c, to_m)]], summed)[0], 1, atol=1e-6)


def test_each_layer_and_step_has_its_increments_where_there_are_two_memories():
    found = cosines(rollout_increments(network(stack()), frames(), 2))
    assert [layer.shape for layer in found] == [(CONTEXT + 1, 2, 4)] * 3
    assert not rollout_increments(network(stack(cell="conv-lstm", decoupled=False)), frames(), 2)
    assert not rollout_increments(network(simvp()), frames(), 2)


@pytest.mark.parametrize("net", [stack(), stack(motion=True), simvp()], ids=str)
def test_responses_go_from_the_frame_that_was_read_to_the_forecast(net):
    net, read = network(net), frames()
    forecast = net(read, CONTEXT + 1).detach()
    found = layer_responses(net, read, CONTEXT + 1)
    assert found.read_at == (1 if isinstance(net.config.net, type(simvp())) else CONTEXT)
    np.testing.assert_allclose(found.forecast, forecast[0, -1], atol=1e-6)
    np.testing.assert_allclose(found.read, forecast[0, found.read_at - 1], atol=1e-6)
    np.testing.assert_array_equal(found.newest, read.data[0, -1])


def test_the_response_of_each_layer_is_its_h_at_its_own_scale():
    net, read = network(stack()), frames()
    one = FrameBatch(read.data[:, :1], read.known[:, :1], read.step_minutes)
    state = net.stack.initial_state(2, 16, 24, one.data)
    after = dict(zip([spec.name for spec in net.states()], net.stack.step(one.data[:, 0], state).state, strict=True))
    expected = [after[name] for name in ("h1", "h2", "h3")]
    found = layer_responses(net, one, 1)
    assert [name for name, _ in found.layers] == ["layer 1", "layer 2", "layer 3"]
    assert [response.shape for _, response in found.layers] == [(8, 12), (4, 6), (8, 12)]
    for (_, response), h in zip(found.layers, expected, strict=True):
        np.testing.assert_allclose(response, h[0].abs().mean(dim=0).detach(), atol=1e-6)


def test_a_whole_network_responds_at_the_place_of_the_lead():
    net, read = network(simvp()), frames()
    found = layer_responses(net, read, 2)
    assert found.read_at == 2 - CONTEXT
    assert [name for name, _ in found.layers] == [
        *("encoder 1", "encoder 2"),
        "translator",
        *("decoder 1", "decoder 2"),
    ]
    with torch.no_grad():
        first = net.net.encoder[0](read.data[:1, 1])
    np.testing.assert_allclose(found.layers[0][1], first[0].abs().mean(dim=0), atol=1e-5)
