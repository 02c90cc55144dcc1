"""`python -m benchmarks.speed.training_step DIR`: a training step of MS-PredRNN, in Echocast and in MS-RNN.

DIR is a checkout of mazhf/MS-RNN. Both sides: six layers of 64 channels, 10 frames in and 10 out, the same weights and
frames, the loss over all 19 outputs; forward, backward and Adam. Each run has a process of its own, and the sides take
turns, so that other load on the machine affects all of them. Seconds are medians, MB the highest resident memory of the
process. `echocast, recomputed` uses activation checkpointing, as `checkpoint_activations=true` trains.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.command_line import argument_parser, run_in_child, time_runs
from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import NETWORKS_PAGE
from model.bench.machine import peak_memory_mb

CONTEXT, LEADS, HIDDEN = 10, 10, 64
SIDES = ("official", "echocast", "echocast, recomputed")
STEPS = 3


def step_of(side: str, folder: Path, size: int, batch: int, bfloat16: bool) -> Callable[[], float]:
    """Return a function that takes one training step and returns the loss."""
    import torch

    from benchmarks.official_code import ms_rnn_network
    from model.export.checkpoints.convert import convert
    from model.nets.forecast_model import FrameBatch
    from model.train.cpu_memory import return_freed_memory

    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]  # the official code calls it
    shape = (batch, size, size)
    net = ms_rnn_network(folder, "ms-predrnn", hidden=HIDDEN, shape=shape, context=CONTEXT, leads=LEADS, seed=0)
    frames = torch.rand(batch, CONTEXT + LEADS, 1, size, size, generator=torch.Generator().manual_seed(1))
    truth = frames[:, 1:]
    if side == "official":
        official, time_first, unused = net, frames.transpose(0, 1).contiguous(), torch.zeros(1)

        def forecast() -> torch.Tensor:
            # After the context the network reads its own outputs, as the one of Echocast does.
            return official((time_first, unused, 0))[0].transpose(0, 1)  # type: ignore[no-any-return]

    else:
        converted = convert(net.state_dict(), "ms-rnn", network="ms-predrnn").build_model()
        net = converted
        converted.checkpoint_activations = side == "echocast, recomputed"
        if converted.checkpoint_activations:
            return_freed_memory()
        converted.to(memory_format=torch.channels_last)
        frame_batch = FrameBatch(frames, torch.ones_like(frames), torch.ones(batch))

        def forecast() -> torch.Tensor:
            return converted.rollout(frame_batch, CONTEXT, LEADS).frames

    net.train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = forecast()
        loss = (outputs.float() - truth).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation
        optimiser.step()
        return float(loss.detach())

    return step


def measure(side: str, folder: Path, size: int, batch: int, bfloat16: bool, threads: int) -> dict[str, list[float]]:
    """Return the seconds of each step after one to warm up, the losses, and the peak memory of the process."""
    import torch

    torch.set_num_threads(threads)
    step = step_of(side, folder, size, batch, bfloat16)
    losses: list[float] = []
    seconds, _ = time_runs(lambda: losses.append(step()), STEPS)
    return {"seconds": seconds, "losses": losses, "peak_mb": [peak_memory_mb()]}


def table_rows(precision: str, runs: Mapping[str, Sequence[Mapping[str, list[float]]]]) -> list[list[str]]:
    """Return one row for each side."""
    seconds = {side: statistics.median(s for run in runs[side] for s in run["seconds"]) for side in SIDES}
    peak = {side: max(run["peak_mb"][0] for run in runs[side]) for side in SIDES}
    rows = []
    for side in SIDES:
        times = [f"{seconds[side]:.2f}", f"{seconds['official'] / seconds[side]:.2f}"]
        memory = [f"{peak[side]:.0f}", f"{peak[side] / peak['official']:.2f}"]
        rows.append([f"{precision}, {side}", *times, *memory, f"{runs[side][0]['losses'][-1]:.5f}"])
    return rows


def main() -> None:
    """Measure all sides in turns and rewrite the table, or (with --side) measure one side and print it."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="A checkout of mazhf/MS-RNN.")
    parser.add_argument("--size", type=int, default=64, help="Pixels along a side.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2, help="Processes of each side.")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--bfloat16", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.folder, args.size, args.batch, args.bfloat16, args.threads)))
        return
    in_child = partial(run_in_child, "benchmarks.speed.training_step", threads=args.threads)
    options = [args.folder, "--size", args.size, "--batch", args.batch, "--threads", args.threads]
    rows = []
    for precision, flag in (("float32", []), ("bfloat16", ["--bfloat16"])):
        runs: dict[str, list[dict[str, list[float]]]] = {side: [] for side in SIDES}
        for _ in range(args.pairs):
            for side in SIDES:
                runs[side].append(in_child([*options, "--side", side, *flag]))
        rows += table_rows(precision, runs)
    header = ["precision and side", "seconds", "times as fast", "MB", "of official", "loss after the last step"]
    machine = (
        f"Measured on {time.strftime('%Y-%m-%d')}: {args.size} x {args.size}, batch {args.batch}, "
        f"{args.threads} thread{'s' if args.threads > 1 else ''}, {platform.machine()}, CPU only."
    )
    replace_part("training-step", f"{machine}\n\n{table(header, rows)}", NETWORKS_PAGE)


if __name__ == "__main__":
    main()
