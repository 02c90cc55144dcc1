"""Plots of forecasts beside their context frames and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from model.core.colour_scale import NO_DATA, hex_of
from model.core.manifest import DataKind
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.rain_scale import rain_colormap
from model.core.units import FloatArray
from model.train.batch import Batch

WINDOWS_SHOWN: Final = 2
MAX_COLUMNS: Final = 8
DPI: Final = 80


def plot_forecasts(path: Path, batch: Batch, forecast: Tensor, kind: DataKind) -> None:
    """Plot context, truth and forecast of the brightest windows of a batch; pixels without data are grey.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    batch : Batch
        Context and truth.
    forecast : Tensor
        Frames [b, leads, c, y, x]; the first channel is drawn.
    kind : {"rain", "frames"}
        Rain has a colour scale in mm/h, other frames are grey.
    """
    leads = np.unique(np.linspace(0, batch.leads - 1, min(MAX_COLUMNS, batch.leads)).round().astype(int))
    inputs = np.arange(max(0, batch.context - MAX_COLUMNS), batch.context)
    columns, shown = max(len(leads), len(inputs)), min(WINDOWS_SHOWN, len(batch.rows))
    colours, norm = _colour_scale(kind)
    figure = Figure(figsize=(1.4 * columns + 1.5, 1.7 * 3 * shown), layout="constrained")
    axes = figure.subplots(3 * shown, 1)
    for place, window in enumerate(batch.target.flatten(1).mean(dim=1).topk(shown).indices.tolist()):
        known, step = batch.frames.known[window, :, 0], float(batch.frames.step_minutes[window])
        frames = batch.frames.data[window, :, 0]
        truth = _masked(frames[batch.context :], known[batch.context :], kind)[leads]
        predicted = _masked(forecast[window, :, 0].clamp(0, 1), batch.target_known[window, :, 0], kind)[leads]
        context = _masked(frames[: batch.context], known[: batch.context], kind)[inputs]
        before = inputs - batch.context + 1
        rows = (("context", context, before), ("truth", truth, leads + 1), ("forecast", predicted, leads + 1))
        for axis, (name, images, steps) in zip(axes[3 * place :], rows, strict=False):
            width = images.shape[2]
            drawn = axis.imshow(np.concatenate(list(images), axis=1), colours, norm, interpolation="nearest")
            axis.set_xlim(-0.5, columns * width - 0.5)
            axis.vlines(np.arange(1, len(steps)) * width - 0.5, -0.5, images.shape[1] - 0.5, "#888888", linewidth=1)
            labels = [_time_label(int(index), step, kind) for index in steps]
            axis.set_xticks((np.arange(len(steps)) + 0.5) * width, labels)
            axis.tick_params(length=0, labelsize=7)
            axis.set_yticks([])
            axis.set_frame_on(False)
            axis.set_ylabel(name, fontsize=8)
    warped = "; in Lagrangian windows frames are warped along the motion, so that rain stands still"
    note = warped if kind == "rain" else ""
    figure.suptitle(f"The {shown} brightest windows of a held-out batch{note}; grey: no data", fontsize=8)
    figure.colorbar(drawn, ax=list(axes), shrink=0.6, label="rain rate (mm/h)" if kind == "rain" else "brightness")
    figure.savefig(path, dpi=DPI)


def _time_label(step: int, step_minutes: float, kind: DataKind) -> str:
    sign = "+" if step > 0 else ""
    return f"{sign}{step * step_minutes:g} min" if kind == "rain" else f"{sign}{step}"


def _masked(frames: Tensor, known: Tensor, kind: DataKind) -> FloatArray:
    """Return frames in the unit of the colour scale, NaN where there is no data."""
    values: FloatArray = frames.float().cpu().numpy()
    if kind == "rain":
        values = hko7_rain_rate_mm_h(values)
    return np.where(known.cpu().numpy() == 0, np.float32(np.nan), values)


def _colour_scale(kind: DataKind) -> tuple[Colormap, Normalize]:
    if kind == "rain":
        return rain_colormap()
    greys = ListedColormap(np.linspace((0, 0, 0), (1, 1, 1), 256))
    return greys.with_extremes(bad=hex_of(NO_DATA[1])), Normalize(0, 1)
