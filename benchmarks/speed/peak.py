"""`python -m benchmarks.speed.peak`: the convolution peak of this machine, by precision, in GFLOP/s.

Of ONNX Runtime (`model.bench.peak`), and, where PyTorch is installed, of its channels-last convolutions on a GPU and in
bfloat16 on a CPU: the peak is the better of both, so that nobody is held against a slow library.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from benchmarks.page import results
from model.bench.peak import (
    CHAIN,
    SECONDS,
    SHAPES,
    ConvolutionPeaks,
    ConvolutionShape,
    Device,
    Precision,
    fastest,
    floating_point_operations,
)
from model.bench.peak import convolution_peak as onnx_runtime_peak
from model.core.errors import InputError

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "fp16", "bf16")


def convolution_peak(
    precision: Precision,
    device: Device = "cpu",
    threads: int = 0,
    *,
    shapes: Sequence[ConvolutionShape] = (),
    seconds: float = SECONDS,
) -> float:
    """The most GFLOP/s (10^9, a multiply-add is two) that 3 x 3 convolutions reach. `threads`: 0 is one for each core.

    Raises
    ------
    InputError
        No library here has such a convolution.
    """
    found: list[float] = []
    refused: InputError | None = None
    try:
        found.append(onnx_runtime_peak(precision, device, threads, shapes=shapes, seconds=seconds))
    except InputError as error:
        refused = error
    if by_torch(precision, device):
        found += [torch_rate(precision, device, threads, shape, seconds) for shape in shapes or SHAPES[device]]
    if not found:
        assert refused is not None
        raise refused
    return max(found)


def peaks_of(
    device: Device = "cpu", threads: int = 0, *, shapes: Sequence[ConvolutionShape] = (), seconds: float = SECONDS
) -> ConvolutionPeaks:
    """Return the peaks by precision, to be measured before and after the runs that are compared with them."""
    return ConvolutionPeaks(
        lambda precision: convolution_peak(cast(Precision, precision), device, threads, shapes=shapes, seconds=seconds)
    )


def by_torch(precision: Precision, device: Device) -> bool:
    """PyTorch is asked too: on a GPU, and for what ONNX Runtime lacks on a CPU."""
    if importlib.util.find_spec("torch") is None or precision == "int8":
        return False
    if device == "cpu":
        return precision == "bf16"
    import torch

    return torch.cuda.is_available()


def torch_rate(precision: Precision, device: Device, threads: int, shape: ConvolutionShape, seconds: float) -> float:
    """GFLOP/s of PyTorch, channels last, on one shape; float32 without TF32."""
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    layers = [torch.nn.Conv2d(shape.channels, shape.channels, 3, padding=1, bias=False) for _ in range(CHAIN)]
    net = torch.nn.Sequential(*layers).to(device, kinds[precision], memory_format=torch.channels_last)
    frames = torch.rand(shape.batch, shape.channels, shape.side, shape.side)
    frames = frames.to(device, kinds[precision], memory_format=torch.channels_last)

    def run() -> None:
        net(frames)
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        return floating_point_operations(shape) / fastest(run, seconds) / 1e9


def measure(
    device: Device, threads: int, shapes: Sequence[ConvolutionShape] = (), seconds: float = SECONDS
) -> dict[str, Any]:
    """The peak of each precision, the larger of two moments; None where no library has it."""
    peaks = peaks_of(device, threads, shapes=shapes, seconds=seconds)
    for _ in range(2):
        peaks.measure(PRECISIONS)
    found = {precision: peaks.gflops.get(precision) for precision in PRECISIONS}
    return {"device": device, "threads": threads or os.cpu_count(), "gflops": found}


def page(part: Mapping[str, Any]) -> str:
    """The part of docs/performance.md."""
    rows = [[name, f"{peak:.0f}" if peak else ""] for name, peak in part["gflops"].items()]
    return f"{results.measured_on(part)}\n\n{results.markdown(['precision', 'GFLOP/s'], rows)}"


def main() -> None:
    """Measure, keep the figures, print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=SHAPES, default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core.")
    asked = parser.parse_args()
    found = measure(asked.device, asked.threads)
    print(json.dumps(results.keep("peak", found) if asked.device == "cpu" else found, indent=1))


if __name__ == "__main__":
    main()
