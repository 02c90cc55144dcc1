"""Draw the live skill of a feed by lead time: `python -m benchmarks.live_skill SKILL.json --out skill.png`.

SKILL.json is the answer of `GET /v1/feeds/{feed}/skill`. With `--reliability FILE`, the output of
`tests.faults.replay_skill`, the second row has reliability diagrams, before and after the recalibration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command_line import argument_parser
from model.core.extras import optional_imports

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENOUGH_PIXELS = 1000
"""Bins with fewer pixels are not drawn."""
COLOURS = ("#0b62a4", "#d1661f", "#5f6a72", "#2f8f4e", "#8a3fa0")


def main() -> None:
    """Draw the picture that the arguments ask for."""
    parser = argument_parser(__doc__)
    parser.add_argument("skill", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reliability", type=Path)
    options = parser.parse_args()
    reliability = json.loads(options.reliability.read_text()) if options.reliability else {}
    draw(json.loads(options.skill.read_text()), reliability, options.out)


def draw(skill: Mapping[str, Any], reliability: Mapping[str, Any], path: Path) -> None:
    """Draw CSI by lead with 95 % intervals, a panel for each threshold, and the mean absolute error."""
    with optional_imports("verify"):
        from matplotlib.figure import Figure
    thresholds = [event["threshold_mm_h"] for event in skill["models"][0]["events"]]
    rows = 2 if reliability.get("frames") else 1
    figure = Figure(figsize=(3.6 * (len(thresholds) + 1), 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, len(thresholds) + 1, squeeze=False)
    for model, colour in zip(skill["models"], COLOURS, strict=False):
        for axes, event in zip(panels[0], model["events"], strict=False):
            _line(axes, skill["lead_minutes"], event["csi"], model["model"], colour)
        _line(panels[0][-1], skill["lead_minutes"], model["mae"], model["model"], colour)
    for axes, threshold in zip(panels[0], thresholds, strict=False):
        axes.set(title=f"CSI, rain >= {threshold:g} mm/h", ylim=(0, 1), xlabel="lead time (min)")
    panels[0][-1].set(title="mean absolute error (mm/h)", xlabel="lead time (min)")
    panels[0][-1].set_ylim(bottom=0)
    panels[0][0].legend(frameon=False, fontsize="small")
    if rows == 2:
        _draw_reliability(panels[1], reliability["thresholds"])
    since = "reference time" if skill["lead_from"] == "reference" else "publication"
    comment = "" if skill["enough"] else f"; {skill['comment']}"
    figure.suptitle(
        f"{skill['feed']}: {skill['frames']} frames to {skill['newest_frame']}, leads from {since}{comment}"
    )
    figure.savefig(path, dpi=100)


def _line(axes: Axes, leads: Sequence[float], score: Mapping[str, Any], label: str, colour: str) -> None:
    numbers = {key: [float("nan") if each is None else each for each in values] for key, values in score.items()}
    axes.fill_between(leads, numbers["low"], numbers["high"], color=colour, alpha=0.15, linewidth=0)
    axes.plot(leads, numbers["value"], color=colour, label=label)
    axes.grid(alpha=0.3)


def _draw_reliability(panels: Sequence[Axes], thresholds: Mapping[str, Any]) -> None:
    for axes, (threshold, found) in zip(panels, thresholds.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        for (name, curve), colour in zip(found.items(), (COLOURS[1], COLOURS[0]), strict=True):
            bins = zip(curve["forecast"], curve["observed"], curve["pixels"], strict=True)
            points = [(forecast, observed) for forecast, observed, pixels in bins if pixels >= ENOUGH_PIXELS]
            axes.plot(*zip(*points, strict=True), marker=".", color=colour, label=f"{name}: {curve['reliability']:.5f}")
        axes.set(title=f"reliability, >= {threshold} mm/h", xlim=(0, 1), ylim=(0, 1))
        axes.set(xlabel="forecast probability", ylabel="observed share")
        axes.legend(frameon=False, fontsize="small", title="reliability term")
    for axes in panels[len(thresholds) :]:
        axes.set_axis_off()


if __name__ == "__main__":
    main()
