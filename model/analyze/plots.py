"""Plots of an analysis, in colours that are safe for colour blindness (Okabe and Ito; cividis)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from model.analyze.diagnostics import LayerResponses
from model.core.normalisation import hko7_fraction

COLOURS = ("#0072B2", "#D55E00")
MARKERS = ("o", "s")
MAP = "cividis"
MOST_COLUMNS = 6
DPI = 120
RAIN_TICKS_MM_H = (0.1, 1.0, 10.0, 100.0)
COSINE_BINS = np.linspace(0, 1, 41)
COSINE = "|cosine| of the increments of C and M"


def plot_gradient(
    path: Path, gradients: Mapping[str, NDArray[np.float64]], leads: int, step_minutes: float | None
) -> None:
    """Plot the gradient by input frame, one line per network; the newest frame is at 0."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, gradient), colour, marker in zip(gradients.items(), COLOURS, MARKERS, strict=False):
        positive = np.where(gradient > 0, gradient, np.nan)
        axes.plot(np.arange(1 - len(gradient), 1), positive, color=colour, marker=marker, label=name)
    values = np.concatenate(list(gradients.values()))
    if (values > 0).any():
        axes.set_yscale("log")
    for gradient, colour in zip(gradients.values(), COLOURS, strict=False):
        for index in np.flatnonzero(gradient == 0):
            # A logarithmic axis has no 0: mark the zero on the axis itself.
            axes.annotate("0", (1 - len(gradient) + int(index), 0), xycoords=("data", "axes fraction"), color=colour)
    axes.set_xlim(0.5 - max(map(len, gradients.values())), 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    each = f" of {step_minutes:g} min" if step_minutes else ""
    axes.set_xlabel(f"input frame (time steps{each}, 0 is the newest)")
    axes.set_ylabel("mean |gradient| per pixel (forecast / input)")
    axes.grid(visible=True, which="major", color="#dddddd")
    title = f"Gradient of forecast frame {leads} by input frame"
    if len(gradients) > 1:
        axes.legend()
    else:
        title = "\n".join([title, *gradients])
    axes.set_title(title)
    figure.savefig(path, dpi=DPI)


def plot_decoupling(
    path: Path,
    raw: Mapping[str, Sequence[NDArray[np.float32]]],
    projected: Mapping[str, Sequence[NDArray[np.float32]]],
    contexts: Sequence[int],
) -> None:
    """Plot the cosines by layer and step, one map per network on a common scale, and their histograms.

    Parameters
    ----------
    path
        File to write.
    raw, projected
        Cosines by network and layer, [step, sequence, channel], without and with the projection W; `projected` has the
        networks with a W only.
    contexts
        Number of input frames of each network.
    """
    chosen = {name: projected.get(name, layers) for name, layers in raw.items()}
    tables = {name: cosine_table(layers) for name, layers in chosen.items()}
    top = max(float(table.max()) for table in tables.values())
    limit = max(0.05, float(np.ceil(top * 20) / 20))
    figure = Figure(figsize=(5.2 * len(tables) + 0.8, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, len(tables), height_ratios=(1, 1.1))
    maps = []
    for column, ((name, table), context) in enumerate(zip(tables.items(), contexts, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        layers, steps = table.shape
        first = 1 - context
        extent = (first - 0.5, first + steps - 0.5, layers + 0.5, 0.5)
        image = axes.imshow(table, cmap=MAP, vmin=0, vmax=limit, aspect="auto", extent=extent)
        axes.axvline(0.5, color="white", linestyle="--")  # right of it the network reads its own forecast
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("frame read (time steps, 0 is the newest observed)")
        axes.set_ylabel("layer")
        axes.set_title(f"{name}\n{'projected by W' if name in projected else 'no projection W'}")
        maps.append((image, axes))
    figure.colorbar(maps[0][0], ax=[axes for _, axes in maps], label=f"mean {COSINE}")
    _plot_histograms(figure.add_subplot(grid[1, :]), raw, projected)
    figure.savefig(path, dpi=DPI)


def _plot_histograms(
    axes: Axes, raw: Mapping[str, Sequence[NDArray[np.float32]]], projected: Mapping[str, Sequence[NDArray[np.float32]]]
) -> None:
    """Plot histograms over layers, steps, sequences and channels; dashed without W where the network has one."""
    for (name, layers), colour in zip(raw.items(), COLOURS, strict=False):
        lines = [(f"{name}, raw", layers, "--" if name in projected else "-")]
        if name in projected:
            lines.append((f"{name}, projected by W", projected[name], "-"))
        for label, values, style in lines:
            axes.stairs(100 * cosine_shares(values), COSINE_BINS, color=colour, linestyle=style, label=label, lw=1.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(COSINE)
    axes.set_ylabel("channels (%)")
    axes.set_title("All layers, steps and sequences")
    axes.grid(visible=True, color="#dddddd")
    axes.legend()


def cosine_table(layers: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the mean over sequences and channels, [layer, step]."""
    return np.stack([layer.mean(axis=(1, 2), dtype=np.float64) for layer in layers])


def cosine_shares(layers: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the share of all channels in each of `COSINE_BINS`; the shares sum to 1."""
    counts, _ = np.histogram(np.concatenate([layer.ravel() for layer in layers]), COSINE_BINS)
    return np.asarray(counts / counts.sum(), np.float64)


def plot_responses(path: Path, responses: Mapping[str, LayerResponses], lead: int, rain: bool) -> None:
    """Plot a row of maps per network: the frame read, the layers, the forecast frame.

    Each layer has its own colour scale, from the smallest response to the largest; the title shows both.

    Parameters
    ----------
    path
        File to write.
    responses
        Responses by network.
    lead
        Lead step of the forecast frame, counted from 1.
    rain
        Whether frames are HKO-7 fractions of rain.
    """
    panels = {name: _titled_frames(one, lead) for name, one in responses.items()}
    most = max(len(panels[name]) + len(one.layers) for name, one in responses.items())
    columns = -(-most // -(-most // MOST_COLUMNS))
    rows_of = {name: -(-(len(panels[name]) + len(one.layers)) // columns) for name, one in responses.items()}
    figure = Figure(figsize=(2.3 * columns + 1, 2.75 * sum(rows_of.values()) + 0.6), layout="constrained")
    parts = figure.subfigures(len(responses), 1, squeeze=False, height_ratios=list(rows_of.values()))[:, 0]
    for part, (name, one) in zip(parts, responses.items(), strict=True):
        part.suptitle(f"{name}: mean |response| of each layer at lead step {lead}")
        every = list(part.subplots(rows_of[name], columns, squeeze=False).ravel())
        for axes in every:
            axes.set_axis_off()
        *before, after = panels[name]
        height, width = one.forecast.shape[1:]
        for axes, (layer, response) in zip(every[len(before) :], one.layers, strict=False):
            # Without interpolation a coarse layer shows its pixels.
            axes.imshow(response, cmap=MAP, extent=(0, width, height, 0), interpolation="nearest")
            size = f"{response.shape[0]} x {response.shape[1]}"
            axes.set_title(f"{layer}, {size}\n{response.min():.2g} to {response.max():.2g}", fontsize=9)
        last = every[len(before) + len(one.layers)]
        for axes, (title, frame) in zip([*every[: len(before)], last], [*before, after], strict=True):
            image = axes.imshow(frame[0], cmap=MAP, vmin=0, vmax=1)
            axes.set_title(title, fontsize=9)
        bar = part.colorbar(image, ax=every, shrink=0.8, pad=0.01)
        bar.set_label("rain rate of frames (mm/h)" if rain else "brightness of frames")
        if rain:
            bar.set_ticks([float(hko7_fraction(np.array(mm_h))) for mm_h in RAIN_TICKS_MM_H])
            bar.set_ticklabels([f"{mm_h:g}" for mm_h in RAIN_TICKS_MM_H])
    figure.savefig(path, dpi=DPI)


def _titled_frames(one: LayerResponses, lead: int) -> list[tuple[str, NDArray[np.float32]]]:
    """Return titles and frames: the newest, the frame read where it is another one, the forecast."""
    frames = [("newest frame (0)", one.newest)]
    if one.read_at:
        frames.append((f"read: forecast {one.read_at}" if one.read_at > 0 else f"read: frame {one.read_at}", one.read))
    return [*frames, (f"forecast {lead}", one.forecast)]
