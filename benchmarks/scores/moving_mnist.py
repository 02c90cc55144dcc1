"""`python -m benchmarks.scores.moving_mnist RUN...`: scores and curves of short trainings, for docs/networks.md.

RUN are folders of `echocast train mnist-... --data moving-mnist --iterations N --out RUN`. All are scored on the same
held-out sequences, which the seed of the recipes determines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import NETWORKS_PAGE
from model.data.moving_mnist import open_moving_mnist
from model.export.run import load_run
from model.train.batch import collate

CURVES = "images/moving-mnist-curves.png"
FRAMES = "images/moving-mnist-forecasts.png"
LEADS = (1, 4, 7, 10)

Validations = list[dict[str, Any]]


def validations_of(run: Path) -> Validations:
    """Read the validations of a run."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def scores_table(runs: dict[str, Validations]) -> str:
    """Return the table of the last validation of each run."""
    header = ["recipe", "iterations", "MSE", "MAE", "SSIM", "MSE over persistence's"]
    rows = []
    for name, lines in runs.items():
        last = lines[-1]
        scores = [f"{last['mse']:.1f}", f"{last['mae']:.1f}", f"{last['ssim']:.3f}", f"{last['ratio']:.3f}"]
        rows.append([name, f"{last['iteration']}", *scores])
    return table(header, rows)


def plot_curves(runs: dict[str, Validations], path: Path) -> None:
    """Plot the held-out MSE by iteration, a panel for each of PredRNN, MS-PredRNN and TAU."""
    panels = {"PredRNN": "mnist-predrnn", "MS-PredRNN": "mnist-ms-predrnn", "TAU": "mnist-tau"}
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (title, prefix) in zip(axes, panels.items(), strict=True):
        for name, lines in runs.items():
            if name == prefix or name.startswith(f"{prefix}-"):
                label = name.removeprefix(prefix).removeprefix("-") or "as it is"
                axis.plot([line["iteration"] for line in lines], [line["mse"] for line in lines], label=label)
        axis.set(title=title, xlabel="iteration", yscale="log")
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("held-out MSE per frame")
    FigureCanvasAgg(figure).print_png(path)


@torch.no_grad()
def plot_forecasts(folders: list[Path], path: Path) -> None:
    """Plot the forecasts of one held-out sequence by each network."""
    window = open_moving_mnist().held_out(seed=5, batch=1, count=1)[0]
    batch = collate(window, torch.device("cpu"))
    truth = batch.frames.data[0, -10:, 0].numpy()
    rows: dict[str, np.ndarray[Any, Any]] = {"truth": truth}
    for folder in folders:
        net = load_run(folder)[0]
        rows[folder.name] = net.rollout(batch.frames, 10, 10).frames[0, -10:, 0].numpy()
    figure = Figure(figsize=(1.35 * len(LEADS) + 2.4, 1.2 * len(rows)), layout="constrained")
    for axes, (name, frames) in zip(figure.subplots(len(rows), len(LEADS)), rows.items(), strict=True):
        for axis, lead in zip(axes, LEADS, strict=True):
            axis.imshow(frames[lead - 1], cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            if name == "truth":
                axis.set_title(f"lead {lead}", fontsize=9)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    FigureCanvasAgg(figure).print_png(path)


def main() -> None:
    """Rewrite the part of docs/networks.md and its two plots."""
    parser = argument_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().runs
    runs = {folder.name: validations_of(folder) for folder in folders}
    plot_curves(runs, NETWORKS_PAGE.parent / CURVES)
    plot_forecasts(folders, NETWORKS_PAGE.parent / FRAMES)
    pictures = f"![Held-out MSE by iteration]({CURVES})\n\n![Forecasts of one held-out sequence]({FRAMES})"
    replace_part("training", f"{scores_table(runs)}\n\n{pictures}", NETWORKS_PAGE)


if __name__ == "__main__":
    main()
