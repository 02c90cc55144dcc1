"""PredRNN and MS-PredRNN: what every cell must hold to, and the equations by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.nets.rain_nowcaster import RainNowcaster
from model.nets.st_lstm import STLSTM
from model.nets.stack import RecurrentStack, StackConfig

MS = StackConfig(hidden=6, scales=(1, 2, 4, 4, 2, 1), kernel=3, patch=2, embed=True)
PLAIN = StackConfig(hidden=6, scales=(1, 1, 1, 1), kernel=5, patch=4, forget_bias=1.0)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(7)


def run(stack, frames):
    """Answers [b, t, c, y, x] to frames [b, t, c, y, x]."""
    state = stack.initial_state(frames.shape[0], *frames.shape[-2:], like=frames)
    answers = []
    for index in range(frames.shape[1]):
        answer, state = stack.step(frames[:, index], state)
        answers.append(answer)
    return torch.stack(answers, 1)


@pytest.mark.parametrize("config", [PLAIN, MS], ids=["predrnn", "ms-predrnn"])
class TestStack:
    def test_samples_of_a_batch_do_not_mix(self, config):
        stack = RecurrentStack(config).eval()
        frames = torch.rand(3, 4, 1, 32, 32)
        together = run(stack, frames)
        alone = torch.cat([run(stack, frames[i : i + 1]) for i in range(3)])
        assert torch.allclose(together, alone, atol=1e-6)

    def test_nothing_leaks_from_one_sequence_into_the_next(self, config):
        stack = RecurrentStack(config).eval()
        frames = torch.rand(1, 4, 1, 32, 32)
        first = run(stack, frames)
        run(stack, torch.rand(1, 4, 1, 32, 32))
        assert torch.equal(first, run(stack, frames))

    def test_any_height_and_width(self, config):
        assert run(RecurrentStack(config), torch.rand(1, 2, 1, 32, 64)).shape == (1, 2, 1, 32, 64)

    def test_gradient_reaches_every_parameter(self, config):
        stack = RecurrentStack(config)
        run(stack, torch.rand(1, 3, 1, 32, 32)).square().sum().backward()
        idle = [name for name, p in stack.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not idle

    def test_the_past_matters(self, config):
        stack = RecurrentStack(config).eval()
        frames = torch.rand(1, 4, 1, 32, 32)
        other = frames.clone()
        other[:, 0] = 0
        assert (run(stack, frames)[:, -1] - run(stack, other)[:, -1]).abs().max() > 1e-5


def test_one_step_of_the_cell_is_the_papers_equations():
    cell = STLSTM(2, 3, kernel=3, forget_bias=1.0, bias=True)
    x, m, h, c = torch.rand(1, 2, 5, 6), *torch.rand(3, 1, 3, 5, 6)
    conv = torch.nn.functional.conv2d
    sigma, tanh = torch.sigmoid, torch.tanh

    def part(module, gate, at, inputs):
        rows = slice(3 * at, 3 * at + 3)
        return conv(inputs, module.weight[rows], module.bias[rows], padding=1)

    def gate(at_x, from_other, at_other, other):
        return part(cell.from_x, None, at_x, x) + part(from_other, None, at_other, other)

    g, i, f = tanh(gate(0, cell.from_h, 0, h)), sigma(gate(1, cell.from_h, 1, h)), sigma(gate(2, cell.from_h, 2, h) + 1)
    c_new = f * c + i * g
    g_m, i_m = tanh(gate(3, cell.from_m, 0, m)), sigma(gate(4, cell.from_m, 1, m))
    m_new = sigma(gate(5, cell.from_m, 2, m) + 1) * m + i_m * g_m
    both = torch.cat([c_new, m_new], 1)
    o = sigma(gate(6, cell.from_h, 3, h) + cell.from_memories(both))
    h_new = o * tanh(cell.merge(both))

    got_h, got_m, (state_h, state_c) = cell.step(x, m, (h, c))
    for ours, theirs in ((got_h, h_new), (got_m, m_new), (state_h, h_new), (state_c, c_new)):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_memory_zigzags_from_the_last_layer_to_the_first_of_the_next_step():
    stack = RecurrentStack(PLAIN)
    frame = torch.rand(1, 1, 32, 32)
    state = stack.initial_state(1, 32, 32, frame)
    _, after = stack.step(frame, state)
    without_m = (*after[:-1], torch.zeros_like(after[-1]))
    h_first = stack.step(frame, after)[1][0]
    assert (h_first - stack.step(frame, without_m)[1][0]).abs().max() > 1e-5


def test_the_skip_joins_the_layers_of_one_scale():
    """With the layers between cut off (their output zeroed by the gate), layer 6 still hears layer 1."""
    stack = RecurrentStack(MS)
    frame = torch.rand(1, 1, 32, 32)
    state = stack.initial_state(1, 32, 32, frame)
    heard = []
    stack.cells[5].register_forward_hook(lambda *_: None)
    original = stack.cells[5].step

    def listen(x, m, layer_state):
        heard.append(x)
        return original(x, m, layer_state)

    stack.cells[5].step = listen
    for layer in (1, 2, 3, 4):
        torch.nn.init.zeros_(stack.cells[layer].merge.weight)
        torch.nn.init.zeros_(stack.cells[layer].merge.bias)
    _, after = stack.step(frame, state)
    assert torch.allclose(heard[0], after[0], atol=1e-6)


def test_ms_rnn_costs_43_75_percent_of_the_plain_stack():
    def macs(scales):
        return sum(1 / scale**2 for scale in scales)

    assert macs(MS.scales) / macs((1,) * 6) == pytest.approx(0.4375)


def test_scales_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="neighbours"):
        replace(MS, scales=(1, 4, 1))
    with pytest.raises(ValueError, match="begin and end"):
        replace(MS, scales=(2, 1))


def test_an_untrained_nowcaster_is_persistence():
    net = RainNowcaster(replace(MS, in_channels=2, conditions=2)).eval()
    frames = torch.rand(1, 4, 32, 32)
    forecast = net(frames, torch.ones_like(frames), torch.tensor([5.0]), 3)
    assert torch.allclose(forecast, frames[:, -1:].expand(-1, 3, -1, -1))


def test_the_time_step_reaches_the_forecast():
    net = RainNowcaster(replace(MS, in_channels=2, conditions=2)).eval()
    torch.nn.init.normal_(net.stack.output.weight, std=0.1)
    frames = torch.full((1, 4, 32, 32), 0.5)
    answers = [net(frames, torch.ones_like(frames), torch.tensor([step]), 2) for step in (5.0, 15.0)]
    assert (answers[0] - answers[1]).abs().max().item() > 1e-4
    assert np.isfinite(answers[0].detach().numpy()).all()
