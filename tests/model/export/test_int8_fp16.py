"""int8 and float16 graphs of every network: what they are made of, and how near their forecasts come to float32."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from model.export.calibrate import CalibrationSample, Magnitudes, forecasts_of
from model.export.onnx import export_float16, export_float32, export_int8, merge_passes
from model.export.trace import trace
from model.runtime.device import open_session
from model.runtime.graph_session import INPUTS, ForecastInput
from tests.model.export.test_onnx import of_rain
from tests.model.nets.small import CONTEXT

LEADS = 4
NETWORKS = (
    *(f"ms-{name} in MS-RNN" for name in ("convlstm", "trajgru", "predrnn", "predrnn-pp", "mim")),
    *("motionrnn", "action-predrnn", "mim", "simvp-incepu", "simvp-gsta", "tau"),
)
"""Every cell and translator; scales, warps, layer norms, fields, strided embedding."""
CHANGES = {"mim": 0.05, "simvp-incepu": 0.03, "simvp-gsta": 0.04, "tau": 0.03}
"""Limits of what 8 bits may change; of all others 0.002, so small are what untrained cells add to a frame."""


def sample(net, seed=0, scale=1.0):
    """Blobs that drift, and a corner without data."""
    rng = np.random.default_rng(seed)
    side = max(16, 2 * net.config.net.stride)
    y, x = np.mgrid[:side, :side]
    frames = [np.exp(-((y - side / 2) ** 2 + (x - side / 3 - step) ** 2) / side) for step in range(CONTEXT)]
    known = np.ones((CONTEXT, 1, side, side), np.float32)
    known[:, :, :4, :4] = 0
    fields = rng.normal(size=(CONTEXT + LEADS, net.config.fields, side, side)).astype(np.float32)
    data = np.float32(scale) * np.stack(frames)[:, None].astype(np.float32) * known
    observed = ForecastInput(data=data, known=known, step_minutes=5.0, fields=fields if net.config.fields else None)
    return CalibrationSample(observed=observed, leads=LEADS)


@pytest.fixture
def traced_network(monkeypatch):
    monkeypatch.setenv("ECHOCAST_THREADS", "1")

    def make(name):
        net = of_rain(name)
        return net, trace(net)

    return make


def difference(one, two):
    return float(np.sqrt(np.square(one - two).mean() / np.square(one).mean()))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_forecasts_in_8_and_in_16_bits(name, traced_network, tmp_path):
    net, traced = traced_network(name)
    drawn = sample(net)
    export_float32(traced, tmp_path / "fp32.onnx")
    (truth,) = forecasts_of(ir.load(tmp_path / "fp32.onnx"), [drawn])
    merged = ir.passes.Sequential(*merge_passes(traced))(traced.model.clone()).model
    assert difference(truth, forecasts_of(merged, [drawn])[0]) < 1e-4
    done = export_int8(traced, tmp_path / "int8.onnx", [drawn], change_limit=np.inf)
    assert (len(done.quantized) > 4, done.sensitive) == (True, ())
    export_float16(traced, tmp_path / "fp16.onnx")
    for variant, limit in (("int8", CHANGES.get(name, 0.002)), ("fp16", 0.02)):
        session = open_session(tmp_path / f"{variant}.onnx")
        output = np.stack(list(session.run(drawn.observed, LEADS)))
        assert (output.dtype, output.shape) == (np.float32, truth.shape)
        assert 0 < difference(truth, output) < limit
        if variant == "int8":  # what was measured before channels went last
            assert difference(truth, output) == pytest.approx(done.change, rel=1e-3)
    kinds = {
        variant: {
            item.name: (item.type, item.shape)
            for item in open_session(tmp_path / f"{variant}.onnx").session.get_inputs()
        }
        for variant in ("fp32", "int8", "fp16")
    }
    states = kinds["fp32"].keys() - set(INPUTS)
    for name, (kind, shape) in kinds["fp32"].items():
        order = (0, 2, 3, 1) if name in states else range(len(shape))
        assert kinds["int8"][name] == (kind, [shape[axis] for axis in order])
    assert {kinds["fp16"][state][0] for state in states} <= {"tensor(float16)"}
    assert all(kinds["fp16"][read] == kinds["fp32"][read] for read in kinds["fp32"].keys() - states)


def test_warps_and_norms_stay_float32_in_a_float16_graph(traced_network, tmp_path):
    for name, kind in (("ms-trajgru in MS-RNN", "GridSample"), ("mim", "ReduceMean")):
        _, traced = traced_network(name)
        assert kind in export_float16(traced, tmp_path / "fp16.onnx")
        model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "fp16.onnx"))
        types = {item.name: item.type.tensor_type.elem_type for item in (*model.graph.value_info, *model.graph.input)}
        read = [
            types[name] for node in model.graph.node if node.op_type == kind for name in node.input if name in types
        ]
        assert onnx.TensorProto.FLOAT in read
        assert onnx.TensorProto.FLOAT16 not in read


def test_the_order_of_calibration_samples_does_not_matter(traced_network, tmp_path):
    net, traced = traced_network("ms-predrnn in MS-RNN")
    samples = [sample(net, seed, scale) for seed, scale in ((0, 1.0), (1, 0.4), (2, 0.7))]
    made = []
    for order in (samples, samples[::-1]):
        done = export_int8(traced, tmp_path / "int8.onnx", order, change_limit=0.01)
        made.append((done, (tmp_path / "int8.onnx").read_bytes()))
    assert made[0] == made[1]


def test_the_most_sensitive_convolutions_stay_float32(traced_network, tmp_path):
    net, traced = traced_network("ms-predrnn in MS-RNN")
    samples = [sample(net)]
    every = export_int8(traced, tmp_path / "int8.onnx", samples, change_limit=np.inf)
    some = export_int8(traced, tmp_path / "int8.onnx", samples, change_limit=0.8 * every.change)
    assert some.change <= 0.8 * every.change
    assert some.sensitive
    assert set(some.quantized) | set(some.sensitive) == set(every.quantized)
    metadata = {item.key: item.value for item in onnx.load(tmp_path / "int8.onnx").metadata_props}
    assert metadata["float32_layers"] == ",".join(some.sensitive)
    assert metadata["kind"] == "one-step"


def test_zero_is_zero_in_8_bits(traced_network, tmp_path):
    net, traced = traced_network("ms-predrnn in MS-RNN")
    export_int8(traced, tmp_path / "int8.onnx", [sample(net)], change_limit=np.inf)
    model = onnx.load(tmp_path / "int8.onnx")
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    read = {name for node in model.graph.node if node.op_type == "Conv" for name in node.input[:1]}
    rounded = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and read & set(node.output)]
    middles = [constants[node.input[2]] for node in rounded]
    assert len(middles) > 5
    assert {int(middle) for middle in middles} == {128}


def test_a_rare_large_value_does_not_set_the_range():
    numbers = Magnitudes()
    numbers.add(np.random.default_rng(0).normal(size=(1, 4, 100, 100)).astype(np.float32))
    assert 2.5 < numbers.limit() < 4.5
    numbers.add(np.full((1, 4, 1, 1), 40, np.float32))
    assert 4 < numbers.limit() < 40
    assert numbers.limit(highest=2.0) == 2.0
