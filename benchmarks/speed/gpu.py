"""`python -m benchmarks.speed.gpu`: MS-PredRNN on a GPU, against the official code and against the GPU's peak.

Six layers of 64 channels, 10 frames in, 10 out. `--ms-rnn FOLDER` is a checkout of mazhf/MS-RNN, of which nothing is
kept here: its code runs eager, with TF32 off and on, with the same weights and frames. Ours: `engine` is what workers
run, graphs as packages have them in a session of `model.runtime`, a batch at once; it alone counts for the aims. `upper
bound` is the same graph in a bare loop that nothing ships: frames and states never leave the device, as CUDA graphs too
where ONNX Runtime can capture them. Each side has a process of its own, in turns. Batch 1 at 128 x 128 is held against
the official code, batch 16 at 480 x 480 against the GPU's convolution peak. Without a GPU nothing is measured, and the
rows say so; `--device cpu --size 32` runs everything small on a CPU, to test it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import results
from benchmarks.page.results import NOT_MEASURED, Row
from benchmarks.speed.peak import peaks_of
from model.bench.machine import accelerator
from model.bench.peak import PROVIDERS, Device

CONTEXT, LEADS, HIDDEN = 10, 10, 64
NETWORK = "ms-predrnn"
TIMES_AS_FAST, SHARE_OF_PEAK = 8.0, 0.5
THEIRS = ("official, fp32", "official, TF32")
ENGINE = ("engine, fp32", "engine, fp16")
UPPER_BOUND = ("upper bound, fp32", "upper bound, fp16", "upper bound, fp16, CUDA graph")
NO_ACCELERATOR = f"{NOT_MEASURED}: no accelerator"

Frames = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: `size` and `large` are pixels along a side of batch 1 and of batch `batch`."""

    device: Device = "cuda"
    ms_rnn: Path | None = None
    size: int = 128
    large: int = 480
    batch: int = 16
    rounds: int = 3
    runs: int = 5
    peak_seconds: float = 1.0

    def sides(self) -> list[str]:
        """That can run here."""
        theirs = THEIRS if self.device == "cuda" else THEIRS[:1]
        bounds = [side for side in UPPER_BOUND if self.device == "cuda" or "CUDA" not in side]
        return [*(theirs if self.ms_rnn else ()), *ENGINE, *bounds]


def unavailable(device: Device) -> str:
    """Why the device cannot be measured here; empty where it can."""
    from model.runtime.ort import ort

    if device == "cuda" and not accelerator():
        return NO_ACCELERATOR
    if PROVIDERS[device] not in ort.get_available_providers():
        return f"{NOT_MEASURED}: ONNX Runtime has no {PROVIDERS[device]}, pip install 'echocast[gpu]'"
    return ""


# One side, in a process of its own


def prepare(into: Path, ms_rnn: Path | None) -> dict[str, float]:
    """Leave both graphs in `into`, with the official network's weights where it is given; operations per pixel."""
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
        net = convert(official(ms_rnn, "cpu", (1, 32, 32)).state_dict(), "ms-rnn", network=NETWORK).build_model()
    assert isinstance(net, RecurrentModel)
    traced = trace(net)
    export_float32(traced, into / "fp32.onnx")
    export_float16(traced, into / "fp16.onnx")
    steps = CONTEXT - 1 + LEADS
    return {"operations_per_pixel": 2.0 * steps * sum(layer.macs_per_pixel for layer in profile(net))}


def official(folder: Path, device: Device, shape: tuple[int, int, int]) -> Any:  # noqa: ANN401  (torch stays out)
    """Their network, on the device."""
    from benchmarks.parity import official as code

    if device == "cpu":
        with code.on_the_cpu():
            return code.ms_rnn_network(folder, NETWORK, hidden=HIDDEN, shape=shape, context=CONTEXT, leads=LEADS).eval()
    net = code.ms_rnn_network(folder, NETWORK, hidden=HIDDEN, shape=shape, context=CONTEXT, leads=LEADS)
    return net.eval().cuda()


