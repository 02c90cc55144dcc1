"""`python -m benchmarks.speed.inference FOLDERS.. [NETWORK..]`: networks and their official code on CPU.

The folders are checkouts of the official repositories, of which nothing is kept here (`--ms-rnn DIR` ...). Both sides
have the same weights, those that their code starts with, and read the same frames: batch 1, 10 frames in, 10 out.
Theirs is PyTorch, eager float32; ours are the graphs of a package through the runtime, in a process without PyTorch:
`fp32`, and `int8`: every convolution in 8 bits, calibrated on two other sequences, with random weights, so that no gate
of CSI can judge it. Each run has a process of its own, in turns,
so that what else the machine does touches all. Seconds are of the fastest forecast of a process, and of those the
median; MB are the highest resident memory of a process. `difference`: the largest of any pixel from theirs, over the
largest value of theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import paths
from benchmarks.page.markdown import replace_part, table

if TYPE_CHECKING:
    from torch import nn

    from model.runtime.graph_session import ForecastInput

CONTEXT, LEADS = 10, 10
TOTAL = CONTEXT + LEADS
SIDES = ("theirs", "fp32", "int8")
PRECISIONS = ("fp32", "int8")
"""Of the peaks that the sides are held against."""
FORECASTS = 2
"""That a process makes, after one to warm up."""
PAIRS = 3
"""Processes of each side, in turns."""
CALIBRATION = (101, 102)
"""Seeds of the sequences that int8 is calibrated on."""
MEMORY_MB = 16384
"""That a forecast may take: what it does take is measured."""
FIGURES = paths.FIGURES / "inference.json"
"""What was measured last, network by network."""

FAMILIES = ("ms-rnn", "predrnn-pytorch", "openstl", "motionrnn")
MENDED: Final = (("align_corners=False", "align_corners=True"),)
WIDE = ("convlstm", "predrnn", "predrnn-v2")
"""Of MS-RNN's networks those that are measured at 128 x 128, plain and multi-scale; the others at 64 x 64."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network of the table: whose code, and pixels along a side of its frames."""

    family: str
    side: int


CASES: Final[Mapping[str, Case]] = {
    **{
        f"{prefix}{name}": Case(family="ms-rnn", side=128 if name in WIDE else 64)
        for name in ("convlstm", "trajgru", "predrnn", "predrnn-v2", "predrnn-pp", "mim", "motionrnn")
        for prefix in ("", "ms-")
    },
    "predrnn 4x128": Case(family="predrnn-pytorch", side=64),
    "predrnn-v2 4x128": Case(family="predrnn-pytorch", side=64),
    "motionrnn 4x64": Case(family="motionrnn", side=64),
    "simvp-incepu": Case(family="openstl", side=64),
    "simvp-gsta": Case(family="openstl", side=64),
    "tau": Case(family="openstl", side=64),
}


# What both sides read


def sequence(side: int, seed: int) -> NDArray[np.float32]:
    """Frames [t, 1, y, x] in [0, 1]: soft blobs on black that move and grow, and what noise is in them."""
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


# Their code


def official(name: str, folder: Path) -> nn.Module:
    """Their network with the weights that it starts with, from a seed."""
    import torch

    from benchmarks.parity import official as code

    case = CASES[name]
    torch.manual_seed(code.SEED)
    if case.family == "ms-rnn":
        shape = (1, case.side, case.side)
        mends = {"warps": MENDED, "order": code.IN_ORDER} if "motionrnn" in name else {"warps": MENDED}
        return code.ms_rnn_network(folder, name, hidden=64, shape=shape, context=CONTEXT, leads=LEADS, **mends).eval()
    if case.family == "openstl":
        kind = {"simvp-incepu": "IncepU", "simvp-gsta": "gSTA", "tau": "tau"}[name]
        simvp = code.openstl_modules(folder)("simvp", "SimVP_Model")
        net: nn.Module = simvp((CONTEXT, 1, case.side, case.side), hid_S=64, hid_T=512, N_S=4, N_T=8, model_type=kind)
        return net.eval()
    settings = code.settings(
        img_width=case.side, img_height=case.side, input_length=CONTEXT, total_length=TOTAL, batch_size=1
    )
    if case.family == "motionrnn":
        net = code.motionrnn_model(folder)(4, [64] * 4, settings)
    else:
        kind = name.partition(" ")[0].replace("-", "_")
        net = code.predrnn_pytorch_model(folder, kind)(4, [128] * 4, settings)
    return net.eval()


