"""Every network, exported: the graph forecasts like PyTorch at any size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.core.catalog import Catalog
from model.export.onnx import export_float32
from model.export.parity import check_parity
from model.export.trace import trace
from model.nets.forecast_model import FrameBatch, ModelConfig, RecurrentModel, build_model, load_model
from model.nets.networks import IN_MS_RNN
from model.runtime.device import open_session
from model.runtime.graph_session import FRACTION, VALID, ForecastInput, OneStepSession, WholeSession
from model.runtime.ort import ort
from tests.model.nets.small import CONFIGS, CONTEXT, network

STEPS = 20 - CONTEXT + 1
"""Leads: with the context, 20 steps of a recurrent network."""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads that wait for one another cost more than these networks do."""
    monkeypatch.setenv("ECHOCAST_THREADS", "1")


def largest_difference(net, path, **extent):
    return check_parity(net, path, limit=np.inf, **extent).difference


def of_rain(name):
    """A small network as it reads rain: what is known, and time; with weights that let its states show."""
    small = network(name)
    recurrent = isinstance(small, RecurrentModel)
    torch.manual_seed(7)
    net = build_model(replace(small.config, reads_known=True, reads_time=True))
    output = net.stack.embedding.output if recurrent else net.net.output
    with torch.no_grad():
        for parameter in net.parameters():
            # A layer norm undoes the scale of what it reads: above 1, rounding grows with each step, in torch as well.
            parameter.mul_(0.7 if recurrent and net.config.net.layer_norm else 1.2)
        for parameter in output.parameters():  # zero at first, which would hide all else
            parameter.normal_(std=0.1)
        for part, parameter in net.named_parameters():
            if "action" in part:
                parameter.mul_(4)
    return net.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_one_graph_forecasts_like_pytorch_on_two_grids(name, tmp_path):
    net, path = of_rain(name), tmp_path / "model.onnx"
    export_float32(trace(net), path)
    side = max(8, 2 * net.config.net.stride)
    for shape in ((side, side), (side, 3 * side // 2)):
        assert largest_difference(net, path, steps=STEPS, shape=shape, frames=CONTEXT) < 1e-4


@pytest.mark.parametrize("name", ["action-predrnn", "action-predrnn-v2"])
def test_parity_detects_fields_of_other_times(name, tmp_path):
    net, path = of_rain(name), tmp_path / "model.onnx"
    export_float32(trace(net), path)
    step = net.stack.step
    shifted = iter(torch.randn(CONTEXT + STEPS, 1, net.config.fields, 16, 16))
    net.stack.step = lambda frame, state, conditions, fields: step(frame, state, conditions, next(shifted))
    assert largest_difference(net, path, steps=STEPS, shape=(16, 16), frames=CONTEXT) > 1e-3


def test_an_unbounded_network_reads_its_forecast_without_the_ceiling(tmp_path):
    """Whatever ceiling the forecast has: what is above it is read again all the same."""
    torch.manual_seed(2)
    small = network("predrnn").config
    net = build_model(replace(small, residual=False, bounded=False)).eval()
    torch.nn.init.normal_(net.stack.embedding.output.weight, std=0.5)
    export_float32(trace(net), tmp_path / "model.onnx")
    data = np.random.default_rng(3).random((CONTEXT, 1, 16, 16), dtype=np.float32)
    observed = ForecastInput(data=data, known=np.ones_like(data), step_minutes=5.0)
    with torch.no_grad():
        raw = net(FrameBatch(torch.from_numpy(data)[None], torch.ones(1, CONTEXT, 1, 16, 16), torch.tensor([5.0])), 5)[
            0
        ]
    served = np.stack(list(open_session(tmp_path / "model.onnx").run(replace(observed, ceiling=0.01), 5)))
    assert raw.max() > 0.02
    assert np.abs(served - np.minimum(raw.numpy(), np.float32(0.01))).max() < 1e-5


@pytest.mark.parametrize("name", ["ms-trajgru in MS-RNN", "ms-predrnn in MS-RNN"])
def test_parity_detects_wrong_states(name, tmp_path):
    net, path = of_rain(name), tmp_path / "model.onnx"
    export_float32(trace(net), path)
    with torch.no_grad():
        for cell in net.stack.cells:
            for parameter in cell.parameters():
                parameter.mul_(1.2)
    assert largest_difference(net, path, steps=STEPS, shape=(16, 16), frames=CONTEXT) > 1e-4


def test_parity_allows_amplified_rounding_and_still_detects_wrong_weights(tmp_path):
    net, path = of_rain("predrnn-pp"), tmp_path / "model.onnx"
    with torch.no_grad():
        for parameter in net.stack.cells.parameters():
            parameter.mul_(1.2 / 0.7)
    export_float32(trace(net), path)

    def found(steps):
        return check_parity(net, path, steps=steps, shape=(16, 32), frames=10, limit=1e-4)

    assert found(12).difference > 2e-4
    assert found(12).rounding > 1e-4
    assert found(12).within
    with torch.no_grad():
        net.stack.cells[1].from_h[0].weight.mul_(1.02)
    assert not found(12).within


@pytest.mark.parametrize("name", ["ms-predrnn in MS-RNN", "tau", "simvp-incepu", "motionrnn"])
def test_a_graph_computes_a_batch_like_pytorch(name, tmp_path):
    net, path = of_rain(name), tmp_path / "model.onnx"
    export_float32(trace(net), path)
    session = open_session(path).session
    whole = not isinstance(net, RecurrentModel)
    generator = np.random.default_rng(1)
    lead = (3, CONTEXT) if whole else (3,)
    read = {name: generator.random((*lead, 1, 32, 48), dtype=np.float32) for name in (FRACTION, VALID)}
    tensors = [torch.from_numpy(value) for value in read.values()]
    with torch.no_grad():
        read["conditions"] = generator.random((*lead, 2), dtype=np.float32)
        tensors.append(torch.from_numpy(read["conditions"]))
        if whole:
            expected, _ = net.next_frames(*tensors)
        else:
            state = [torch.rand_like(part) for part in net.stack.initial_state(3, 32, 48, tensors[0])]
            names = [spec.name for spec in net.states()]
            expected = net.step(*tensors, None, tuple(state))[0]
            read |= {name: part.numpy() for name, part in zip(names, state, strict=True)}
    (output,) = session.run(["next"], read)
    assert np.abs(output - expected.numpy()).max() < 1e-4


def test_the_inputs_of_a_graph_are_those_of_its_network(tmp_path):
    reads = {}
    for name, net in {
        "blind": network("predrnn"),
        "rain": of_rain("predrnn"),
        "fields": of_rain("action-predrnn"),
        "whole": of_rain("tau"),
    }.items():
        export_float32(trace(net), tmp_path / f"{name}.onnx")
        session = open_session(tmp_path / f"{name}.onnx")
        assert isinstance(session, WholeSession if name == "whole" else OneStepSession)
        reads[name] = session.reads
    assert reads == {
        "blind": ["fraction"],
        "rain": ["fraction", "valid", "conditions"],
        "fields": ["fraction", "valid", "conditions", "fields"],
        "whole": ["fraction", "valid", "conditions"],
    }


def test_the_states_of_a_graph_have_the_names_of_the_network(tmp_path):
    net = of_rain("predrnn-pp")
    export_float32(trace(net), tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx")
    names = [spec.name for spec in net.states()]
    assert {"h1", "c4", "z", "m"} <= set(names)
    assert [item.name for item in session.get_inputs()][3:] == names
    assert [item.name for item in session.get_outputs()] == ["next", *(f"new_{name}" for name in names)]


def test_a_network_with_one_grid_and_several_channels_is_exported(tmp_path):
    torch.manual_seed(2)
    stack = replace(IN_MS_RNN["ms-mim"](), hidden=8, layer_norm=True, grid=(16, 24))
    net = build_model(ModelConfig(net=stack, channels=3, residual=False))
    export_float32(trace(net), tmp_path / "model.onnx")
    assert largest_difference(net, tmp_path / "model.onnx", steps=STEPS, shape=(16, 24), frames=CONTEXT) < 1e-4


def test_the_shipped_graph_has_the_shipped_weights():
    info = Catalog().find("rain-ms-predrnn")
    graph = info.folder / "model.fp32.onnx"
    net = load_model(info.folder)
    assert largest_difference(net, graph, steps=12, shape=(64, 96), frames=info.input_frames) < 1e-4
    start = torch.rand(1, info.input_frames, 1, 64, 64)
    frames = FrameBatch(data=start, known=torch.ones_like(start), step_minutes=torch.tensor([5.0]))
    with torch.no_grad():
        assert (net(frames, 3) - start[:, -1:]).abs().max() > 0.1  # not persistence
    assert sum(path.stat().st_size for path in info.folder.iterdir()) <= 12 * 2**20
