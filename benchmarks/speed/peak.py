"""`python -m benchmarks.speed.peak`: the convolution peak of this machine, by precision, in GFLOP/s.

The peak is the better of ONNX Runtime (`model.bench.peak`) and, if it is installed, PyTorch: its channels-last
convolutions on a GPU, and in bfloat16 on a CPU. So a slow library never makes a network look fast.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from benchmarks.command_line import add_threads, argument_parser
from benchmarks.page import results
from benchmarks.page.markdown import table
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
    """Return the highest GFLOP/s (10^9; a multiply-add counts as two) that 3 x 3 convolutions reach.

    Parameters
    ----------
    precision, device
        What to measure.
    threads : int
        Threads of the CPU; 0: one for each core.
    shapes : sequence of ConvolutionShape
        Shapes to try; by default those of the device.
    seconds : float
        Time for each shape.

    Raises
    ------
    InputError
        No installed library has such a convolution.
    """
    rates: list[float] = []
    unsupported: InputError | None = None
    try:
        rates.append(onnx_runtime_peak(precision, device, threads, shapes=shapes, seconds=seconds))
    except InputError as error:
        unsupported = error
    if measures_torch(precision, device):
        rates += [torch_rate(precision, device, threads, shape, seconds) for shape in shapes or SHAPES[device]]
    if not rates:
        assert unsupported is not None
        raise unsupported
    return max(rates)


def peaks_of(
    device: Device = "cpu", threads: int = 0, *, shapes: Sequence[ConvolutionShape] = (), seconds: float = SECONDS
) -> ConvolutionPeaks:
    """Return the peaks by precision, to be measured before and after the runs that are compared with them."""
    return ConvolutionPeaks(
        lambda precision: convolution_peak(cast(Precision, precision), device, threads, shapes=shapes, seconds=seconds)
    )


def measures_torch(precision: Precision, device: Device) -> bool:
    """Return whether PyTorch is measured too: on a GPU, and for bfloat16 on a CPU, which ONNX Runtime lacks."""
    if importlib.util.find_spec("torch") is None or precision == "int8":
        return False
    if device == "cpu":
        return precision == "bf16"
    import torch

    return torch.cuda.is_available()


def torch_rate(precision: Precision, device: Device, threads: int, shape: ConvolutionShape, seconds: float) -> float:
    """Return the GFLOP/s of PyTorch on one shape: channels last, float32 without TF32."""
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    layers = [torch.nn.Conv2d(shape.channels, shape.channels, 3, padding=1, bias=False) for _ in range(CHAIN)]
    net = torch.nn.Sequential(*layers).to(device, dtypes[precision], memory_format=torch.channels_last)
    frames = torch.rand(shape.batch, shape.channels, shape.side, shape.side)
    frames = frames.to(device, dtypes[precision], memory_format=torch.channels_last)

    def run() -> None:
        net(frames)
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        return floating_point_operations(shape) / fastest(run, seconds) / 1e9


def measure(
    device: Device, threads: int, shapes: Sequence[ConvolutionShape] = (), seconds: float = SECONDS
) -> dict[str, Any]:
    """Return the peak of each precision, the larger of two measurements; None if no library has it."""
    peaks = peaks_of(device, threads, shapes=shapes, seconds=seconds)
    for _ in range(2):
        peaks.measure(PRECISIONS)
    gflops = {precision: peaks.gflops.get(precision) for precision in PRECISIONS}
    return {"device": device, "threads": threads or os.cpu_count(), "gflops": gflops}


def page(part: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
    rows = [[name, f"{peak:.0f}" if peak else ""] for name, peak in part["gflops"].items()]
    return f"{results.measured_on(part)}\n\n{table(['precision', 'GFLOP/s'], rows)}"


def main() -> None:
    """Measure the peaks, store the figures and print them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--device", choices=SHAPES, default="cpu")
    add_threads(parser)
    args = parser.parse_args()
    figures = measure(args.device, args.threads)
    print(json.dumps(results.store("peak", figures) if args.device == "cpu" else figures, indent=1))


if __name__ == "__main__":
    main()
