"""Passes keep the outputs: float32 graphs without splits, and graphs before quantization with merged convolutions."""

import io
import warnings
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from model.export.onnx import export_float32, float32_passes, merge_passes
from model.export.trace import TracedNetwork, trace
from model.runtime.ort import ort
from tests.model.nets.small import network

CHANNELS = 4


def traced(net, *shapes):
    """The graph of a network as the exporter writes it, and its inputs."""
    torch.manual_seed(3)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    inputs = [torch.randn(shape) for shape in shapes]
    return graph_of(net.eval(), inputs), inputs


def graph_of(net, inputs):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, tuple(inputs), file, opset_version=18, dynamo=False)
    return onnx.load_from_string(file.getvalue())


def optimized(model, passes=float32_passes):
    """The graph after these passes."""
    traced = TracedNetwork(model=ir.from_proto(model), strides={}, frames=1)
    return ir.to_proto(ir.passes.Sequential(*passes(traced))(traced.model).model)


def made(net, *shapes, passes=float32_passes):
    """Count the operators after the passes; and the largest difference from the outputs of the traced graph."""
    model, inputs = traced(net, *shapes)
    before = outputs(model, inputs)
    after = optimized(model, passes)
    differences = [np.abs(a - b).max() for a, b in zip(before, outputs(after, inputs), strict=True)]
    return Counter(node.op_type for node in after.graph.node), max(differences)


def outputs(model, inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})


def conv(outputs=CHANNELS, size=3):
    return nn.Conv2d(CHANNELS, outputs, size, padding=size // 2)


class Gates(nn.Module):
    """The gates of a cell; `also`: the sum of all is an output too, so that it must stay."""

    def __init__(self, also=False):
        super().__init__()
        self.from_x, self.from_h = conv(3 * CHANNELS), conv(3 * CHANNELS)
        self.also = also

    def forward(self, x, h):
        gates = self.from_x(x) + self.from_h(h)
        f, i, g = torch.split(gates, CHANNELS, dim=1)
        new = torch.sigmoid(f + 1.0) * h + torch.sigmoid(i) * torch.tanh(g)
        return (new, gates) if self.also else new


IMAGE = (2, CHANNELS, 6, 5)


def test_each_gate_gets_its_own_convolutions_with_the_forget_bias_in_them():
    nodes, difference = made(Gates(), IMAGE, IMAGE)
    assert nodes == {"Conv": 6, "Add": 3 + 1, "Sigmoid": 2, "Tanh": 1, "Mul": 2}
    assert difference < 1e-5


def test_gates_that_are_also_read_together_stay_together():
    nodes, difference = made(Gates(also=True), IMAGE, IMAGE)
    assert (nodes["Conv"], nodes["Split"]) == (2, 1)
    assert difference < 1e-5


def test_before_quantization_one_convolution_computes_all_gates_with_the_forget_bias_in_it():
    nodes, difference = made(Gates(), IMAGE, IMAGE, passes=merge_passes)
    assert nodes == {"Concat": 1, "Conv": 1, "Split": 1, "Add": 1, "Sigmoid": 2, "Tanh": 1, "Mul": 2}
    assert difference < 1e-5


def test_a_merged_sum_that_is_also_an_output_keeps_its_value():
    _, difference = made(Gates(also=True), IMAGE, IMAGE, passes=merge_passes)
    assert difference < 1e-5


class Chain(nn.Module):
    """Gates of which one is read by the convolution of another layer."""

    def __init__(self):
        super().__init__()
        self.from_x, self.from_h, self.next = conv(), conv(), conv()

    def forward(self, x, h):
        return torch.tanh(self.next(self.from_x(x) + self.from_h(h)) + self.from_x(h))


def test_a_merged_sum_can_be_a_source_of_another():
    nodes, difference = made(Chain(), IMAGE, IMAGE, passes=merge_passes)
    assert nodes == {"Concat": 2, "Conv": 2, "Tanh": 1}
    assert difference < 1e-5


class Normed(nn.Module):
    def __init__(self, size, also=False):
        super().__init__()
        self.norm, self.conv, self.also = nn.BatchNorm2d(CHANNELS), conv(size=size), also

    def forward(self, x):
        normed = self.norm(x)
        return self.conv(normed) + normed if self.also else self.conv(normed)


@pytest.mark.parametrize(("size", "also", "norms"), [(1, False, 0), (3, False, 1), (1, True, 1)])
def test_a_batch_norm_becomes_weights_unless_a_border_or_another_node_reads_it(size, also, norms):
    net = Normed(size, also)
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2.0)
    nodes, difference = made(net, IMAGE)
    assert nodes["BatchNormalization"] == norms
    assert difference < 1e-5


