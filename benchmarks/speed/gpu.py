"""`python -m benchmarks.speed.gpu`: MS-PredRNN on a GPU, against the official code and against the GPU's peak.

Six layers of 64 channels, 10 frames in, 10 out. `--ms-rnn DIR` is a checkout of mazhf/MS-RNN; its code runs eager, with
TF32 off and on, with the same weights and frames. `engine` is what workers run: graphs as in packages, in a session of
`model.runtime`, a batch at once; it alone counts for the aims. `upper bound` is the same graph in a bare loop that
nothing ships: frames and states never leave the device, also as CUDA graphs if ONNX Runtime can capture them. Each
side has a process of its own, and the sides take turns. Batch 1 at 128 x 128 is compared with the official code, batch
16 at 480 x 480 with the convolution peak of the GPU. Without a GPU the rows say so; `--device cpu --size 32` runs
everything small on a CPU as a test.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command_line import ChildFailed, add_checkouts, argument_parser, run_in_child, time_runs
from benchmarks.page import results
from benchmarks.page.markdown import table
from benchmarks.page.results import NOT_MEASURED, AimRow
from benchmarks.speed.peak import peaks_of
from model.bench.machine import accelerator
from model.bench.peak import PROVIDERS, Device

CONTEXT, LEADS, HIDDEN = 10, 10, 64
NETWORK = "ms-predrnn"
TIMES_AS_FAST, SHARE_OF_PEAK = 8.0, 0.5
OFFICIAL = ("official, fp32", "official, TF32")
ENGINE = ("engine, fp32", "engine, fp16")
UPPER_BOUND = ("upper bound, fp32", "upper bound, fp16", "upper bound, fp16, CUDA graph")
NO_ACCELERATOR = f"{NOT_MEASURED}: no accelerator"

Frames = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class GpuOptions:
    """What to measure; `size` and `large` are the sides in pixels of batch 1 and of batch `batch`."""

    device: Device = "cuda"
    ms_rnn: Path | None = None
    size: int = 128
    large: int = 480
    batch: int = 16
    rounds: int = 3
    runs: int = 5
    peak_seconds: float = 1.0

    def sides(self) -> list[str]:
        """Return the sides that can run on this machine."""
        official = OFFICIAL if self.device == "cuda" else OFFICIAL[:1]
        bounds = [side for side in UPPER_BOUND if self.device == "cuda" or "CUDA" not in side]
        return [*(official if self.ms_rnn else ()), *ENGINE, *bounds]


def unavailable(device: Device) -> str:
    """Return why the device cannot be measured on this machine; an empty string if it can."""
    from model.runtime.ort import ort

    if device == "cuda" and not accelerator():
        return NO_ACCELERATOR
    if PROVIDERS[device] not in ort.get_available_providers():
        return f"{NOT_MEASURED}: ONNX Runtime has no {PROVIDERS[device]}, pip install 'echocast[gpu]'"
    return ""


def prepare(into: Path, ms_rnn: Path | None) -> dict[str, float]:
    """Export both graphs into a folder, with the official weights if given; return operations per pixel."""
    import torch

    from benchmarks.speed.networks import config_of
    from model.export.checkpoints.convert import convert
    from model.export.onnx import export_float16, export_float32
    from model.export.trace import trace
    from model.nets.forecast_model import RecurrentModel, build_model
    from model.nets.profile import profile

    torch.manual_seed(0)
    if ms_rnn is None:
        net = build_model(config_of(NETWORK)).eval()
    else:
        weights = official_network(ms_rnn, "cpu", (1, 32, 32)).state_dict()
        net = convert(weights, "ms-rnn", network=NETWORK).build_model()
    assert isinstance(net, RecurrentModel)
    traced = trace(net)
    export_float32(traced, into / "fp32.onnx")
    export_float16(traced, into / "fp16.onnx")
    steps = CONTEXT - 1 + LEADS
    return {"operations_per_pixel": 2.0 * steps * sum(layer.macs_per_pixel for layer in profile(net))}


def official_network(folder: Path, device: Device, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401  (no torch here)
    """Return the official network on the device."""
    from benchmarks import official_code as code

    with code.on_the_cpu() if device == "cpu" else nullcontext():
        net = code.ms_rnn_network(folder, NETWORK, hidden=HIDDEN, shape=shape, context=CONTEXT, leads=LEADS)
    return net.eval().to(device)


def official_forecast(side: str, folder: Path, frames: Frames, device: Device) -> Callable[[], Frames]:
    """Return a function that forecasts [t, b, 1, y, x] from frames [t, b, 1, y, x] with the official code."""
    import torch

    from benchmarks.official_code import on_the_cpu

    use_tf32 = side.endswith("TF32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = use_tf32
    torch.backends.cudnn.benchmark = True
    _, batch, _, height, width = frames.shape
    net = official_network(folder, device, (batch, height, width))
    # After the context the network reads its own outputs; the zeros only give the input its full length.
    padded = torch.cat([torch.from_numpy(frames), torch.zeros(LEADS, *frames.shape[1:])]).to(device)
    unused = torch.zeros(1, device=device)

    def forecast() -> Frames:
        with on_the_cpu() if device == "cpu" else torch.no_grad():
            return np.asarray(net((padded, unused, 0))[0][CONTEXT - 1 :].cpu().numpy())

    return forecast


def engine_forecast(graph: Path, frames: Frames, device: Device) -> Callable[[], Frames]:
    """Return a function that forecasts [t, b, 1, y, x] from frames [t, b, 1, y, x] as workers do."""
    os.environ["ECHOCAST_DEVICE"] = device
    from model.runtime.device import open_session
    from model.runtime.graph_session import ForecastInput

    session = open_session(graph)
    batch = [
        ForecastInput(data=data, known=np.ones_like(data), step_minutes=5.0, ceiling=np.inf)
        for data in np.ascontiguousarray(frames.swapaxes(0, 1))
    ]
    return lambda: np.stack([frame for frame in session.run_batch(batch, LEADS) if frame is not None])


def bare_loop_forecast(graph: Path, frames: Frames, device: Device, *, captured: bool) -> Callable[[], Frames]:
    """Return a function that forecasts in a bare loop.

    Two bindings take turns: the outputs of one are the input buffers of the other, so nothing is copied.
    """
    from model.runtime.ort import ort

    session_options = ort.SessionOptions()
    session_options.log_severity_level = 3
    provider: Any = PROVIDERS[device]
    if captured:
        provider = (provider, {"enable_cuda_graph": "1"})
    session = ort.InferenceSession(graph, session_options, providers=[provider])
    assert session.get_providers()[0] == PROVIDERS[device], session.get_providers()
    batch, _, height, width = frames.shape[1:]
    strides = iter(session.get_modelmeta().custom_metadata_map["state_strides"].split(","))
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    zeros: dict[str, NDArray[Any]] = {}
    for item in session.get_inputs():
        stride = 1 if item.name == "fraction" else int(next(strides))
        channels = 1 if item.name == "fraction" else int(item.shape[1])
        zeros[item.name] = np.zeros((batch, channels, height // stride, width // stride), dtypes[item.type])
    buffers = [
        {name: ort.OrtValue.ortvalue_from_numpy(zero.copy(), device, 0) for name, zero in zeros.items()}
        for _ in range(2)
    ]
    bindings, runs = [], []
    for turn in range(2):
        binding, run = session.io_binding(), ort.RunOptions()
        for name, value in buffers[turn].items():
            binding.bind_ortvalue_input(name, value)
        for name, value in buffers[1 - turn].items():
            binding.bind_ortvalue_output("next" if name == "fraction" else f"new_{name}", value)
        if captured:
            run.add_run_config_entry("gpu_graph_id", str(turn + 1))
        bindings.append(binding)
        runs.append(run)

    def forecast() -> Frames:
        for name, zero in zeros.items():
            buffers[0][name].update_inplace(zero)
        outputs = []
        for step in range(CONTEXT - 1 + LEADS):
            turn = step % 2
            if step < CONTEXT:
                buffers[turn]["fraction"].update_inplace(np.ascontiguousarray(frames[step]))
            session.run_with_iobinding(bindings[turn], runs[turn])
            if step >= CONTEXT - 1:
                outputs.append(buffers[1 - turn]["fraction"].numpy().copy())
        return np.stack(outputs)

    return forecast


def run_side(side: str, into: Path, options: GpuOptions, batch: int, size: int) -> dict[str, Any]:
    """Time one side in this process, after two runs to warm up; its last forecast is saved in the folder `into`."""
    frames = np.random.default_rng(1).random((CONTEXT, batch, 1, size, size), dtype=np.float32)
    if side in OFFICIAL:
        assert options.ms_rnn is not None
        forecast = official_forecast(side, options.ms_rnn, frames, options.device)
    else:
        how, precision, *captured = side.split(", ")
        graph = into / f"{precision}.onnx"
        if how == "engine":
            forecast = engine_forecast(graph, frames, options.device)
        else:
            forecast = bare_loop_forecast(graph, frames, options.device, captured=bool(captured))
    seconds, output = time_runs(forecast, options.runs, warm_up=2)
    np.save(into / f"{side}.npy", output)
    return {"seconds": seconds}


def measure(options: GpuOptions) -> dict[str, Any]:
    """Return the figures of both cases, and their rows of the table of aims."""
    reason = unavailable(options.device)
    if reason:
        return {"rows": results.as_json(rows_of({}, options, reason))}
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        into = Path(name)
        peaks = peaks_of(options.device, seconds=options.peak_seconds)
        precisions = ("fp32", "fp16", "bf16") if options.device == "cuda" else ("fp32", "fp16")
        peaks.measure(precisions)
        operations = _in_child(into, options, "prepare", 1, options.size)["operations_per_pixel"]
        cases = {"one": (1, options.size), "many": (options.batch, options.large)}
        figures: dict[str, Any] = {
            case: {
                "batch": batch,
                "side": side,
                "operations": operations * batch * side**2,
                "measured": _in_turns(into, options, batch, side),
            }
            for case, (batch, side) in cases.items()
        }
        peaks.measure(precisions)
    return {
        "device": options.device,
        **figures,
        "peaks_gflops": peaks.gflops,
        "rows": results.as_json(rows_of({**figures, **peaks.gflops}, options)),
    }


def _in_turns(into: Path, options: GpuOptions, batch: int, size: int) -> dict[str, dict[str, Any]]:
    """Return the seconds of every side, and its largest difference of a pixel from the first side; or why it failed."""
    sides = options.sides()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    failed: dict[str, str] = {}
    for _ in range(options.rounds):
        for side in sides:
            if side in failed:
                continue
            try:
                seconds[side] += _in_child(into, options, side, batch, size)["seconds"]
            except ChildFailed as error:
                failed[side] = error.last_line()
    first = next((np.load(into / f"{side}.npy") for side in sides if side not in failed), None)
    figures: dict[str, dict[str, Any]] = {side: {"failed": reason} for side, reason in failed.items()}
    for side in sides:
        if side not in failed:
            output = np.load(into / f"{side}.npy")
            figures[side] = {
                "median_s": statistics.median(seconds[side]),
                "min_s": min(seconds[side]),
                "max_s": max(seconds[side]),
                "difference": float(np.abs(output - first).max()),
            }
    return figures


def _in_child(into: Path, options: GpuOptions, side: str, batch: int, size: int) -> dict[str, Any]:
    args = ["--child", side, "--into", into, "--batch", batch, "--size", size]
    args += ["--device", options.device, "--runs", options.runs]
    args += ["--ms-rnn", options.ms_rnn.resolve()] if options.ms_rnn else []
    figures: dict[str, Any] = run_in_child("benchmarks.speed.gpu", args)
    return figures


def rows_of(figures: Mapping[str, Any], options: GpuOptions, reason: str = "") -> list[AimRow]:
    """Return the rows of both aims.

    The faster precision of the engine counts, never the upper bound; of the official code, the faster of both sides.
    """
    gpu = accelerator() or options.device.upper()
    (times, faster), (share, used) = (reason, None), (reason, None)
    if not reason:
        times, faster = _against_official(figures["one"]["measured"])
        peak = max(figures.get(precision, 0.0) for precision in ("fp16", "bf16"))
        share, used = _against_the_peak(figures["many"], peak)
    return [
        AimRow(
            what=f"MS-PredRNN, {gpu}, batch 1, {options.size} x {options.size}",
            against="official code, same GPU",
            aim="8 x; absolute time reported",
            measured=times,
            reached=faster,
        ),
        AimRow(
            what=f"MS-PredRNN, {gpu}, batch {options.batch}, {options.large} x {options.large}",
            against="that GPU's measured bf16/fp16 convolution peak",
            aim="50 %",
            measured=share,
            reached=used,
        ),
    ]


def _against_official(measured: Mapping[str, Mapping[str, Any]]) -> tuple[str, float | None]:
    """Return the text of the row of batch 1, and how far its aim is reached."""
    engine, official = _fastest(measured, ENGINE), _fastest(measured, OFFICIAL)
    if engine is None:
        return _failed(measured), 0.0
    taken = measured[engine]["median_s"]
    text = f"{1000 * taken:.1f} ms ({engine})"
    if official is None:
        why = next((each["failed"] for side, each in measured.items() if side in OFFICIAL), "its folder was not given")
        return f"{NOT_MEASURED} against the official code ({why}); engine: {text}", None
    times = measured[official]["median_s"] / taken
    return (
        f"{times:.1f} x: {text} against {1000 * measured[official]['median_s']:.1f} ms ({official})",
        times / TIMES_AS_FAST,
    )


def _against_the_peak(case: Mapping[str, Any], peak: float) -> tuple[str, float | None]:
    """Return the text of the row of the batch, and how far its aim is reached; `peak` is in GFLOP/s."""
    measured = case["measured"]
    engine = _fastest(measured, ENGINE)
    if engine is None:
        return _failed(measured), 0.0
    taken = measured[engine]["median_s"]
    rate = case["operations"] / taken / 1e9
    return f"{rate / peak:.0%}: {rate:.0f} of {peak:.0f} GFLOP/s ({engine}, {taken:.3f} s)", rate / peak / SHARE_OF_PEAK


def _fastest(measured: Mapping[str, Mapping[str, Any]], sides: Sequence[str]) -> str | None:
    """Return the fastest of these sides; None if none of them ran."""
    ran = [side for side in sides if "median_s" in measured.get(side, {})]
    return min(ran, key=lambda side: float(measured[side]["median_s"]), default=None)


def _failed(measured: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{side} failed: {measured[side]['failed']}" for side in ENGINE)


def page(part: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
    if "one" not in part:
        reason = part["rows"][0]["measured"]
        sentence = f"{reason[0].upper()}{reason[1:]} ({part['machine']['date']})."
        return f"{sentence} On a machine with a GPU: `python -m benchmarks.speed.gpu --ms-rnn DIR`. Tested on CPU."
    header = ["side", "median ms", "spread", "GFLOP/s", "of peak", "largest difference"]
    lines = [results.measured_on(part)]
    peaks = part["peaks_gflops"]
    lines.append(
        "Convolutions alone reach, in GFLOP/s (the larger of before and after): "
        f"{', '.join(f'{name} {peak:.0f}' for name, peak in peaks.items())}. The engine is what workers run, and alone "
        "counts for the aims; upper bound: the same graph in a bare loop that nothing ships."
    )
    for case in (part["one"], part["many"]):
        rows = []
        for side, each in case["measured"].items():
            if "failed" in each:
                rows.append([side, f"failed: {each['failed']}", *[""] * 4])
                continue
            rate = case["operations"] / each["median_s"] / 1e9
            peak = peaks["fp16"] if "fp16" in side else peaks["fp32"]
            spread = f"{1000 * each['min_s']:.1f} to {1000 * each['max_s']:.1f}"
            cells = [f"{1000 * each['median_s']:.1f}", spread, f"{rate:.0f}", f"{rate / peak:.0%}"]
            rows.append([side, *cells, f"{each['difference']:.1e}"])
        lines += [f"Batch {case['batch']}, {case['side']} x {case['side']}:", table(header, rows)]
    return "\n\n".join(lines)


def main() -> None:
    """Measure, store the figures and print them, or (with --child) run one side."""
    parser = argument_parser(__doc__)
    add_checkouts(parser, ["ms-rnn"])
    parser.add_argument("--device", choices=PROVIDERS, default="cuda")
    parser.add_argument("--size", type=int, default=128, help="Side of batch 1 in pixels.")
    parser.add_argument("--large", type=int, default=480, help="Side of the larger batch in pixels.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="Processes of each side.")
    parser.add_argument("--runs", type=int, default=5, help="Forecasts of each process.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = {"size": args.size, "large": args.large, "batch": args.batch}
    options = GpuOptions(device=args.device, ms_rnn=args.ms_rnn, rounds=args.rounds, runs=args.runs, **sizes)
    if args.child == "prepare":
        print(json.dumps(prepare(args.into, args.ms_rnn)))
    elif args.child:
        print(json.dumps(run_side(args.child, args.into, options, args.batch, args.size)))
    elif args.device == "cpu":
        print(json.dumps(measure(options), indent=1))  # a test of the script, whose figures are not stored
    elif (reason := unavailable(options.device)) and "one" in results.read().get("gpu", {}):
        print(f"{reason}; the last figures stay", file=sys.stderr)
    else:
        results.store_and_print("gpu", measure(options))


if __name__ == "__main__":
    main()
