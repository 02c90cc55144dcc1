"""`python -m benchmarks.speed.training_step FOLDER`: a training step of MS-PredRNN, ours and MS-RNN's official code.

FOLDER is a checkout of mazhf/MS-RNN, of which nothing is kept here. Both sides: six layers of 64 channels, 10 frames in
and 10 out, the same weights and frames, the loss over all 19 answers, forward, backward and Adam; each run in a process
of its own, in pairs one after the other, so that what else the machine does touches both. Seconds are medians, MB the
highest resident memory of the process. `ours, recomputed`: with activation checkpointing, as
`checkpoint_activations=true` trains.
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
import time
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import NETWORKS_PAGE

CONTEXT, LEADS, HIDDEN = 10, 10, 64
SIDES = ("theirs", "ours", "ours, recomputed")
STEPS = 3


def step_of(side: str, folder: Path, size: int, batch: int, bfloat16: bool) -> Callable[[], float]:
    """One training step as a function, which returns the loss."""
    import torch

    from benchmarks.parity.official import from_file, package, stand_in
    from model.export.checkpoints.convert import convert
    from model.nets.forecast_model import FrameBatch
    from model.train.cpu_memory import return_freed_memory

    def official() -> torch.nn.Module:
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
        sys.path.insert(0, str(folder))
        settings = {"LSTM_layers": 6, "lstm_hidden_state": HIDDEN, "batch": batch}
        kinds = dict.fromkeys(("LSTM_conv", "CONV_conv"), torch.nn.Conv2d)
        lengths = {"in_len": CONTEXT, "out_len": LEADS, "epoch": 1, "dataset": "HKO"}
        sampling = {"scheduled_sampling": False, "reverse_scheduled_sampling": False}
        stand_in("config", cfg=types.SimpleNamespace(**settings, **kinds, **lengths, **sampling))
        package("models", folder / "models")
        cell = from_file("models.ms_predrnn", folder / "models" / "ms_predrnn.py")
        model = from_file("model_of_ms_rnn", folder / "model.py")
        torch.manual_seed(0)
        rnn = cell.MS_PredRNN(HIDDEN, HIDDEN, (batch, size, size), 3, 1, 1)
        embed, fc = OrderedDict(conv_embed=[1, HIDDEN, 1, 1, 0, 1]), OrderedDict(conv_fc=[HIDDEN, 1, 1, 1, 0, 1])
        net: torch.nn.Module = model.Model(embed, rnn, fc)
        return net

    theirs = official()
    frames = torch.rand(batch, CONTEXT + LEADS, 1, size, size, generator=torch.Generator().manual_seed(1))
    truth = frames[:, 1:]
    if side == "theirs":
        net = theirs
        in_their_order, none = frames.transpose(0, 1).contiguous(), torch.zeros(1)

        def answers() -> torch.Tensor:
            # They feed back a frame of their own after the context: no true frame is given.
            return net((in_their_order, none, 0))[0].transpose(0, 1)  # type: ignore[no-any-return]

    else:
        ours = convert(theirs.state_dict(), "ms-rnn", network="ms-predrnn").build_model()
        net = ours
        ours.checkpoint_activations = side == "ours, recomputed"
        if ours.checkpoint_activations:
            return_freed_memory()
        ours.to(memory_format=torch.channels_last)
        shown = FrameBatch(frames, torch.ones_like(frames), torch.ones(batch))

        def answers() -> torch.Tensor:
            return ours.rollout(shown, CONTEXT, LEADS).frames

    net.train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            forecast = answers()
        loss = (forecast.float() - truth).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return float(loss.detach())

    return step


def measure(side: str, folder: Path, size: int, batch: int, bfloat16: bool, threads: int) -> dict[str, list[float]]:
    """Seconds of each step after one to warm up, their losses, and the process's highest memory."""
    import torch

    torch.set_num_threads(threads)
    step = step_of(side, folder, size, batch, bfloat16)
    losses: list[float] = [step()]
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    for _ in range(STEPS):
        began, of_cpu = time.perf_counter(), time.process_time()
        losses.append(step())
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - of_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "losses": losses, "peak_mb": [peak]}


def in_a_process(side: str, arguments: argparse.Namespace, bfloat16: bool) -> dict[str, list[float]]:
    """`measure`, alone in a process."""
    command = [sys.executable, "-m", "benchmarks.speed.training_step", str(arguments.folder), "--side", side]
    command += ["--size", str(arguments.size), "--batch", str(arguments.batch), "--threads", str(arguments.threads)]
    command += ["--bfloat16"] if bfloat16 else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table_rows(arithmetic: str, runs: Mapping[str, Sequence[Mapping[str, list[float]]]]) -> list[list[str]]:
    """One row for each side."""
    seconds = {side: statistics.median(s for run in runs[side] for s in run["seconds"]) for side in SIDES}
    peak = {side: max(run["peak_mb"][0] for run in runs[side]) for side in SIDES}
    return [
        [
            f"{arithmetic}, {side}",
            f"{seconds[side]:.2f}",
            f"{seconds['theirs'] / seconds[side]:.2f}",
            f"{peak[side]:.0f}",
            f"{peak[side] / peak['theirs']:.2f}",
            f"{runs[side][0]['losses'][-1]:.5f}",
        ]
        for side in SIDES
    ]


def main() -> None:
    """Measure pairs and rewrite the table, or (with --side) one side and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="A checkout of mazhf/MS-RNN.")
    parser.add_argument("--size", type=int, default=64, help="Pixels along a side.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--bfloat16", action="store_true")
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measure(asked.side, asked.folder, asked.size, asked.batch, asked.bfloat16, asked.threads)))
        return
    rows = []
    for arithmetic in ("float32", "bfloat16"):
        runs: dict[str, list[dict[str, list[float]]]] = {side: [] for side in SIDES}
        for _ in range(asked.pairs):
            for side in SIDES:
                runs[side].append(in_a_process(side, asked, bfloat16=arithmetic == "bfloat16"))
        rows += table_rows(arithmetic, runs)
    header = ["arithmetic and side", "seconds", "times as fast", "MB", "of theirs", "loss after the last step"]
    machine = (
        f"Measured on {time.strftime('%Y-%m-%d')}: {asked.size} x {asked.size}, batch {asked.batch}, "
        f"{asked.threads} thread{'s' if asked.threads > 1 else ''}, {platform.machine()}, CPU only."
    )
    replace_part("training-step", f"{machine}\n\n{table(header, rows)}", NETWORKS_PAGE)


if __name__ == "__main__":
    main()
