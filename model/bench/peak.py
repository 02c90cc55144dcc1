"""Measure the convolution peak of the machine: the rate of 3 x 3 convolutions alone in ONNX Runtime.

The peak is the compute ceiling of a roofline model (Williams et al. 2009, doi:10.1145/1498765.1498785) for networks
whose multiply-adds are convolutions.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from model.core.errors import InputError, first_line
from model.core.extras import missing_dependency

Precision = Literal["fp32", "int8", "fp16", "bf16"]
Device = Literal["cpu", "cuda"]


class ConvolutionShape(NamedTuple):
    """A 3 x 3 convolution from `channels` to as many channels over [batch, channels, side, side]."""

    channels: int
    side: int
    batch: int


SHAPES: Final[Mapping[Device, tuple[ConvolutionShape, ...]]] = {
    "cpu": (ConvolutionShape(64, 128, 1), ConvolutionShape(128, 64, 1), ConvolutionShape(128, 128, 1)),
    "cuda": (ConvolutionShape(64, 256, 16), ConvolutionShape(128, 256, 16), ConvolutionShape(128, 128, 32)),
}
CHAIN: Final = 8
"""Number of convolutions in sequence, which share the cost of the layout conversion at either end."""
SECONDS: Final = 1.0
"""Duration of the runs of each shape; the fastest run counts."""
ARRAY_TYPES: Final = {"fp32": np.float32, "fp16": np.float16, "int8": np.uint8}
BFLOAT16: Final = 16
"""ONNX's enumeration value of the type."""
PROVIDERS: Final[Mapping[Device, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class ConvolutionPeaks:
    """Convolution peaks for the comparison with other runs: measured before and after the runs; the larger counts.

    A peak that is too low, because the machine was cold or busy, would make the share of peak too high.

    Parameters
    ----------
    measure
        Returns the peak (GFLOP/s) of a name, such as a precision; raises InputError where there is none.

    Attributes
    ----------
    gflops
        Peak of each name.
    unsupported
        The error of each name without a peak.
    """

    def __init__(self, measure: Callable[[str], float]) -> None:
        self._measure = measure
        self.gflops: dict[str, float] = {}
        self.unsupported: dict[str, InputError] = {}

    def measure(self, names: Iterable[str]) -> None:
        """Measure the peak of each name, again where it was measured before."""
        for name in dict.fromkeys(names):
            try:
                now = self._measure(name)
            except InputError as error:
                self.unsupported[name] = error
            else:
                self.gflops[name] = max(now, self.gflops.get(name, 0.0))


def convolution_peak(
    precision: Precision,
    device: Device = "cpu",
    threads: int = 0,
    *,
    shapes: Sequence[ConvolutionShape] = (),
    seconds: float = SECONDS,
) -> float:
    """Return the highest GFLOP/s (10^9 operations per second, a multiply-add is two) of any shape.

    Parameters
    ----------
    precision, device
        Type of the numbers, and where to run.
    threads
        CPU threads; 0 for one per core.
    shapes
        Convolutions to run; by default those of `SHAPES`.
    seconds
        Duration of the runs of each shape.

    Raises
    ------
    MissingDependency
        The package onnx, which builds the graphs, is not installed.
    InputError
        ONNX Runtime has no such convolution, or no such device.
    """
    return max(
        floating_point_operations(shape) / fastest_run_seconds(precision, device, threads, shape, seconds) / 1e9
        for shape in shapes or SHAPES[device]
    )


def floating_point_operations(shape: ConvolutionShape) -> float:
    """Return the floating-point operations of a chain of convolutions."""
    return 2.0 * 9 * shape.channels**2 * shape.side**2 * shape.batch * CHAIN


def fastest_run_seconds(
    precision: Precision, device: Device, threads: int, shape: ConvolutionShape, seconds: float
) -> float:
    """Return the seconds of the fastest run of the chain; input and output stay on the device."""
    from model.runtime.ort import ort

    if PROVIDERS[device] not in ort.get_available_providers():
        raise InputError(
            f"ONNX Runtime has no {PROVIDERS[device]} here",
            where=device,
            hint="Install onnxruntime-gpu" if device == "cuda" else "Install onnxruntime",
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    graph = chain(precision, shape)
    try:
        session = ort.InferenceSession(graph, options, providers=[PROVIDERS[device]])
    except Exception as error:  # onnxruntime raises its own, undocumented types
        what = f"ONNX Runtime has no convolution in {precision} on {device.upper()} ({first_line(error)})"
        raise InputError(what, where="the convolution peak", hint="Choose another precision") from None
    if session.get_providers()[0] != PROVIDERS[device]:
        raise InputError(
            f"ONNX Runtime fell back to {session.get_providers()[0]}", where=device, hint="Check the driver"
        )
    binding = session.io_binding()
    noise = np.random.default_rng(0).integers(0, 256, _dimensions(shape)).astype(np.uint8)
    if precision == "bf16":  # the upper half of a float32; NumPy has no such type
        halves = (noise.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        values = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(halves, BFLOAT16)
    else:
        values = ort.OrtValue.ortvalue_from_numpy(noise.astype(ARRAY_TYPES[precision]), device, 0)
    binding.bind_ortvalue_input("x", values)
    binding.bind_output("y", device, 0)

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return fastest(run, seconds)


def fastest(run: Callable[[], object], seconds: float) -> float:
    """Return the seconds of the fastest run within a duration in seconds, after two warm-up runs."""
    run()
    run()
    best = float("inf")
    deadline = time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        run()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended > deadline:
            return best


def chain(precision: Precision, shape: ConvolutionShape) -> bytes:
    """Return an ONNX graph of convolutions from x to y; int8 as QDQ per channel with symmetric 8-bit activations.

    Raises
    ------
    MissingDependency
        The package onnx is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise missing_dependency("onnx", where="the convolution peak")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    quantised = precision == "int8"
    kind = {
        "fp32": TensorProto.FLOAT,
        "fp16": TensorProto.FLOAT16,
        "bf16": TensorProto.BFLOAT16,
        "int8": TensorProto.UINT8,
    }[precision]
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: Any) -> str:  # noqa: ANN401 - an array of any type
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    size = (shape.channels, shape.channels, 3, 3)
    if quantised:
        scale = constant("scale", np.float32(0.02))
        zero = constant("zero", np.uint8(128))
        weight_scale = constant("weight_scale", np.full(shape.channels, 0.002, np.float32))
        weight_zero = constant("weight_zero", np.zeros(shape.channels, np.int8))
    value = "x"
    for index in range(CHAIN):
        after = "y" if index == CHAIN - 1 else f"x{index}"
        if quantised:
            weight = constant(f"w{index}", rng.integers(-60, 60, size).astype(np.int8))
            nodes += [
                helper.make_node("DequantizeLinear", [value, scale, zero], [f"a{index}"]),
                helper.make_node("DequantizeLinear", [weight, weight_scale, weight_zero], [f"d{index}"], axis=0),
                helper.make_node("Conv", [f"a{index}", f"d{index}"], [f"c{index}"], pads=[1] * 4),
                helper.make_node("QuantizeLinear", [f"c{index}", scale, zero], [after]),
            ]
        else:
            weights = (rng.normal(size=size) / (3 * shape.channels**0.5)).astype(np.float32)
            name = f"w{index}"
            constants.append(helper.make_tensor(name, kind, size, weights.ravel()))
            nodes.append(helper.make_node("Conv", [value, name], [after], pads=[1] * 4))
        value = after
    ends = [helper.make_tensor_value_info(name, kind, list(_dimensions(shape))) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    opset = 22 if precision == "bf16" else 18
    serialized: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
    ).SerializeToString()
    return serialized


def _dimensions(shape: ConvolutionShape) -> tuple[int, int, int, int]:
    return shape.batch, shape.channels, shape.side, shape.side
