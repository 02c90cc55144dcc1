"""`python -m benchmarks.speed.networks`: the cost of each network, plain and multi-scale, for docs/networks.md.

Each figure is measured in a process of its own, so that its peak memory counts nothing else. A step is one time step of
a recurrent network at 128 x 128, batch 1; for a recurrent-free network it is one run of ten frames. A training step is
forward, backward and Adam over 10 + 10 frames of 64 x 64, batch 1, float32. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import paths
from benchmarks.command_line import argument_parser, run_in_child, time_runs
from benchmarks.page.markdown import replace_part, table
from model.bench.machine import peak_memory_mb

MODULE = "benchmarks.speed.networks"
THREADS = 2
SIDE, TRAINING_SIDE = 128, 64
CONTEXT, LEADS = 10, 10
REPEATS = 3
FEW_FRAMES = 3
"""Frames that the timed graph of a recurrent network reads: as many steps."""
FIGURES = paths.FIGURES / "networks.json"
"""The last figures of each network."""

WHOLE = ("simvp-incepu", "simvp-gsta", "tau")


def names() -> list[str]:
    """Return the networks of the table: those of MS-RNN, plain and multi-scale, and those without recurrence."""
    from model.nets.networks import IN_MS_RNN

    return [*IN_MS_RNN, *WHOLE]


def config_of(name: str):  # noqa: ANN201  (torch must not be imported where a graph is measured)
    """Return the configuration of a network that reads frames only."""
    from model.nets.forecast_model import ModelConfig
    from model.nets.networks import AS_PUBLISHED, IN_MS_RNN

    build = AS_PUBLISHED[name] if name in WHOLE else IN_MS_RNN[name]
    return ModelConfig(net=build(), reads_known=False, reads_time=False, residual=False, bounded=False)


def size(name: str, folder: Path) -> Mapping[str, float]:
    """Return parameters and multiply-adds per step at 128 x 128; export the graph into a folder."""
    import torch

    from model.export.onnx import export_float32
    from model.export.trace import trace
    from model.nets.forecast_model import build_model
    from model.nets.profile import profile

    torch.manual_seed(0)
    net = build_model(config_of(name)).eval()
    layers = profile(net)
    export_float32(trace(net), folder / f"{name}.onnx")
    return {
        "parameters": sum(layer.parameters for layer in layers),
        "gmac": sum(layer.macs_per_pixel for layer in layers) * SIDE**2 / 1e9,
    }


def torch_step(name: str, folder: Path) -> Mapping[str, float]:
    """Time a step in PyTorch."""
    import torch

    from model.nets.forecast_model import RecurrentModel, build_model

    torch.set_num_threads(THREADS)
    net = build_model(config_of(name)).eval()
    with torch.no_grad():
        if isinstance(net, RecurrentModel):
            frame = torch.rand(1, 1, SIDE, SIDE)
            state = net.stack.initial_state(1, SIDE, SIDE, frame)
            _, state, *_ = net.step(frame, frame, None, None, state)
            return {"seconds": median_seconds(lambda: net.step(frame, frame, None, None, state))}
        frames = torch.rand(1, CONTEXT, 1, SIDE, SIDE)
        return {"seconds": median_seconds(lambda: net.next_frames(frames, frames))}


def onnx_step(name: str, folder: Path) -> Mapping[str, float]:
    """Time a step in ONNX Runtime, in the session that serves, in a process without PyTorch."""
    import numpy as np

    from model.runtime.device import open_session
    from model.runtime.graph_session import ForecastInput

    session = open_session(folder / f"{name}.onnx", threads=THREADS)
    frames = CONTEXT if name in WHOLE else FEW_FRAMES
    data = np.random.default_rng(0).random((frames, 1, SIDE, SIDE), dtype=np.float32)
    observed = ForecastInput(data=data, known=np.ones_like(data), step_minutes=5.0)
    if name in WHOLE:
        return {"seconds": median_seconds(lambda: list(session.run(observed, CONTEXT)))}
    return {"seconds": median_seconds(lambda: list(session.run(observed, 1))) / FEW_FRAMES}


def training_step(name: str, folder: Path) -> Mapping[str, float]:
    """Time a training step."""
    import torch

    from model.nets.forecast_model import FrameBatch, build_model

    torch.set_num_threads(THREADS)
    net = build_model(config_of(name)).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    data = torch.rand(1, CONTEXT + LEADS, 1, TRAINING_SIDE, TRAINING_SIDE)
    frames = FrameBatch(data, torch.ones_like(data), torch.full((1,), 5.0))

    def step() -> None:
        optimiser.zero_grad()
        outputs = net.rollout(frames, CONTEXT, LEADS).frames
        (outputs - data[:, 1:]).square().mean().backward()
        optimiser.step()

    return {"seconds": median_seconds(step, repeats=1)}


def median_seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of a run, after one run to warm up."""
    return statistics.median(time_runs(run, repeats)[0])


TASKS = {"size": size, "torch": torch_step, "onnx": onnx_step, "training": training_step}


def cost_table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the table; `of plain` is the multiply-adds of a multi-scale network over those of its plain form."""
    header = ["network", "parameters", "GMAC", "of plain", "torch s", "torch MB", "ONNX s", "ONNX MB"]
    rows = []
    for name, tasks in figures.items():
        plain = figures.get(name.removeprefix("ms-"))
        share = f"{tasks['size']['gmac'] / plain['size']['gmac']:.1%}" if plain and name.startswith("ms-") else ""
        cells = [f"{tasks['size']['parameters']:,.0f}", f"{tasks['size']['gmac']:.2f}", share]
        for task in ("torch", "onnx", "training"):
            cells += [f"{tasks[task]['seconds']:.3f}", f"{tasks[task]['peak_mb']:.0f}"]
        rows.append([name, *cells])
    return table([*header, "training s", "training MB"], rows)


def main() -> None:
    """Measure everything and rewrite the table, or (with --task) measure one figure and print it."""
    parser = argument_parser(__doc__)
    parser.add_argument("networks", nargs="*", help="Networks to measure; by default all.")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        print(json.dumps({**TASKS[args.task](args.name, args.folder), "peak_mb": peak_memory_mb()}))
        return
    figures: dict[str, dict[str, dict[str, float]]] = json.loads(FIGURES.read_text()) if args.networks else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks or names():
            figures[name] = {
                task: run_in_child(MODULE, ["--task", task, "--name", name, "--folder", folder], threads=THREADS)
                for task in TASKS
            }
            print(name, json.dumps(figures[name]), file=sys.stderr)
    FIGURES.write_text(json.dumps({name: figures[name] for name in names()}, indent=1) + "\n")
    machine = f"Measured on {time.strftime('%Y-%m-%d')}: {THREADS} threads, {platform.machine()}, CPU only."
    replace_part("cost", f"{machine}\n\n{cost_table(figures)}", paths.NETWORKS_PAGE)


if __name__ == "__main__":
    main()