def by_their_code(side: str, folder: Path, frames: Frames, device: Device) -> Callable[[], Frames]:
    """Their forecast [t, b, 1, y, x] of frames [t, b, 1, y, x]."""
    import torch

    from benchmarks.parity.official import on_the_cpu

    fast = side.endswith("TF32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
    torch.backends.cudnn.benchmark = True
    _, batch, _, height, width = frames.shape
    net = official(folder, device, (batch, height, width))
    # They feed back a frame of their own after the context: what is given there is not read.
    given = torch.cat([torch.from_numpy(frames), torch.zeros(LEADS, *frames.shape[1:])]).to(device)
    none = torch.zeros(1, device=device)

    def forecast() -> Frames:
        if device == "cpu":
            with on_the_cpu():
                return np.asarray(net((given, none, 0))[0][CONTEXT - 1 :].numpy())
        with torch.no_grad():
            return np.asarray(net((given, none, 0))[0][CONTEXT - 1 :].cpu().numpy())

    return forecast


def by_the_engine(graph: Path, frames: Frames, device: Device) -> Callable[[], Frames]:
    """Our forecast [t, b, 1, y, x] of frames [t, b, 1, y, x], by what serves."""
    os.environ["ECHOCAST_DEVICE"] = device
    from model.runtime.device import open_session
    from model.runtime.graph_session import ForecastInput

    session = open_session(graph)
    batch = [
        ForecastInput(data=data, known=np.ones_like(data), step_minutes=5.0, ceiling=np.inf)
        for data in np.ascontiguousarray(frames.swapaxes(0, 1))
    ]
    return lambda: np.stack([frame for frame in session.run_batch(batch, LEADS) if frame is not None])


def by_a_loop(graph: Path, frames: Frames, device: Device, *, captured: bool) -> Callable[[], Frames]:
    """Our forecast by two bindings in turns: what one answers is in the buffers that the other reads."""
    from model.runtime.ort import ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    provider: Any = PROVIDERS[device]
    if captured:
        provider = (provider, {"enable_cuda_graph": "1"})
    session = ort.InferenceSession(graph, options, providers=[provider])
    assert session.get_providers()[0] == PROVIDERS[device], session.get_providers()
    batch, _, height, width = frames.shape[1:]
    strides = iter(session.get_modelmeta().custom_metadata_map["state_strides"].split(","))
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    zeros: dict[str, NDArray[Any]] = {}
    for item in session.get_inputs():
        stride = 1 if item.name == "fraction" else int(next(strides))
        channels = 1 if item.name == "fraction" else int(item.shape[1])
        zeros[item.name] = np.zeros((batch, channels, height // stride, width // stride), kinds[item.type])
    buffers = [
        {name: ort.OrtValue.ortvalue_from_numpy(of.copy(), device, 0) for name, of in zeros.items()} for _ in range(2)
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
        for name, of in zeros.items():
            buffers[0][name].update_inplace(of)
        answers = []
        for step in range(CONTEXT - 1 + LEADS):
            turn = step % 2
            if step < CONTEXT:
                buffers[turn]["fraction"].update_inplace(np.ascontiguousarray(frames[step]))
            session.run_with_iobinding(bindings[turn], runs[turn])
            if step >= CONTEXT - 1:
                answers.append(buffers[1 - turn]["fraction"].numpy().copy())
        return np.stack(answers)

    return forecast


def child(side: str, into: Path, plan: Plan, batch: int, size: int) -> dict[str, Any]:
    """Seconds of each forecast after two to warm up; the last one lies in `into`."""
    frames = np.random.default_rng(1).random((CONTEXT, batch, 1, size, size), dtype=np.float32)
    if side in THEIRS:
        assert plan.ms_rnn is not None
        forecast = by_their_code(side, plan.ms_rnn, frames, plan.device)
    else:
        how, precision, *captured = side.split(", ")
        graph = into / f"{precision}.onnx"
        if how == "engine":
            forecast = by_the_engine(graph, frames, plan.device)
        else:
            forecast = by_a_loop(graph, frames, plan.device, captured=bool(captured))
    forecast()
    answer = forecast()
    seconds = []
    for _ in range(plan.runs):
        began = time.perf_counter()
        answer = forecast()
        seconds.append(time.perf_counter() - began)
    np.save(into / f"{side}.npy", answer)
    return {"seconds": seconds}


# All sides


def measure(plan: Plan) -> dict[str, Any]:
    """Both cases, and their rows of the table of aims."""
    reason = unavailable(plan.device)
    if reason:
        return {"rows": results.as_json(rows_of({}, plan, reason))}
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        into = Path(name)
        peaks = peaks_of(plan.device, seconds=plan.peak_seconds)
        precisions = ("fp32", "fp16", "bf16") if plan.device == "cuda" else ("fp32", "fp16")
        peaks.measure(precisions)
        operations = _in_a_process(into, plan, "prepare", 1, plan.size)["operations_per_pixel"]
        cases = {"one": (1, plan.size), "many": (plan.batch, plan.large)}
        found: dict[str, Any] = {
            case: {
                "batch": batch,
                "side": side,
                "operations": operations * batch * side**2,
                "measured": _in_turns(into, plan, batch, side),
            }
            for case, (batch, side) in cases.items()
        }
        peaks.measure(precisions)
    return {
        "device": plan.device,
        **found,
        "peaks_gflops": peaks.gflops,
        "rows": results.as_json(rows_of({**found, **peaks.gflops}, plan)),
    }


def _in_turns(into: Path, plan: Plan, batch: int, size: int) -> dict[str, dict[str, Any]]:
    """Seconds of every side; where one failed, why. `difference`: of any pixel from the first side's forecast."""
    sides = plan.sides()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    failed: dict[str, str] = {}
    for _ in range(plan.rounds):
        for side in sides:
            if side in failed:
                continue
            try:
                seconds[side] += _in_a_process(into, plan, side, batch, size)["seconds"]
            except ChildFailed as error:
                failed[side] = str(error)
    first = next((np.load(into / f"{side}.npy") for side in sides if side not in failed), None)
    found: dict[str, dict[str, Any]] = {side: {"failed": reason} for side, reason in failed.items()}
    for side in sides:
        if side not in failed:
            answer = np.load(into / f"{side}.npy")
            found[side] = {
                "median_s": statistics.median(seconds[side]),
                "min_s": min(seconds[side]),
                "max_s": max(seconds[side]),
                "difference": float(np.abs(answer - first).max()),
            }
    return found


class ChildFailed(Exception):
    """A side cannot run here; the last line of what it said."""


def _in_a_process(into: Path, plan: Plan, side: str, batch: int, size: int) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.gpu",
        "--child",
        side,
        "--into",
        str(into),
        "--batch",
        str(batch),
    ]
    command += ["--size", str(size), "--device", plan.device, "--runs", str(plan.runs)]
    command += ["--ms-rnn", str(plan.ms_rnn.resolve())] if plan.ms_rnn else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ChildFailed((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def rows_of(found: Mapping[str, Any], plan: Plan, reason: str = "") -> list[Row]:
    """Both aims: of ours the faster precision of the engine, and no upper bound; of theirs the faster, TF32 or not."""
    gpu = accelerator() or plan.device.upper()
    (times, faster), (share, used) = (reason, None), (reason, None)
    if not reason:
        times, faster = _against_theirs(found["one"]["measured"])
        peak = max(found.get(precision, 0.0) for precision in ("fp16", "bf16"))
        share, used = _against_the_peak(found["many"], peak)
    return [
        Row(
            what=f"MS-PredRNN, {gpu}, batch 1, {plan.size} x {plan.size}",
            against="official code, same GPU",
            aim="8 x; absolute time reported",
            measured=times,
            reached=faster,
        ),
        Row(
            what=f"MS-PredRNN, {gpu}, batch {plan.batch}, {plan.large} x {plan.large}",
            against="that GPU's measured bf16/fp16 convolution peak",
            aim="50 %",
            measured=share,
            reached=used,
        ),
    ]


def _against_theirs(measured: Mapping[str, Mapping[str, Any]]) -> tuple[str, float | None]:
    """What the row of batch 1 says, and how far its aim is reached."""
    ours, theirs = _fastest(measured, ENGINE), _fastest(measured, THEIRS)
    if ours is None:
        return _failed(measured), 0.0
    taken = measured[ours]["median_s"]
    said = f"{1000 * taken:.1f} ms ({ours})"
    if theirs is None:
        why = next((each["failed"] for side, each in measured.items() if side in THEIRS), "its folder was not given")
        return f"{NOT_MEASURED} against the official code ({why}); ours {said}", None
    times = measured[theirs]["median_s"] / taken
    return (
        f"{times:.1f} x: {said} against {1000 * measured[theirs]['median_s']:.1f} ms ({theirs})",
        times / TIMES_AS_FAST,
    )


def _against_the_peak(case: Mapping[str, Any], peak: float) -> tuple[str, float | None]:
    """What the row of the batch says, and how far its aim is reached; `peak` in GFLOP/s."""
    measured = case["measured"]
    ours = _fastest(measured, ENGINE)
    if ours is None:
        return _failed(measured), 0.0
    taken = measured[ours]["median_s"]
    rate = case["operations"] / taken / 1e9
    return f"{rate / peak:.0%}: {rate:.0f} of {peak:.0f} GFLOP/s ({ours}, {taken:.3f} s)", rate / peak / SHARE_OF_PEAK


def _fastest(measured: Mapping[str, Mapping[str, Any]], sides: Sequence[str]) -> str | None:
    """Of these sides; None where none of them ran."""
    ran = [side for side in sides if "median_s" in measured.get(side, {})]
    return min(ran, key=lambda side: float(measured[side]["median_s"]), default=None)


def _failed(measured: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{side} failed: {measured[side]['failed']}" for side in ENGINE)


def page(part: Mapping[str, Any]) -> str:
    """The part of docs/performance.md."""
    if "one" not in part:
        reason = part["rows"][0]["measured"]
        told = f"{reason[0].upper()}{reason[1:]} ({part['machine']['date']})."
        return f"{told} On a machine with a GPU: `python -m benchmarks.speed.gpu --ms-rnn FOLDER`. It is tested on CPU."
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
        lines += [f"Batch {case['batch']}, {case['side']} x {case['side']}:", results.markdown(header, rows)]
    return "\n\n".join(lines)


def main() -> None:
    """Measure, keep the figures and print them, or (with --child) one side."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ms-rnn", type=Path, metavar="FOLDER", help="A checkout of mazhf/MS-RNN.")
    parser.add_argument("--device", choices=PROVIDERS, default="cuda")
    parser.add_argument("--size", type=int, default=128, help="Pixels along a side, batch 1.")
    parser.add_argument("--large", type=int, default=480, help="The same of the batch.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="Processes of each side.")
    parser.add_argument("--runs", type=int, default=5, help="Forecasts of each process.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = {"size": asked.size, "large": asked.large, "batch": asked.batch}
    plan = Plan(device=asked.device, ms_rnn=asked.ms_rnn, rounds=asked.rounds, runs=asked.runs, **sizes)
    if asked.child == "prepare":
        print(json.dumps(prepare(asked.into, asked.ms_rnn)))
    elif asked.child:
        print(json.dumps(child(asked.child, asked.into, plan, asked.batch, asked.size)))
    elif asked.device == "cpu":
        print(json.dumps(measure(plan), indent=1))  # a test of the script, which is no figure to keep
    elif (reason := unavailable(plan.device)) and "one" in results.read().get("gpu", {}):
        print(f"{reason}; what was measured before stays", file=sys.stderr)
    else:
        print(json.dumps(results.keep("gpu", measure(plan))["gpu"], indent=1))


if __name__ == "__main__":
    main()
