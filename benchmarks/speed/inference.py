"""`python -m benchmarks.speed.inference FOLDERS.. [NETWORK..]`: networks and their official code on CPU.

The options name checkouts of the official repositories (`--ms-rnn DIR` ...). Both sides have the same initial weights
and read the same frames: batch 1, 10 frames in, 10 out. `official` is PyTorch, eager float32. `fp32` and `int8` are the
graphs of a package through the runtime, in a process without PyTorch; int8 has every convolution in 8 bits, calibrated
on two other sequences. With random weights, no gate of CSI can judge it.

Each run has a process of its own, and the sides take turns, so that other load on the machine affects all of them.
Seconds are the median over processes of the fastest forecast of a process; MB are the highest resident memory of a
process; the difference is the largest of any pixel from the official output, over the largest official value.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import paths
from benchmarks.command_line import add_checkouts, argument_parser, checkouts, run_in_child, time_runs
from benchmarks.page.markdown import replace_part, table
from model.bench.machine import describe_machine, peak_memory_mb

if TYPE_CHECKING:
    from torch import nn

    from model.runtime.graph_session import ForecastInput

CONTEXT, LEADS = 10, 10
TOTAL = CONTEXT + LEADS
SIDES = ("official", "fp32", "int8")
PRECISIONS = ("fp32", "int8")
"""Precisions of the convolution peaks that the sides are compared with."""
FORECASTS = 2
"""Timed forecasts of a process, after one to warm up."""
PAIRS = 3
"""Processes of each side."""
CALIBRATION = (101, 102)
"""Seeds of the sequences for the calibration of int8."""
MEMORY_MB = 16384
"""Memory limit of a forecast, high enough that it never matters."""
FIGURES = paths.FIGURES / "inference.json"
"""The last figures of each network."""

FAMILIES = ("ms-rnn", "predrnn-pytorch", "openstl", "motionrnn")
"""Families of official code, as named in the options."""
WIDE = ("convlstm", "predrnn", "predrnn-v2")
"""Networks of MS-RNN that are measured at 128 x 128, plain and multi-scale; the others at 64 x 64."""


@dataclass(frozen=True, kw_only=True)
class NetworkCase:
    """A network of the table: the family of its official code, and the side of its frames in pixels."""

    family: str
    side: int


CASES: Final[Mapping[str, NetworkCase]] = {
    **{
        f"{prefix}{name}": NetworkCase(family="ms-rnn", side=128 if name in WIDE else 64)
        for name in ("convlstm", "trajgru", "predrnn", "predrnn-v2", "predrnn-pp", "mim", "motionrnn")
        for prefix in ("", "ms-")
    },
    "predrnn 4x128": NetworkCase(family="predrnn-pytorch", side=64),
    "predrnn-v2 4x128": NetworkCase(family="predrnn-pytorch", side=64),
    "motionrnn 4x64": NetworkCase(family="motionrnn", side=64),
    "simvp-incepu": NetworkCase(family="openstl", side=64),
    "simvp-gsta": NetworkCase(family="openstl", side=64),
    "tau": NetworkCase(family="openstl", side=64),
}


def sequence(side: int, seed: int) -> NDArray[np.float32]:
    """Return frames [t, 1, y, x] in [0, 1]: noisy, smooth blobs on black that move and grow."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    frames = np.zeros((CONTEXT, side, side))
    for _ in range(6):
        centre, speed = rng.random(2), rng.normal(0, 0.02, 2)
        width, height, growth = 0.03 + 0.12 * rng.random(), 0.4 + 0.6 * rng.random(), rng.normal(0, 0.02)
        for step in range(CONTEXT):
            of_y, of_x = centre + step * speed
            frames[step] += (height + step * growth) * np.exp(-((y - of_y) ** 2 + (x - of_x) ** 2) / (2 * width**2))
    noisy = frames * (1 + 0.2 * rng.normal(size=frames.shape))
    return np.clip(noisy, 0, 1).astype(np.float32)[:, None]


def official_network(name: str, folder: Path) -> nn.Module:
    """Return the official network with its initial weights, from a fixed seed."""
    import torch

    from benchmarks import official_code as code

    case = CASES[name]
    torch.manual_seed(code.SEED)
    if case.family == "ms-rnn":
        shape = (1, case.side, case.side)
        return code.ms_rnn_network(
            folder, name, hidden=64, shape=shape, context=CONTEXT, leads=LEADS, corrected=True
        ).eval()
    if case.family == "openstl":
        kind = {"simvp-incepu": "IncepU", "simvp-gsta": "gSTA", "tau": "tau"}[name]
        simvp = code.openstl_modules(folder)("simvp", "SimVP_Model")
        net = simvp((CONTEXT, 1, case.side, case.side), hid_S=64, hid_T=512, N_S=4, N_T=8, model_type=kind)
        return net.eval()
    configuration = code.configuration(context=CONTEXT, total=TOTAL, batch=1, side=case.side)
    if case.family == "motionrnn":
        return code.motionrnn_model(folder)(4, [64] * 4, configuration).eval()  # type: ignore[no-any-return]
    kind = name.partition(" ")[0].replace("-", "_")
    return code.predrnn_pytorch_model(folder, kind)(4, [128] * 4, configuration).eval()  # type: ignore[no-any-return]


