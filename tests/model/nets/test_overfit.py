"""Each network can learn one batch of Moving MNIST that nothing without memory can.

The batch holds a sequence and the same sequence backwards. Both show the same newest frame before the forecast, and
then part: whoever sees that frame alone must answer the same to both, and cannot come below a quarter of their squared
difference. A network with a working memory goes far below.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.data.moving_mnist import draw_digits, generate_sequence
from model.nets.forecast_model import FrameBatch, ModelConfig, build_model
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN
from model.nets.simvp import SimVPConfig

CONTEXT, LEADS = 4, 3
ITERATIONS = 250
SAME_BUT_FOR_THE_LOSS = ("predrnn-v2", "ms-predrnn-v2", "action-predrnn", "action-predrnn-v2")
NETWORKS = {
    **{f"{name} in MS-RNN": build() for name, build in IN_MS_RNN.items() if name not in SAME_BUT_FOR_THE_LOSS},
    **{name: build() for name, build in AS_PUBLISHED.items() if name not in SAME_BUT_FOR_THE_LOSS},
}


@pytest.fixture(scope="module")
def batch():
    """[2, 7, 1, 32, 32]: there, and back."""
    frames = (
        generate_sequence(draw_digits(20, seed=0), 2 * CONTEXT - 1, np.random.default_rng(5)).astype(np.float32) / 255
    )
    frames = frames.reshape(2 * CONTEXT - 1, 1, 32, 2, 32, 2).mean(axis=(3, 5))
    there = torch.from_numpy(frames)
    return torch.stack([there, there.flip(0)])


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(net):
    if isinstance(net, SimVPConfig):
        return replace(net, frames=CONTEXT, hidden=16, translator_hidden=32, translator_layers=2, mlp_ratio=2.0)
    return replace(net, hidden=16, patch=4, links=2, scales=(1, 2, 1) if max(net.scales) > 1 else (1, 1))


def without_memory(batch):
    """The least mean squared error of whoever sees the newest frame alone."""
    there, back = batch[:, CONTEXT:]
    return ((there - back) / 2).square().mean().item()


def losses(net, batch):
    """The loss of each iteration."""
    careful = isinstance(net.config.net, SimVPConfig) or net.config.net.layer_norm
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3 if careful else 6e-3)
    frames = FrameBatch(batch, torch.ones_like(batch), torch.ones(2))
    for _ in range(ITERATIONS):
        optimiser.zero_grad()
        answers = net.rollout(frames, CONTEXT, LEADS).frames[:, CONTEXT - 1 :]
        loss = (answers - batch[:, CONTEXT:]).square().mean()
        loss.backward()
        optimiser.step()
        yield loss.item()


def fresh(name):
    torch.manual_seed(0)
    config = ModelConfig(net=small(NETWORKS[name]), reads_known=False, reads_time=False, residual=False)
    return build_model(config).train()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_what_only_memory_can(name, batch):
    enough = without_memory(batch) / 2
    assert any(loss < enough for loss in losses(fresh(name), batch))


def test_a_stack_that_forgets_does_not(batch):
    """The bound is no matter of opinion: the same network, whose state is emptied after every step, stays above it."""
    net = fresh("convlstm")
    step = net.stack.step

    def forgetful(*heard):
        read = step(*heard)
        return read._replace(state=tuple(torch.zeros_like(part) for part in read.state))

    net.stack.step = forgetful
    assert min(losses(net, batch)) >= without_memory(batch) * 0.999
