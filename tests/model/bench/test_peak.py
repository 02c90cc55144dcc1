"""The convolution peak: counted right, and refused where it cannot be had."""

import sys

import numpy as np
import pytest

from model.bench.peak import (
    CHAIN,
    ConvolutionPeaks,
    ConvolutionShape,
    chain,
    convolution_peak,
    floating_point_operations,
)
from model.core.errors import InputError, MissingDependency
from model.runtime.ort import ort

TINY = ConvolutionShape(8, 16, 1)


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_the_peak_is_a_plausible_rate(precision):
    assert 0 < convolution_peak(precision, "cpu", 1, shapes=[TINY], seconds=0.01) < 10_000


@pytest.mark.parametrize("moments", [(455.0, 886.0), (886.0, 455.0)])
def test_the_larger_of_two_measurements_counts(moments):
    rates = iter(moments)
    peaks = ConvolutionPeaks(lambda name: next(rates))
    peaks.measure(["int8"])
    assert peaks.gflops == {"int8": moments[0]}
    peaks.measure(peaks.gflops)
    assert peaks.gflops == {"int8": 886.0}


def test_a_missing_peak_has_a_reason_and_others_are_measured():
    peaks = ConvolutionPeaks(lambda name: convolution_peak(name, "cpu", 1, shapes=[TINY], seconds=0.01))
    peaks.measure(["bf16", "fp32"])
    assert list(peaks.gflops) == ["fp32"]
    assert "no convolution in bf16" in str(peaks.unsupported["bf16"])


def test_a_multiply_add_counts_as_two():
    assert floating_point_operations(TINY) == 2 * 9 * 8 * 8 * 16 * 16 * CHAIN


def test_the_graph_of_int8_runs_in_integers(tmp_path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    ort.InferenceSession(chain("int8", TINY), options, providers=["CPUExecutionProvider"])
    import onnx

    kinds = [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node]
    assert kinds.count("QLinearConv") == CHAIN
    assert "Conv" not in kinds


def test_the_chain_is_not_an_identity():
    session = ort.InferenceSession(chain("fp32", TINY), providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(0).random((1, 8, 16, 16), dtype=np.float32)
    (output,) = session.run(None, {"x": frames})
    assert output.shape == frames.shape
    assert not np.allclose(output, frames)


def test_precisions_that_onnx_runtime_lacks_are_refused():
    with pytest.raises(InputError, match="no convolution in bf16 on CPU"):
        convolution_peak("bf16", "cpu", 1, shapes=[TINY], seconds=0.01)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="there is CUDA")
def test_a_missing_device_is_refused():
    with pytest.raises(InputError, match="Install onnxruntime-gpu"):
        convolution_peak("fp16", "cuda", shapes=[TINY], seconds=0.01)


def test_without_the_package_onnx_the_error_names_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match="pip install onnx"):
        convolution_peak("fp32", "cpu", 1, shapes=[TINY], seconds=0.01)
