"""`python -m benchmarks.speed.networks`: what each network costs, plain and multi-scale, for docs/networks.md.

Each figure is measured in a process of its own, so that its peak memory is its own. A step is one time step of a
recurrent network at 128 x 128, batch 1; of a whole-sequence network it is one run, of ten frames. A training step is
forward, backward and Adam over 10 + 10 frames of 64 x 64, batch 1, float32. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import paths
from benchmarks.page.markdown import replace_part, table

THREADS = 2
SIDE, TRAINING_SIDE = 128, 64
CONTEXT, LEADS = 10, 10
REPEATS = 3
FEW_FRAMES = 3
"""That a graph reads to be timed: as many steps."""
FIGURES = paths.FIGURES / "networks.json"
"""What was measured last, network by network."""

WHOLE = ("simvp-incepu", "simvp-gsta", "tau")


def names() -> list[str]:
    """The networks of the table: MS-RNN's, each plain and multi-scale, and those without recurrence."""
    from model.nets.networks import IN_MS_RNN

    return [*IN_MS_RNN, *WHOLE]


def config_of(name: str):  # noqa: ANN201  (torch must not be imported where a graph is measured)
    """The model of a name: frames in, frames out, nothing else read."""
    from model.nets.forecast_model import ModelConfig
    from model.nets.networks import AS_PUBLISHED, IN_MS_RNN

    build = AS_PUBLISHED[name] if name in WHOLE else IN_MS_RNN[name]
    return ModelConfig(net=build(), reads_known=False, reads_time=False, residual=False, bounded=False)


def size(name: str, folder: Path) -> Mapping[str, float]:
    """Parameters, multiply-adds per step at 128 x 128; leaves the graph in `folder`."""
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
    """Seconds of a step in PyTorch."""
    import torch

    from model.nets.forecast_model import RecurrentModel, build_model

    torch.set_num_threads(THREADS)
    net = build_model(config_of(name)).eval()
    with torch.no_grad():
        if isinstance(net, RecurrentModel):
            frame = torch.rand(1, 1, SIDE, SIDE)
            state = net.stack.initial_state(1, SIDE, SIDE, frame)
            _, state, _ = net.step(frame, frame, None, None, state)
            return {"seconds": timed(lambda: net.step(frame, frame, None, None, state))}
        frames = torch.rand(1, CONTEXT, 1, SIDE, SIDE)
        return {"seconds": timed(lambda: net.next_frames(frames, frames))}


def onnx_step(name: str, folder: Path) -> Mapping[str, float]:
    """Seconds of a step in ONNX Runtime, through the session that serves; no PyTorch in the process."""
    import numpy as np

    from model.runtime.device import open_session
    from model.runtime.graph_session import ForecastInput

    session = open_session(folder / f"{name}.onnx", threads=THREADS)
    frames = CONTEXT if name in WHOLE else FEW_FRAMES
    data = np.random.default_rng(0).random((frames, 1, SIDE, SIDE), dtype=np.float32)
    observed = ForecastInput(data=data, known=np.ones_like(data), step_minutes=5.0)
    if name in WHOLE:
        return {"seconds": timed(lambda: list(session.run(observed, CONTEXT)))}
    return {"seconds": timed(lambda: list(session.run(observed, 1))) / FEW_FRAMES}


def training_step(name: str, folder: Path) -> Mapping[str, float]:
    """Seconds of a training step."""
    import torch

    from model.nets.forecast_model import FrameBatch, build_model

    torch.set_num_threads(THREADS)
    net = build_model(config_of(name)).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    data = torch.rand(1, CONTEXT + LEADS, 1, TRAINING_SIDE, TRAINING_SIDE)
    frames = FrameBatch(data, torch.ones_like(data), torch.full((1,), 5.0))

    def step() -> None:
        optimiser.zero_grad()
        answers = net.rollout(frames, CONTEXT, LEADS).frames
        (answers - data[:, 1:]).square().mean().backward()
        optimiser.step()

    return {"seconds": timed(step, repeats=1)}


def timed(task: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median seconds after one run to warm up."""
    task()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


TASKS: Mapping[str, Callable[[str, Path], Mapping[str, float]]] = {
    "size": size,
    "torch": torch_step,
    "onnx": onnx_step,
    "training": training_step,
}


def measured(task: str, name: str, folder: Path) -> dict[str, float]:
    """One figure, by a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.networks",
        "--task",
        task,
        "--name",
        name,
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(THREADS)})
    if done.returncode:
        raise SystemExit(f"{task} of {name} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def cost_table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The markdown table; `of plain` is the multiply-adds of a multi-scale network over those of its plain one."""
    header = ["network", "parameters", "GMAC", "of plain", "torch s", "torch MB", "ONNX s", "ONNX MB"]
    rows = []
    for name, tasks in figures.items():
        plain = figures.get(name.removeprefix("ms-"))
        share = f"{tasks['size']['gmac'] / plain['size']['gmac']:.1%}" if plain and name.startswith("ms-") else ""
        rows.append(
            [
                name,
                f"{tasks['size']['parameters']:,.0f}",
                f"{tasks['size']['gmac']:.2f}",
                share,
                *(cell for task in ("torch", "onnx", "training") for cell in _cells(tasks[task])),
            ]
        )
    return table([*header, "training s", "training MB"], rows)


def _cells(figures: Mapping[str, float]) -> tuple[str, str]:
    return f"{figures['seconds']:.3f}", f"{figures['peak_mb']:.0f}"


def main() -> None:
    """Measure everything and rewrite the table, or (with --task) one figure and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="Only these are measured anew; without any, all.")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--name")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.task:
        figures = dict(TASKS[asked.task](asked.name, asked.folder))
        figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(figures))
        return
    collected: dict[str, dict[str, dict[str, float]]] = json.loads(FIGURES.read_text()) if asked.networks else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.networks or names():
            collected[name] = {task: measured(task, name, Path(folder)) for task in TASKS}
            print(name, json.dumps(collected[name]), file=sys.stderr)
    FIGURES.write_text(json.dumps({name: collected[name] for name in names()}, indent=1) + "\n")
    machine = f"Measured on {time.strftime('%Y-%m-%d')}: {THREADS} threads, {platform.machine()}, CPU only."
    replace_part("cost", f"{machine}\n\n{cost_table(collected)}", paths.NETWORKS_PAGE)


if __name__ == "__main__":
    main()