def official_forecast(name: str, folder: Path, frames: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    """Return a function that runs the official network and returns its forecast [t, 1, y, x]."""
    import torch

    from benchmarks import official_code as code

    net = official_network(name, folder)
    family = CASES[name].family
    context = torch.from_numpy(frames)[None]
    if family == "openstl":
        return lambda: net(context)[0].numpy()
    # After the context the network reads its own outputs; the zeros only give the input its full length.
    padded = torch.cat([context, torch.zeros_like(context)], dim=1)
    if family == "ms-rnn":
        time_first = padded.transpose(0, 1).contiguous()
        return lambda: net((time_first, torch.zeros(1), 0))[0][CONTEXT - 1 :, 0].numpy()
    patches = code.to_patches(padded, 4)

    def forecast() -> NDArray[np.float32]:
        with code.states_from_zero():
            planes = net(patches, torch.zeros(1, LEADS - 1, 1, 1, 1))[0]
        output: NDArray[np.float32] = code.from_patches(planes, 4)[0, CONTEXT - 1 :].numpy()
        return output

    return forecast


def runtime_forecast(graph: Path, frames: NDArray[np.float32], threads: int) -> Callable[[], NDArray[np.float32]]:
    """Return a function that runs the graph of a package through the runtime and returns its forecast [t, 1, y, x]."""
    from model.runtime.device import EngineOptions, open_session

    session = open_session(graph, options=EngineOptions(device="cpu", threads=threads, memory_mb=MEMORY_MB))
    return lambda: np.stack(list(session.run(replace(forecast_input(frames), ceiling=np.inf), LEADS)))


def forecast_input(frames: NDArray[np.float32]) -> ForecastInput:
    """Return frames as an input of the runtime."""
    from model.runtime.graph_session import ForecastInput

    return ForecastInput(data=frames, known=np.ones_like(frames), step_minutes=5.0)


def prepare(name: str, folder: Path, into: Path) -> Mapping[str, Any]:
    """Export both graphs with the official weights into a folder; return parameters and operations."""
    from benchmarks import official_code as code
    from model.export.calibrate import CalibrationSample
    from model.export.checkpoints.convert import convert
    from model.export.onnx import export_float32, export_int8
    from model.export.trace import trace
    from model.nets.profile import profile

    with code.on_the_cpu():
        case = CASES[name]
        weights = official_network(name, folder).state_dict()
        network = name if case.family == "ms-rnn" else ""
        # The official network runs with its corrections, so the form of the paper has the same outputs.
        net = convert(weights, case.family, network=network, form="paper").build_model()
        traced = trace(net)
        export_float32(traced, into / "fp32.onnx")
        sequences = [forecast_input(sequence(case.side, seed)) for seed in CALIBRATION]
        samples = [CalibrationSample(observed=inputs, leads=LEADS) for inputs in sequences]
        done = export_int8(traced, into / "int8.onnx", samples, change_limit=np.inf)
        layers = profile(net)
    runs = 1 if case.family == "openstl" else TOTAL - 1
    macs = sum(layer.macs_per_pixel for layer in layers) * case.side**2 * runs
    parameters = sum(layer.parameters for layer in layers)
    return {"parameters": parameters, "gflop": 2 * macs / 1e9, "int8 layers": len(done.quantized)}


def run_side(side: str, name: str, folder: Path, into: Path, threads: int) -> Mapping[str, Any]:
    """Time one side in this process; its last forecast is saved in the folder `into`."""
    frames = sequence(CASES[name].side, seed=1)
    if side == "official":
        import torch

        from benchmarks.official_code import on_the_cpu

        torch.set_num_threads(threads)
        with on_the_cpu():
            seconds, output = time_runs(official_forecast(name, folder, frames), FORECASTS)
    else:
        seconds, output = time_runs(runtime_forecast(into / f"{side}.onnx", frames, threads), FORECASTS)
        assert "torch" not in sys.modules
    np.save(into / f"{side}.npy", output)
    return {"seconds": seconds, "mb": peak_memory_mb()}


def measure(name: str, folder: Path, threads: int, pairs: int) -> dict[str, Any]:
    """Measure all sides of a network in turns, each run in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        into = Path(temporary)

        def in_child(task: str) -> dict[str, Any]:
            args = [f"--{CASES[name].family}", folder, name, "--child", task, "--into", into, "--threads", threads]
            figures: dict[str, Any] = run_in_child("benchmarks.speed.inference", args, threads=threads)
            return figures

        size = in_child("prepare")
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(pairs):
            for side in SIDES:
                runs[side].append(in_child(side))
        outputs = {side: np.load(into / f"{side}.npy") for side in SIDES}
    figures: dict[str, Any] = {"side": CASES[name].side, "family": CASES[name].family, **size}
    figures["largest value"] = float(np.abs(outputs["official"]).max())
    for side in SIDES:
        fastest = [min(run["seconds"]) for run in runs[side]]
        figures[side] = {
            "seconds": statistics.median(fastest),
            "spread": [min(fastest), max(s for run in runs[side] for s in run["seconds"])],
            "times": statistics.median(
                min(official["seconds"]) / seconds for official, seconds in zip(runs["official"], fastest, strict=True)
            ),
            "mb": max(run["mb"] for run in runs[side]),
            "difference": float(np.abs(outputs[side] - outputs["official"]).max()),
        }
    return figures


def page(collected: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
    machine = collected["machine"]
    peak, libraries = machine["peak"], machine["libraries"]
    header = ["network", "grid", "official s", "fp32 s", "int8 s", "fp32 times", "int8 times", "official MB", "fp32 MB"]
    header += ["int8 MB", "of peak: official", "fp32", "int8", "fp32 difference", "int8 difference"]
    rows = []
    for name, network in collected["networks"].items():
        sides = [network[side] for side in SIDES]
        rates = [network["gflop"] / side["seconds"] for side in sides]
        limits = (peak["fp32"], peak["fp32"], peak["int8"])
        rows.append(
            [
                name,
                f"{network['side']} x {network['side']}",
                *(f"{side['seconds']:.2f}" for side in sides),
                *(f"{side['times']:.2f}" for side in sides[1:]),
                *(f"{side['mb']:.0f}" for side in sides),
                *(f"{rate / limit:.0%}" for rate, limit in zip(rates, limits, strict=True)),
                *(f"{side['difference'] / network['largest value']:.1e}" for side in sides[1:]),
            ]
        )
    machine_sentence = (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['threads']} threads, CPU only; PyTorch "
        f"{libraries['torch']}, ONNX Runtime {libraries['onnxruntime']}. Convolutions alone reach {peak['fp32']:.0f} "
        f"GFLOP/s in fp32 and {peak['int8']:.0f} in int8 here."
    )
    return f"{machine_sentence}\n\n{table(header, rows)}"


def measure_all(names: Sequence[str], folders: Mapping[str, Path], threads: int, pairs: int) -> None:
    """Measure networks one by one, and store each when it is done; measure the peak before and after all of them."""
    from benchmarks.speed.peak import peaks_of

    peaks = peaks_of("cpu", threads)
    peaks.measure(PRECISIONS)
    collected: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"networks": {}}
    collected["machine"] = {**describe_machine(), "threads": threads, "peak": peaks.gflops}
    for name in names:
        collected["networks"][name] = measure(name, folders[CASES[name].family].resolve(), threads, pairs)
        print(name, json.dumps(collected["networks"][name]), file=sys.stderr)
        collected["networks"] = {name: collected["networks"][name] for name in CASES if name in collected["networks"]}
        store(collected)
    peaks.measure(PRECISIONS)
    store(collected)
    replace_part("inference", page(collected), paths.PERFORMANCE_PAGE)


def store(collected: Mapping[str, Any]) -> None:
    """Write the figures."""
    FIGURES.write_text(json.dumps(collected, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, store the figures and rewrite the table, or (with --child) do one task and print its figures."""
    parser = argument_parser(__doc__)
    add_checkouts(parser, FAMILIES)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="Networks to measure; by default all.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="Processes of each side of each network.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folders = checkouts(args, FAMILIES)
    if unknown := [name for name in args.networks if name not in CASES]:
        parser.error(f"unknown network {unknown[0]}; the networks are {', '.join(CASES)}")
    if args.child:
        (name,) = args.networks
        folder = folders[CASES[name].family]
        if args.child == "prepare":
            print(json.dumps(prepare(name, folder, args.into)))
        else:
            print(json.dumps(run_side(args.child, name, folder, args.into, args.threads)))
        return
    names = args.networks or list(CASES)
    if missing := {CASES[name].family for name in names} - set(folders):
        parser.error(f"these networks need --{' and --'.join(sorted(missing))}")
    measure_all(names, folders, args.threads, args.pairs)


if __name__ == "__main__":
    main()
