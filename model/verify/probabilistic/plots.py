"""The plots of the probabilistic report as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.verify.json_output import Output
from model.verify.plots import INK, POWER_TICKS, numbers, style_of, svg
from model.verify.probabilistic.accumulators import MEMBERS
from model.verify.probabilistic.terminal_tables import label, sources_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _style(output: Output, model: str, source: str) -> dict[str, Any]:
    """Return colour and line of a source; members are dotted."""
    style = style_of(output)[model]
    return {**style, "ls": ":"} if source == MEMBERS else style


def scores_by_lead(output: Output) -> str:
    """Return a plot of the Brier score by lead time with its intervals, a panel for each threshold, and of CRPS."""

    def draw(axes: Sequence[Axes]) -> None:
        leads, thresholds = output["lead_minutes"], output["thresholds_mm_h"]
        for model, source, scores in sources_of(output):
            style = _style(output, model, source)
            curves = [
                (scores["brier"][row], [bound[row] for bound in scores["brier_interval"]])
                for row in range(len(thresholds))
            ]
            curves.append((scores["crps_mm_h"], scores["crps_mm_h_interval"]))
            for axis, (values, (low, high)) in zip(axes, curves, strict=True):
                axis.fill_between(leads, numbers(low), numbers(high), color=style["color"], alpha=0.12, lw=0)
                axis.plot(leads, numbers(values), label=label(output, model, source), **style)
        titles = [*(f"Brier score at {threshold:g} mm/h" for threshold in thresholds), "CRPS (mm/h)"]
        for axis, title in zip(axes, titles, strict=True):
            axis.set(title=title, xlabel="lead time (min)", ylim=(0, None))

    return svg(draw, len(output["thresholds_mm_h"]) + 1, width=2.6)


def reliability(output: Output) -> str:
    """Return the reliability diagrams, a panel for each threshold, and the number of pixels of each bin."""

    def diagram(axes: Sequence[Axes]) -> None:
        for row, (threshold, axis) in enumerate(zip(output["thresholds_mm_h"], axes, strict=True)):
            axis.plot([0, 1], [0, 1], color=INK, lw=0.5)
            for model, source, scores in sources_of(output):
                found, style = scores["reliability"], _style(output, model, source)
                forecast, observed = numbers(found["forecast"][row]), numbers(found["observed"][row])
                low, high = (numbers(bound[row]) for bound in found["observed_interval"])
                enough = np.asarray(found["pixels"][row]) >= output["fewest_pixels"]
                axis.fill_between(forecast, low, high, color=style["color"], alpha=0.12, lw=0)
                axis.plot(forecast, observed, label=label(output, model, source), **style)
                axis.plot(forecast[enough], observed[enough], ls="", marker=".", color=style["color"])
                axis.plot(forecast[~enough], observed[~enough], ls="", marker=".", mfc="none", color=style["color"])
            axis.set(title=f"{threshold:g} mm/h", xlabel="forecast probability", ylabel="observed share")
            axis.set(xlim=(0, 1), ylim=(0, 1))

    def counts(axes: Sequence[Axes]) -> None:
        for row, axis in enumerate(axes):
            for model, source, scores in sources_of(output):
                found = scores["reliability"]
                pixels = np.maximum(np.asarray(found["pixels"][row], np.float64), 0.5)
                centres = np.asarray(output["probability_edges"]) + 0.05
                axis.step(
                    centres, pixels, where="mid", label=label(output, model, source), **_style(output, model, source)
                )
            axis.axhline(output["fewest_pixels"], color=INK, lw=0.5, ls=":")
            axis.set(xlabel="forecast probability", ylabel="pixels", yscale="log", xlim=(0, 1), ylim=(0.5, None))

    panels = len(output["thresholds_mm_h"])
    return svg(diagram, panels, width=2.9) + svg(counts, panels, width=2.9, height=1.5)


def ranks(output: Output) -> str:
    """Return the rank histograms of members: of all pixels, of pixels with rain, and of totals over areas."""

    def draw(axes: Sequence[Axes]) -> None:
        for model, scores in output["models"].items():
            if MEMBERS not in scores:
                continue
            style = {**style_of(output)[model], "ls": "-"}
            histograms = (
                scores[MEMBERS]["ranks_over_mean"],
                scores[MEMBERS]["ranks_where_wet_over_mean"],
                scores["areas"].get("ranks_over_mean", []),
            )
            for axis, shares in zip(axes, histograms, strict=True):
                axis.step(range(1, len(shares) + 1), numbers(shares), where="mid", label=model, **style)
        titles = ("All pixels", "Pixels with rain", f"Totals over {output['area_km']:g} km")
        for axis, title in zip(axes, titles, strict=True):
            axis.axhline(1, color=INK, lw=0.5)
            axis.set(title=title, xlabel="rank of the truth", ylabel="over the mean", ylim=(0, None))

    return svg(draw, 3)


def spectra(output: Output) -> str:
    """Return the power of fields (lines) and members (dotted) over that of the truth, a panel for each lead."""
    leads = list(next(iter(output["models"].values()))["spectrum"])

    def draw(axes: Sequence[Axes]) -> None:
        from matplotlib.ticker import FixedLocator

        marks = {"expected": "v", "median": "o", "sharp": "^"}
        for lead, axis in zip(leads, axes, strict=True):
            axis.axhline(1, color=INK, lw=0.5)
            for model, scores in output["models"].items():
                for name, ratio in scores["spectrum"][lead].items():
                    style = _style(output, model, name)
                    axis.plot(
                        output["spectrum_wavelength_km"],
                        numbers(ratio),
                        label=f"{model} {name}",
                        marker=marks.get(name, ""),
                        ms=3,
                        **style,
                    )
            axis.set(title=f"Power spectrum, {lead} min", xlabel="wavelength (km)", ylabel="forecast over truth")
            axis.set(xscale="log", yscale="log")
            axis.yaxis.set_major_locator(FixedLocator(POWER_TICKS))

    return svg(draw, len(leads), width=4.5) if leads else ""
