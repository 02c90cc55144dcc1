"""The plots of docs/performance.md."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.page.aims import DatedRow

MET, MISSED, NEUTRAL = "#2a78b5", "#d1662b", "#9aa4ad"
PRECISIONS = {"fp32": "#2a78b5", "int8": "#d1662b", "fp16": "#6a8f3c", "bf16": "#8a5fa8"}
STAGES = {
    "read": "#8a5fa8", "motion": "#6a8f3c", "network": "#2a78b5", "advection": "#3fa7a0", "write": "#d1662b",
    "other": "#9aa4ad",
}  # fmt: skip
MAX_TEXT = 64
"""Characters of the text in position of a bar; more would leave no room for the bars."""
MIN_REACHED = 0.05
"""The shortest bar, as a share of an aim; shorter ones would vanish on the logarithmic axis."""


class ComputeRate(NamedTuple):
    """The GFLOP/s of a network, and the convolution peak of its precision on the same machine."""

    name: str
    precision: str
    gflops: float
    peak: float


def plot_aims(rows: Sequence[DatedRow], path: Path) -> None:
    """Plot how far each aim is reached: a bar for each, and a line at 1 for the aim."""
    figure = Figure(figsize=(9, 0.62 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    for position, (row, _, _) in enumerate(rows):
        if row.reached is None:
            text = textwrap.shorten(row.measured, MAX_TEXT, placeholder=" ...")
            axes.text(1.06, position, text, va="center", fontsize=8, color="#555555")
            continue
        shown = max(row.reached, MIN_REACHED)
        axes.barh(
            position, shown - MIN_REACHED, left=MIN_REACHED, color=MET if row.reached >= 1 else MISSED, height=0.6
        )
        axes.text(shown * 1.04, position, f"{row.reached:.2f}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(MIN_REACHED, 20)
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4, 8], ["0.1", "0.25", "0.5", "aim", "2", "4", "8"])
    axes.minorticks_off()
    labels = [textwrap.fill(f"{row.what}; aim: {row.aim}", 58) for row, _, _ in rows]
    _save(figure, axes, labels, "measured over the aim: right of the line it is met", path)


def plot_rates(rates: Sequence[ComputeRate], path: Path) -> None:
    """Plot the GFLOP/s of networks in front of the peak of their precision."""
    figure = Figure(figsize=(9, 0.34 * len(rates) + 1.3), layout="constrained")
    axes = figure.subplots()
    for position, rate in enumerate(rates):
        colour = PRECISIONS[rate.precision]
        axes.barh(position, rate.peak, color=colour, alpha=0.18, height=0.7)
        axes.barh(position, rate.gflops, color=colour, height=0.7)
        axes.text(max(rate.peak, rate.gflops), position, f" {rate.gflops / rate.peak:.0%}", va="center", fontsize=8)
    for precision, colour in PRECISIONS.items():
        if any(rate.precision == precision for rate in rates):
            axes.barh(0, 0, color=colour, label=f"{precision}; pale: its convolution peak")
    axes.set_xlim(0, 1.1 * max(max(rate.peak, rate.gflops) for rate in rates))
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    _save(figure, axes, [rate.name for rate in rates], "GFLOP/s; per cent of the peak", path)


def plot_stages(measured: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the seconds of a nowcast by stage, scaled to the median of the runs without profiling."""
    figure = Figure(figsize=(9, 0.4 * len(measured) + 1.3), layout="constrained")
    axes = figure.subplots()
    for position, each in enumerate(measured):
        left, scale = 0.0, each["median_s"] / sum(each["stages"].values())
        for stage, colour in STAGES.items():
            seconds = each["stages"].get(stage, 0.0) * scale
            axes.barh(position, seconds, left=left, color=colour, height=0.7)
            left += seconds
        axes.plot([each["min_s"], each["max_s"]], [position, position], color="black", linewidth=1)
        axes.text(max(left, each["max_s"]), position, f"  {each['median_s']:.2f} s", va="center", fontsize=8)
    for stage, colour in STAGES.items():
        axes.barh(0, 0, color=colour, label=stage)
    names = [f"{each['day']} ({each['wet_percent']:g} % wet): {each['name']}" for each in measured]
    axes.set_xlim(0, 1.12 * max(each["max_s"] for each in measured))
    figure.legend(loc="outside upper center", ncols=len(STAGES), frameon=False, fontsize=8)
    _save(figure, axes, names, "seconds of a nowcast, median; line: fastest to slowest run", path)


def _save(figure: Figure, axes: Axes, labels: Sequence[str], xlabel: str, path: Path) -> None:
    """Label the bars, the first one at the top, and write the figure as PNG."""
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(xlabel)
    axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(path)
