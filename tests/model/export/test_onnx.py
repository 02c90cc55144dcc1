"""The exported graph answers like torch, at any size, over a whole forecast."""

from dataclasses import replace

import pytest
import torch

from model.export.onnx import export_step, largest_difference
from model.nets.rain_nowcaster import RainNowcaster
from model.train.recipes import ms_predrnn


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    net = RainNowcaster(replace(ms_predrnn().net, hidden=8))
    torch.nn.init.normal_(net.stack.output.weight, std=0.2)  # an untrained output of zero would hide the states
    return net


@pytest.fixture(scope="module")
def graph(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_step(net, path)
    return path


@pytest.mark.parametrize("shape", [(64, 64), (48, 96)])
def test_twelve_steps_are_those_of_torch(net, graph, shape):
    assert largest_difference(net, graph, steps=12, shape=shape, frames=4) < 1e-4


def test_the_comparison_can_fail(net, graph):
    broken = RainNowcaster(net.stack.config)
    broken.load_state_dict(net.state_dict())
    with torch.no_grad():
        broken.stack.cells[3].from_m.weight.mul_(1.5)
    assert largest_difference(broken, graph, steps=12, shape=(64, 64), frames=4) > 1e-4


def test_the_shipped_graph_is_its_weights():
    from safetensors.torch import load_file

    from model.core.catalog import Catalog
    from model.core.manifest import read_manifest
    from model.nets.stack import StackConfig

    folder = Catalog().find("rain-ms-predrnn").folder
    manifest = read_manifest(folder)
    config = StackConfig(**{**manifest.config, "scales": tuple(manifest.config["scales"])})
    shipped = RainNowcaster(config)
    shipped.load_state_dict(load_file(folder / "weights.safetensors"))
    graph = folder / manifest.variants["fp32"]
    assert largest_difference(shipped, graph, steps=12, shape=(64, 96), frames=manifest.input_frames) < 1e-4
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= 12 * 2**20
