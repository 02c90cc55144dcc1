"""What every network must hold to, plain and multi-scale, as its authors and as MS-RNN have it."""

import pytest
import torch

from model.losses import decoupling_loss
from model.nets.forecast_model import FrameBatch, RecurrentModel
from tests.model.nets.small import CONFIGS, CONTEXT, frames, network

LEADS = 3
pytestmark = pytest.mark.parametrize("name", CONFIGS)


def test_samples_of_a_batch_do_not_mix(name):
    net = network(name, loud=False)
    batch = frames(net, batch=3)
    with torch.no_grad():
        together = net(batch, LEADS)
        alone = [
            net(FrameBatch(*(part if part is None else part[i : i + 1] for part in batch)), LEADS) for i in range(3)
        ]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)  # layer norms amplify rounding; mixing shows at 0.1


def test_nothing_is_kept_from_one_sequence_for_the_next(name):
    net = network(name)
    one, other = frames(net), frames(net, seed=4)
    with torch.no_grad():
        first = net(one, LEADS)
        net(other, LEADS)
        assert torch.equal(net(one, LEADS), first)


def test_any_height_and_width_that_fit_its_stride(name):
    net = network(name)
    stride = net.config.net.stride
    height, width = 2 * stride, 3 * stride
    with torch.no_grad():
        assert net(frames(net, height=height, width=width), LEADS).shape == (1, LEADS, 1, height, width)


def test_more_leads_go_on_where_fewer_stop(name):
    net = network(name)
    with torch.no_grad():
        few, many = net(frames(net), LEADS), net(frames(net), CONTEXT + LEADS)
    assert many.shape[1] == CONTEXT + LEADS
    assert torch.allclose(many[:, :LEADS], few, atol=1e-6)


def test_the_gradient_reaches_every_parameter(name):
    net = network(name).train()
    rollout = net.rollout(frames(net, batch=2), CONTEXT, LEADS)
    loss = (rollout.frames - 0.5).square().sum()
    if isinstance(net, RecurrentModel) and net.stack.decouple is not None:
        loss = loss + decoupling_loss(rollout.increments, net.stack.decouple)
    loss.backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_the_first_frame_matters_to_the_last(name):
    net = network(name)
    one = frames(net)
    other = one._replace(data=torch.cat([1 - one.data[:, :1], one.data[:, 1:]], dim=1))
    with torch.no_grad():
        change = (net(one, LEADS)[:, -1] - net(other, LEADS)[:, -1]).abs().max()
    assert change > 1e-5


def test_in_bfloat16_it_answers_nearly_the_same(name):
    net = network(name, loud=False)
    batch = frames(net)
    with torch.no_grad():
        exact = net(batch, LEADS)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(batch, LEADS)
    assert torch.isfinite(rough.float()).all()
    assert (rough.float() - exact).abs().mean() < 0.02


def test_true_frames_are_read_where_they_are_asked_for(name):
    net = network(name)
    if not isinstance(net, RecurrentModel):
        with pytest.raises(ValueError, match="no true frames"):
            net.rollout(frames(net, context=CONTEXT + LEADS), CONTEXT, LEADS, torch.ones(1, CONTEXT + LEADS - 1).bool())
        return
    batch = frames(net, context=CONTEXT + LEADS)
    always = torch.ones(1, CONTEXT + LEADS - 1, dtype=torch.bool)
    never_after = always.clone()
    never_after[:, CONTEXT:] = False
    with torch.no_grad():
        taught = net.rollout(batch, CONTEXT, LEADS, always).frames
        free = net.rollout(batch, CONTEXT, LEADS, never_after).frames
        alone = net.rollout(batch, CONTEXT, LEADS).frames
        one_step = net.rollout(batch, CONTEXT + LEADS - 1, 1).frames
    assert torch.allclose(free, alone, atol=1e-6)
    assert torch.allclose(taught, one_step, atol=1e-6)
    assert (taught - free).abs().max() > 1e-5


def test_activation_checkpointing_gives_the_same_gradients_from_less_memory(name):
    net = network(name).train()
    if not isinstance(net, RecurrentModel):
        pytest.skip("a recurrent-free model has no time steps to recompute")

    def gradient():
        """All gradients as one vector, and how many bytes were kept for them."""
        sizes = []
        net.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            rollout = net.rollout(frames(net, batch=2), CONTEXT, LEADS)
        loss = (rollout.frames - 0.5).square().sum()
        if net.stack.decouple is not None:
            loss = loss + decoupling_loss(rollout.increments, net.stack.decouple)
        loss.backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()]), sum(sizes)

    whole, kept = gradient()
    net.checkpoint_activations = True
    again, kept_then = gradient()
    assert torch.allclose(again, whole, rtol=1e-4, atol=1e-5 * whole.abs().max())
    assert kept_then < 0.35 * kept
