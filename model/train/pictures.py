"""Sample forecasts as pictures: what was read, what came, and what was forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from model.core.manifest import DataKind
from model.core.units import FloatArray, hko7_rain_rate_mm_h
from model.train.batch import Batch
from model.train.files import writing

SHOWN: Final = 2
"""Windows in a picture."""
MOST_COLUMNS: Final = 8
EDGES_MM_H: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 100)
NO_DATA: Final = "#bbbbbb"
DPI: Final = 80


def draw_forecasts(path: Path, batch: Batch, forecast: Tensor, kind: DataKind) -> None:
    """Rows of context, truth and forecast of the first windows of a batch; rain in mm h-1, grey where no data is.

    `forecast` [b, leads, c, y, x]. Of several channels, the first. Raises InputError where `path` cannot be written.
    """
    leads = np.unique(np.linspace(0, batch.leads - 1, min(MOST_COLUMNS, batch.leads)).round().astype(int))
    seen = np.arange(max(0, batch.context - MOST_COLUMNS), batch.context)
    columns = max(len(leads), len(seen))
    shown = min(SHOWN, len(batch.rows))
    colours, norm = _scale(kind)
    figure = Figure(figsize=(1.3 * columns + 1.5, 1.4 * 3 * shown), layout="constrained")
    axes = figure.subplots(3 * shown, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for window in range(shown):
        known, step = batch.frames.known[window, :, 0], float(batch.frames.step_minutes[window])
        frames = batch.frames.data[window, :, 0]
        truth = _masked(frames[batch.context :], known[batch.context :], kind)[leads]
        answers = _masked(forecast[window, :, 0].clamp(0, 1), batch.target_known[window, :, 0], kind)[leads]
        context = _masked(frames[: batch.context], known[: batch.context], kind)[seen]
        rows = (
            ("context", context, seen - batch.context + 1),
            ("truth", truth, leads + 1),
            ("forecast", answers, leads + 1),
        )
        for row, (name, images, steps) in enumerate(rows):
            for column, (image, at) in enumerate(zip(images, steps, strict=True)):
                axis = axes[3 * window + row, column]
                drawn = axis.imshow(image, cmap=colours, norm=norm, interpolation="nearest")
                axis.set_title(f"{name} {_when(int(at), step, kind)}", fontsize=7)
    figure.colorbar(drawn, ax=list(axes.flat), shrink=0.6, label="rain rate (mm/h)" if kind == "rain" else "brightness")
    with writing(path):
        figure.savefig(path, dpi=DPI)


def _when(step: int, step_minutes: float, kind: DataKind) -> str:
    return f"{step * step_minutes:+g} min" if kind == "rain" else f"{step:+d}"


def _masked(frames: Tensor, known: Tensor, kind: DataKind) -> np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float32]]:
    values: FloatArray = frames.float().cpu().numpy()
    if kind == "rain":
        values = hko7_rain_rate_mm_h(values)
    hidden: NDArray[np.bool_] = known.cpu().numpy() == 0
    return np.ma.masked_array(values, hidden)


def _scale(kind: DataKind) -> tuple[Colormap, Normalize]:
    if kind != "rain":
        return ListedColormap(np.linspace((0, 0, 0), (1, 1, 1), 256)).with_extremes(bad=NO_DATA), Normalize(0, 1)
    blues_to_reds = ("#cfe8ff", "#8ac4f5", "#3d8fdc", "#1b5cab", "#f5d54a", "#ef8a2c", "#c8202a")
    colours = ListedColormap(blues_to_reds).with_extremes(bad=NO_DATA, under="#ffffff", over="#7a0177")
    return colours, BoundaryNorm(EDGES_MM_H, len(blues_to_reds))
