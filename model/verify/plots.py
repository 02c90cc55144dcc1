"""The plots of the report as inline SVG, in the text colour of the page, and its images of rain as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.colour_scale import Colour
from model.core.extras import optional_imports
from model.core.model_info import EXTRAPOLATION, PERSISTENCE
from model.core.rain_scale import RAIN_CLASSES, class_index
from model.core.units import FloatArray
from model.verify.json_output import Output
from model.verify.lucas_kanade import PYSTEPS
from model.verify.steps import PYSTEPS_STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#010203"
"""A placeholder that the SVG replaces by `currentColor`, the text colour of the page."""
COLOURS: Final = ("#3b82d6", "#d9622b", "#a25bc9", "#c2417c", "#1a9aa8")
BASELINE_COLOURS: Final = {
    PERSISTENCE.name: "#8a8f98",
    EXTRAPOLATION.name: "#2f9e5f",
    PYSTEPS: "#c9912a",
    PYSTEPS_STEPS: "#8d6e1f",
}
TRANSPARENT: Final = (0, 0, 0, 0)
NOT_SCORED: Final = (128, 128, 128, 70)
"""Grey that shows on a light and on a dark page."""
MAX_IMAGE_SIDE: Final = 360
POWER_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def style_of(output: Output) -> dict[str, dict[str, Any]]:
    """Return the colour and line style of each model; baselines have colours of their own and dashed lines."""
    networks = [model for model in output["models"] if model.partition("@")[0] not in BASELINE_COLOURS]
    styles = {model: {"color": COLOURS[index % len(COLOURS)], "ls": "-"} for index, model in enumerate(networks)}
    for model in output["models"]:
        if model not in styles:
            styles[model] = {"color": BASELINE_COLOURS[model.partition("@")[0]], "ls": "--"}
    return styles


def csi_by_lead(output: Output) -> str:
    """Return a plot of CSI by lead time with its intervals, a panel for each threshold."""

    def draw(axes: Sequence[Axes]) -> None:
        for row, (threshold, axis) in enumerate(zip(output["thresholds_mm_h"], axes, strict=True)):
            for model, style in style_of(output).items():
                scores = output["models"][model]
                low, high = (numbers(bound[row]) for bound in scores["csi_interval"])
                axis.fill_between(output["lead_minutes"], low, high, color=style["color"], alpha=0.15, lw=0)
                axis.plot(output["lead_minutes"], numbers(scores["csi"][row]), label=model, **style)
            if output["lead_minutes"][0] <= 0:
                axis.axvline(0, color=INK, lw=0.5, ls=":")  # leads up to 0 are outputs over the input
            axis.set(title=f"CSI at {threshold:g} mm/h", xlabel="lead time (min)", ylim=(0, None))

    return svg(draw, len(output["thresholds_mm_h"]))


def performance_diagram(output: Output) -> str:
    """Return the performance diagram (Roebber 2009, doi 10.1175/2008WAF2222159.1): POD over success ratio.

    Curves are of equal CSI, rays of equal frequency bias.
    """

    def draw(axes: Sequence[Axes]) -> None:
        (axis,) = axes
        grid = np.linspace(0.01, 1, 200)
        success, pod = np.meshgrid(grid, grid)
        csi = 1 / (1 / success + 1 / pod - 1)
        lines = axis.contour(success, pod, csi, np.arange(0.1, 1, 0.2), colors=INK, linewidths=0.5, alpha=0.4)
        axis.clabel(lines, fmt="CSI %.1f", fontsize=7)
        for bias in (0.5, 1, 2):
            axis.plot([0, min(1, 1 / bias)], [0, min(1, bias)], color=INK, lw=0.5, ls=":", alpha=0.6)
            axis.text(min(0.99, 1 / bias), min(0.99, bias), f"bias {bias:g}", fontsize=7, ha="right", va="top")
        for model, style in style_of(output).items():
            scores = output["models"][model]
            far, pods = (numbers(scores[f"{name}_mean"]["value"]) for name in ("far", "pod"))
            axis.plot(1 - far, pods, marker="o", ms=4, label=model, **style)
            for x, y, threshold in zip(1 - far, pods, output["thresholds_mm_h"], strict=True):
                if np.isfinite(x) and np.isfinite(y):
                    axis.annotate(f"{threshold:g}", (x, y), fontsize=6, xytext=(3, 3), textcoords="offset points")
        axis.set(title="Performance, mean over leads; by threshold (mm/h)", xlim=(0, 1), ylim=(0, 1))
        axis.set(xlabel="success ratio, 1 - FAR", ylabel="POD")

    return svg(draw, 1, width=5.2, height=4.6)


def fss_by_window(output: Output) -> str:
    """Return a plot of FSS, mean over leads, by window size, a panel for each threshold."""
    sides = output["fss_windows_km"]

    def draw(axes: Sequence[Axes]) -> None:
        for row, (threshold, axis) in enumerate(zip(output["thresholds_mm_h"], axes, strict=True)):
            for model, style in style_of(output).items():
                fss = output["models"][model]["fss_mean"]
                value, low, high = (numbers(fss[name][row]) for name in ("value", "low", "high"))
                axis.fill_between(sides, low, high, color=style["color"], alpha=0.15, lw=0)
                axis.plot(sides, value, marker=".", label=model, **style)
            axis.set(title=f"FSS at {threshold:g} mm/h", xlabel="window (km)", ylim=(0, 1))
            # Fixed limits, because no model may have a score.
            axis.set(xscale="log", xlim=(0.9 * sides[0], 1.1 * sides[-1]))

    return svg(draw, len(output["thresholds_mm_h"]))


def spectra(output: Output) -> str:
    """Return a plot of forecast power over true power by wavelength, a panel for each plotted lead."""
    leads = list(next(iter(output["models"].values()))["spectrum"])

    def draw(axes: Sequence[Axes]) -> None:
        from matplotlib.ticker import FixedLocator

        for lead, axis in zip(leads, axes, strict=True):
            axis.axhline(1, color=INK, lw=0.5)
            for model, style in style_of(output).items():
                ratio = numbers(output["models"][model]["spectrum"][lead]["ratio"])
                axis.plot(output["spectrum_wavelength_km"], ratio, label=model, **style)
            axis.set(title=f"Power spectrum, {lead} min", xlabel="wavelength (km)", ylabel="forecast over truth")
            axis.set(xscale="log", yscale="log")
            axis.yaxis.set_major_locator(FixedLocator(POWER_TICKS))

    return svg(draw, len(leads)) if leads else ""


def reliability(output: Output) -> str:
    """Return a reliability plot: the observed frequency of an event by class of forecast rain, over all leads."""

    def draw(axes: Sequence[Axes]) -> None:
        edges = output["classes_from_mm_h"]
        positions = np.arange(len(edges))
        for row, (threshold, axis) in enumerate(zip(output["thresholds_mm_h"], axes, strict=True)):
            axis.axvline(edges.index(threshold) - 0.5, color=INK, lw=0.5, ls=":")
            for model, style in style_of(output).items():
                observed = numbers(output["models"][model]["reliability"]["observed"][row])
                axis.plot(positions, observed, marker=".", label=model, **style)
            axis.set(title=f"Share that reached {threshold:g} mm/h", xlabel="forecast from (mm/h)", ylim=(0, 1))
            axis.set_xticks(positions[::2], [f"{edge:g}" for edge in edges[::2]])

    return svg(draw, len(output["thresholds_mm_h"]))


def rain_image(rain: FloatArray, *, north_up: bool) -> str:
    """Return rain [y, x] (mm h-1, NaN = no data) as the `data:` URL of a PNG; dry pixels are transparent."""
    palette = np.array([TRANSPARENT, *((*item.colour, 255) for item in RAIN_CLASSES), NOT_SCORED], np.uint8)
    image: NDArray[np.uint8] = palette[class_index(rain)]
    image = image if north_up else image[::-1]
    shrink = max(1.0, max(rain.shape) / MAX_IMAGE_SIDE)
    size = (round(rain.shape[1] / shrink), round(rain.shape[0] / shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    encoded = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGBA2BGRA))[1]
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def text_colour_on(background: Colour) -> str:
    """Return a text colour that is readable on a background colour."""
    return "#fff" if sum(background) < 330 else "#111"


def numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers with NaN for None."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def svg(draw: Callable[[Sequence[Axes]], None], panels: int, *, width: float = 3.3, height: float = 2.7) -> str:
    """Return one row of panels with a common legend below as SVG."""
    with optional_imports("--report"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    text_colours = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    settings: dict[Any, Any] = dict.fromkeys(text_colours, INK)
    settings |= {"font.size": 9, "axes.titlesize": 9, "axes.grid": True, "grid.alpha": 0.15}
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "echocast"}
    with rc_context(settings):
        figure = Figure(figsize=(width * panels, height + 0.3), layout="constrained")
        axes = [figure.add_subplot(1, panels, panel + 1) for panel in range(panels)]
        draw(axes)
        for axis in axes:
            axis.patch.set_alpha(0)
            for side in (axis.xaxis, axis.yaxis):
                if side.get_scale() == "log":
                    side.set_major_formatter("{x:g}")
                    side.set_minor_formatter("")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, 2 * panels), frameon=False, fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")