class Scaled(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.conv, self.factor = conv(), nn.Parameter(torch.ones(shape))

    def forward(self, x):
        return x + self.factor * self.conv(x)


@pytest.mark.parametrize(("shape", "products"), [((CHANNELS, 1, 1), 0), ((), 0), ((6, 5), 1), ((5,), 1)])
def test_only_a_factor_for_each_channel_becomes_weights(shape, products):
    nodes, difference = made(Scaled(*shape), IMAGE)
    assert nodes["Mul"] == products
    assert difference < 1e-5


def test_equal_weights_which_the_exporter_writes_once_are_fused_too():
    net = Gates()
    _, inputs = traced(net, IMAGE, IMAGE)
    with torch.no_grad():
        net.from_h.bias.copy_(net.from_x.bias)
    model = graph_of(net, inputs)
    assert "Identity" in {node.op_type for node in model.graph.node}
    before = outputs(model, inputs)
    after = optimized(model)
    assert "Split" not in {node.op_type for node in after.graph.node}
    assert np.abs(before[0] - outputs(after, inputs)[0]).max() < 1e-5


class Embedded(nn.Module):
    """Frames of few planes, embedded, then two gates; `also`: the embedding is added to the gates too."""

    def __init__(self, planes, also):
        super().__init__()
        self.embed, self.also = nn.Conv2d(planes, CHANNELS, 1), also
        self.gates = nn.ModuleList([conv(), conv(size=5)])

    def forward(self, frame):
        x = self.embed(frame)
        i, o = (gate(x) for gate in self.gates)
        hidden = torch.sigmoid(i) * torch.tanh(o)
        return hidden + x if self.also else hidden


@pytest.mark.parametrize(
    ("planes", "also", "kernels"), [(1, False, [2, 2]), (2, True, [2, 3, 3]), (CHANNELS - 1, False, [3, 4, 4])]
)
def test_an_embedding_of_few_planes_becomes_weights_and_is_zero_in_the_padding(planes, also, kernels):
    model, inputs = traced(Embedded(planes, also), (2, planes, 6, 5))
    before = outputs(model, inputs)
    after = optimized(model)
    sizes = {item.name: item.dims for item in after.graph.initializer}
    assert sorted(sizes[node.input[1]][1] for node in after.graph.node if node.op_type == "Conv") == kernels
    assert np.abs(before[0] - outputs(after, inputs)[0]).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ms-predrnn in MS-RNN", "124"), ("ms-motionrnn in MS-RNN", "1248"), ("predrnn-pp", "4")],
)
def test_every_image_that_a_convolution_computes_has_a_symbolic_shape(name, expected, tmp_path):
    """Without shapes ONNX Runtime adds the terms of the gates one by one, at half the speed."""
    export_float32(trace(network(name)), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    sizes = {
        item.name: [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in (*graph.value_info, *graph.input, *graph.output)
    }
    convolved = [sizes[node.output[0]] for node in graph.node if node.op_type == "Conv"]
    assert all(size[2].startswith("height_") and size[3].startswith("width_") for size in convolved)
    strides = [[axis.partition("_")[2] for axis in size[2:]] for size in convolved]
    assert all(of_height == of_width for of_height, of_width in strides)
    assert {of_height for of_height, _ in strides} == set(expected)