def by_their_code(name: str, folder: Path, frames: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    """Their forecast [t, 1, y, x] as a function."""
    import torch

    from benchmarks.parity import official as code

    net = official(name, folder)
    family = CASES[name].family
    read = torch.from_numpy(frames)[None]
    if family == "ms-rnn":
        # They feed back a frame of their own after the context: what is given there is not read.
        given = torch.cat([read, torch.zeros_like(read)], dim=1).transpose(0, 1).contiguous()
        return lambda: net((given, torch.zeros(1), 0))[0][CONTEXT - 1 :, 0].numpy()
    if family == "openstl":
        return lambda: net(read)[0].numpy()
    laid_out = code.patched(torch.cat([read, torch.zeros_like(read)], dim=1), 4)

    def forecast() -> NDArray[np.float32]:
        with code.states_from_zero():
            planes = net(laid_out, torch.zeros(1, LEADS - 1, 1, 1, 1))[0]
        answer: NDArray[np.float32] = code.unpatched(planes, 4)[0, CONTEXT - 1 :].numpy()
        return answer

    return forecast


# Ours


def by_the_runtime(graph: Path, frames: NDArray[np.float32], threads: int) -> Callable[[], NDArray[np.float32]]:
    """Our forecast as a function: what a package runs."""
    from model.runtime.device import EngineOptions, open_session

    session = open_session(graph, options=EngineOptions(device="cpu", threads=threads, memory_mb=MEMORY_MB))
    return lambda: np.stack(list(session.run(replace(observed(frames), ceiling=np.inf), LEADS)))


def observed(frames: NDArray[np.float32]) -> ForecastInput:
    """Frames as the runtime takes them."""
    from model.runtime.graph_session import ForecastInput

    return ForecastInput(data=frames, known=np.ones_like(frames), step_minutes=5.0)


def prepare(name: str, folder: Path, into: Path) -> Mapping[str, Any]:
    """Leave both graphs in `into`, with the official network's weights; its parameters and operations."""
    from benchmarks.parity import official as code
    from model.export.calibrate import CalibrationSample
    from model.export.checkpoints.convert import convert
    from model.export.onnx import export_float32, export_int8
    from model.export.trace import trace
    from model.nets.profile import profile

    with code.on_the_cpu():
        case = CASES[name]
        theirs = official(name, folder)
        network = name if case.family == "ms-rnn" else ""
        net = convert(
            theirs.state_dict(), case.family, network=network, form="paper"
        ).build_model()  # theirs mended, too
        traced = trace(net)
        export_float32(traced, into / "fp32.onnx")
        samples = [CalibrationSample(observed=observed(sequence(case.side, seed)), leads=LEADS) for seed in CALIBRATION]
        done = export_int8(traced, into / "int8.onnx", samples, change_limit=np.inf)
        layers = profile(net)
    runs = 1 if case.family == "openstl" else TOTAL - 1
    macs = sum(layer.macs_per_pixel for layer in layers) * case.side**2 * runs
    parameters = sum(layer.parameters for layer in layers)
    return {"parameters": parameters, "gflop": 2 * macs / 1e9, "int8 layers": len(done.quantized)}


# Measuring


def child(task: str, name: str, folder: Path, into: Path, threads: int) -> Mapping[str, Any]:
    """Of one side: seconds of each forecast, the process's highest memory; its last forecast lies in `into`."""
    if task == "prepare":
        return prepare(name, folder, into)
    frames = sequence(CASES[name].side, seed=1)
    if task == "theirs":
        import torch

        from benchmarks.parity.official import on_the_cpu

        torch.set_num_threads(threads)
        with on_the_cpu():
            forecast = by_their_code(name, folder, frames)
            seconds, answer = timed(forecast)
    else:
        seconds, answer = timed(by_the_runtime(into / f"{task}.onnx", frames, threads))
        assert "torch" not in sys.modules
    np.save(into / f"{task}.npy", answer)
    return {"seconds": seconds, "mb": peak_mb()}


def timed(forecast: Callable[[], NDArray[np.float32]]) -> tuple[list[float], NDArray[np.float32]]:
    """Seconds of each forecast after one to warm up, and the answer."""
    answer = forecast()
    seconds = []
    for _ in range(FORECASTS):
        began = time.perf_counter()
        answer = forecast()
        seconds.append(time.perf_counter() - began)
    return seconds, answer


def peak_mb() -> float:
    """The highest resident memory of this process; of what it was started from nothing is counted."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def in_a_process(task: str, name: str, folder: Path, into: Path, threads: int) -> dict[str, Any]:
    """`child`, alone in a process."""
    command = [sys.executable, "-m", "benchmarks.speed.inference", f"--{CASES[name].family}", str(folder), name]
    command += ["--child", task, "--into", str(into), "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{task} of {name} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(name: str, folder: Path, threads: int, pairs: int) -> dict[str, Any]:
    """All sides of a network, in turns."""
    with tempfile.TemporaryDirectory() as kept:
        into = Path(kept)
        size = in_a_process("prepare", name, folder, into, threads)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(pairs):
            for side in SIDES:
                runs[side].append(in_a_process(side, name, folder, into, threads))
        answers = {side: np.load(into / f"{side}.npy") for side in SIDES}
    figures: dict[str, Any] = {"side": CASES[name].side, "family": CASES[name].family, **size}
    figures["largest value"] = float(np.abs(answers["theirs"]).max())
    for side in SIDES:
        fastest = [min(run["seconds"]) for run in runs[side]]
        figures[side] = {
            "seconds": statistics.median(fastest),
            "spread": [min(fastest), max(s for run in runs[side] for s in run["seconds"])],
            "times": statistics.median(
                min(theirs["seconds"]) / seconds for theirs, seconds in zip(runs["theirs"], fastest, strict=True)
            ),
            "mb": max(run["mb"] for run in runs[side]),
            "difference": float(np.abs(answers[side] - answers["theirs"]).max()),
        }
    return figures


def cpu() -> str:
    """The processor by name."""
    found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return found[0].partition(":")[2].strip() if found else platform.machine()


def page(collected: Mapping[str, Any]) -> str:
    """The markdown table."""
    machine = collected["machine"]
    peak = machine["peak"]
    header = ["network", "grid", "theirs s", "fp32 s", "int8 s", "fp32 times", "int8 times", "theirs MB", "fp32 MB"]
    header += ["int8 MB", "of peak: theirs", "fp32", "int8", "fp32 difference", "int8 difference"]
    rows = []
    for name, found in collected["networks"].items():
        sides = [found[side] for side in SIDES]
        rates = [found["gflop"] / side["seconds"] for side in sides]
        limits = (peak["fp32"], peak["fp32"], peak["int8"])
        rows.append(
            [
                name,
                f"{found['side']} x {found['side']}",
                *(f"{side['seconds']:.2f}" for side in sides),
                *(f"{side['times']:.2f}" for side in sides[1:]),
                *(f"{side['mb']:.0f}" for side in sides),
                *(f"{rate / limit:.0%}" for rate, limit in zip(rates, limits, strict=True)),
                *(f"{side['difference'] / found['largest value']:.1e}" for side in sides[1:]),
            ]
        )
    told = (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['threads']} threads, CPU only; PyTorch "
        f"{machine['torch']}, ONNX Runtime {machine['onnxruntime']}. Convolutions alone reach {peak['fp32']:.0f} "
        f"GFLOP/s in fp32 and {peak['int8']:.0f} in int8 here."
    )
    return f"{told}\n\n{table(header, rows)}"


def machine_description(threads: int) -> dict[str, Any]:
    """What was measured on."""
    from importlib.metadata import version

    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": version("torch"),
        "onnxruntime": version("onnxruntime"),
    }


def measure_all(names: Sequence[str], folders: Mapping[str, Path], threads: int, pairs: int) -> None:
    """Networks one after the other, each kept as soon as it is measured; the peak before the first, after the last."""
    from benchmarks.speed.peak import peaks_of

    peaks = peaks_of("cpu", threads)
    peaks.measure(PRECISIONS)
    collected: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"networks": {}}
    collected["machine"] = {**machine_description(threads), "peak": peaks.gflops}
    for name in names:
        collected["networks"][name] = measure(name, folders[CASES[name].family].resolve(), threads, pairs)
        print(name, json.dumps(collected["networks"][name]), file=sys.stderr)
        collected["networks"] = {name: collected["networks"][name] for name in CASES if name in collected["networks"]}
        keep(collected)
    peaks.measure(PRECISIONS)
    keep(collected)
    replace_part("inference", page(collected), paths.PERFORMANCE_PAGE)


def keep(collected: Mapping[str, Any]) -> None:
    """Write the figures."""
    FIGURES.write_text(json.dumps(collected, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, keep the figures and rewrite the table, or (with --child) do one task and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for family in FAMILIES:
        parser.add_argument(f"--{family}", type=Path, metavar="DIR", help=f"A checkout of {family}.")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="Only these; without any, all.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="Processes of each side of each network.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    folders = {family: getattr(asked, family.replace("-", "_")) for family in FAMILIES}
    unknown = [name for name in asked.networks if name not in CASES]
    if unknown:
        parser.error(f"no network {unknown[0]}; there are {', '.join(CASES)}")
    if asked.child:
        (name,) = asked.networks
        found = child(asked.child, name, folders[CASES[name].family], asked.into, asked.threads)
        print(json.dumps(found))
        return
    wanted = asked.networks or list(CASES)
    missing = {CASES[name].family for name in wanted} - {family for family, folder in folders.items() if folder}
    if missing:
        parser.error(f"these networks want --{' and --'.join(sorted(missing))}")
    measure_all(wanted, folders, asked.threads, asked.pairs)


if __name__ == "__main__":
    main()
