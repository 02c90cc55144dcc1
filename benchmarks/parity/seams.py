"""`python -m benchmarks.parity.seams FILE...`: a domain in one piece compared with tiles and with wet tiles alone.

The files are real radar frames whose domain fits in one piece. The table has the differences in the seams, where tiles
blend, in the interior of tiles and, with wet tiles, in the area without a tile. All run in float32: the rounding of
int8 depends on where a tile starts, and would hide the differences.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import IMAGES, PERFORMANCE_PAGE
from model.core.catalog import DEFAULT_MODEL, Catalog
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.rain_scale import rain_colormap
from model.core.units import FloatArray
from model.readers import read
from model.runtime.device import EngineOptions
from model.runtime.forecast_task import ForecastTask
from model.runtime.frame_selection import newest_regular
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.request import ForecastRequest, LeadFields
from model.runtime.tile_scheduler import TileScheduler
from model.runtime.tiles import Tile, tiles_of

PLOT = IMAGES / "seams.png"
THRESHOLDS = (0.1, 0.5, 2.0, 5.0)
SIDE = 512
ROOM_MB = 8192


def forecast(predictor: OnnxPredictor, task: ForecastTask, side: int) -> FloatArray:
    """Return the rain rate (mm h-1) [lead, y, x] along its motion, where seams would show most."""
    scheduler = TileScheduler(predictor.session, tile_side=side, memory_mb=ROOM_MB)
    frames = [event.frame for event in scheduler.run([task]) if event.frame is not None]
    return np.stack(frames)


def zones(shape: tuple[int, int], tiles: list[Tile]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the mask of pixels where tiles blend, and the mask of pixels without a tile [y, x]."""
    tile_count = np.zeros(shape, np.intp)
    for tile in tiles:
        tile_count[tile.rows, tile.columns] += 1
    return tile_count > 1, tile_count == 0


def row(name: str, whole: FloatArray, other: FloatArray, zone: NDArray[np.bool_]) -> list[str]:
    """Return the differences in a zone at the last lead, and the CSI of one forecast against the other."""
    one, two = whole[-1][zone], other[-1][zone]
    difference = np.abs(one - two)
    scores = []
    for threshold in THRESHOLDS:
        either = ((one >= threshold) | (two >= threshold)).sum()
        both = ((one >= threshold) & (two >= threshold)).sum()
        scores.append(f"{both / either:.4f}" if either else "")
    return [name, f"{zone.mean():.0%}", f"{difference.mean():.5f}", f"{difference.max():.2f}", *scores]


def plot(whole: FloatArray, tiled: FloatArray, wet: FloatArray, cuts: Mapping[str, list[Tile]]) -> None:
    """Plot the last lead of the three forecasts side by side, and the differences."""
    mpl.use("agg")
    colours, norm = rain_colormap()
    figure, axes = plt.subplots(1, 5, figsize=(20, 20 / 5 * whole.shape[1] / whole.shape[2] + 1), layout="constrained")
    panels = {"one piece": whole[-1], "tiles": tiled[-1], "wet tiles": wet[-1]}
    for axis, (name, frame) in zip(axes, panels.items(), strict=False):
        rain = axis.imshow(frame, colours, norm, interpolation="nearest")
        axis.set_title(name)
    for axis, (name, frame) in zip(axes[3:], {"tiles": tiled[-1], "wet tiles": wet[-1]}.items(), strict=True):
        apart = axis.imshow(np.abs(frame - whole[-1]), "magma", vmin=0, vmax=0.1, interpolation="nearest")
        axis.set_title(f"{name}, difference")
        for tile in cuts[name]:
            height, width = tile.shape
            corner = (tile.columns.start, tile.rows.start)
            axis.add_patch(Rectangle(corner, width, height, fill=False, ec="white", lw=0.6))
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    figure.colorbar(rain, ax=axes[2], label="mm/h", shrink=0.7)
    figure.colorbar(apart, ax=axes[4], label="mm/h", shrink=0.7)
    figure.savefig(PLOT, dpi=70)


def main() -> None:
    """Compare, print, and rewrite the part of docs/performance.md."""
    parser = argument_parser(__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    args = parser.parse_args()
    predictor = OnnxPredictor(Catalog().find(args.model), options=EngineOptions(variant="fp32"))
    sequence = newest_regular(read(args.files), predictor.info.input_frames)
    request = ForecastRequest(sequence=sequence, steps=args.steps)
    task = replace(predictor.prepare(request), to_fields=lambda planes: LeadFields(hko7_rain_rate_mm_h(planes[0])))
    everywhere = replace(task, wet=None)
    stride = predictor.session.stride
    whole = forecast(predictor, everywhere, max(task.shape))
    tiled, wet = forecast(predictor, everywhere, SIDE), forecast(predictor, task, SIDE)
    cuts = {
        "tiles": tiles_of(task.shape, stride, side=SIDE),
        "wet tiles": tiles_of(task.shape, stride, side=SIDE, wet=task.wet),
    }
    rows = []
    for (name, tiles), frames in zip(cuts.items(), (tiled, wet), strict=True):
        seam, no_tile = zones(task.shape, tiles)
        parts = {"seams": seam, "interior": ~seam & ~no_tile, "left out": no_tile}
        rows += [row(f"{name}: {part}", whole, frames, zone) for part, zone in parts.items() if zone.any()]
    minutes = args.steps * sequence.time_step_minutes()
    differences = table(["zone", "of the domain", "mean mm/h", "largest", *(f"CSI {t:g}" for t in THRESHOLDS)], rows)
    ny, nx = sequence.grid.shape
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')}: {sequence.attributes.get('source', 'radar')}, {ny} x {nx}, "
        f"{predictor.info.reference} ({predictor.variant}), at +{minutes:g} min along the motion, tiles of {SIDE} "
        f"pixels a side at most. CSI: of the tiled forecast against the one in one piece.\n\n{differences}\n\n"
        "![One piece, tiles, wet tiles, and the differences](images/seams.png)"
    )
    print(text)
    plot(whole, tiled, wet, cuts)
    replace_part("seams", text, PERFORMANCE_PAGE)


if __name__ == "__main__":
    main()
