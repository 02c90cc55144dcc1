"""`python -m benchmarks.parity.seams FILE...`: a domain in one piece compared with tiles and with wet tiles alone.

The frames are real radar files whose domain has room in one piece. What differs is told apart: in the seam zone, where
tiles blend, in their interior, and (wet tiles) in what was left out. In float32: 8-bit rounding, which depends on where
a tile begins, would hide it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import IMAGES, PERFORMANCE_PAGE
from model.core.catalog import DEFAULT_MODEL, Catalog
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.rain_scale import rain_colormap
from model.core.units import FloatArray
from model.readers import read
from model.runtime.device import EngineOptions
from model.runtime.frame_selection import newest_regular
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.request import ForecastRequest
from model.runtime.tile_scheduler import ForecastTask, TileScheduler
from model.runtime.tiles import Tile, tiles_of

PICTURE = IMAGES / "seams.png"
THRESHOLDS = (0.1, 0.5, 2.0, 5.0)
SIDE = 512
ROOM_MB = 8192


def made(predictor: OnnxPredictor, task: ForecastTask, side: int) -> FloatArray:
    """Rain rate (mm h-1) [lead, y, x] along its motion: where seams would show best."""
    scheduler = TileScheduler(predictor.session, tile_side=side, memory_mb=ROOM_MB)
    frames = [event.frame for event in scheduler.run([task]) if event.frame is not None]
    return np.stack(frames)


def zones(shape: tuple[int, int], tiles: list[Tile]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where tiles blend, and where there is none."""
    share = np.zeros((2, *shape), np.float32)
    for tile in tiles:
        here = share[:, tile.rows, tile.columns]
        here[0] = np.maximum(here[0], tile.weight)
        here[1] += 1
    return share[1] > 1, share[1] == 0


def row(name: str, whole: FloatArray, other: FloatArray, zone: NDArray[np.bool_]) -> list[str]:
    """Difference in a zone at the last lead, and how much of what reaches a threshold is the same (CSI)."""
    one, two = whole[-1][zone], other[-1][zone]
    difference = np.abs(one - two)
    shared = []
    for threshold in THRESHOLDS:
        either = ((one >= threshold) | (two >= threshold)).sum()
        both = ((one >= threshold) & (two >= threshold)).sum()
        shared.append(f"{both / either:.4f}" if either else "")
    return [name, f"{zone.mean():.0%}", f"{difference.mean():.5f}", f"{difference.max():.2f}", *shared]


def draw(whole: FloatArray, tiled: FloatArray, wet: FloatArray, cuts: Mapping[str, list[Tile]]) -> None:
    """The last lead of the three side by side, and the differences."""
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
    figure.savefig(PICTURE, dpi=70)


def main() -> None:
    """Compare, print, and rewrite the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    asked = parser.parse_args()
    predictor = OnnxPredictor(Catalog().find(asked.model), options=EngineOptions(variant="fp32"))
    sequence = newest_regular(read(asked.files), predictor.info.input_frames)
    request = ForecastRequest(sequence=sequence, steps=asked.steps)
    task = replace(predictor.prepare(request), to_rain=hko7_rain_rate_mm_h)
    everywhere = replace(task, wet=None)
    stride = predictor.session.stride
    whole = made(predictor, everywhere, max(task.shape))
    tiled, wet = made(predictor, everywhere, SIDE), made(predictor, task, SIDE)
    cuts = {
        "tiles": tiles_of(task.shape, stride, side=SIDE),
        "wet tiles": tiles_of(task.shape, stride, side=SIDE, wet=task.wet),
    }
    rows = []
    for (name, tiles), frames in zip(cuts.items(), (tiled, wet), strict=True):
        seam, without = zones(task.shape, tiles)
        parts = {"seams": seam, "interior": ~seam & ~without, "left out": without}
        rows += [row(f"{name}: {part}", whole, frames, zone) for part, zone in parts.items() if zone.any()]
    minutes = asked.steps * sequence.time_step_minutes()
    found = table(["zone", "of the domain", "mean mm/h", "largest", *(f"CSI {t:g}" for t in THRESHOLDS)], rows)
    ny, nx = sequence.grid.shape
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')}: {sequence.attributes.get('source', 'radar')}, {ny} x {nx}, "
        f"{predictor.info.reference} ({predictor.variant}), at +{minutes:g} min along the motion, tiles of {SIDE} "
        f"pixels a side at most. CSI: of the cut forecast against the one in a piece.\n\n{found}\n\n"
        "![One piece, tiles, wet tiles, and what differs](images/seams.png)"
    )
    print(text)
    draw(whole, tiled, wet, cuts)
    replace_part("seams", text, PERFORMANCE_PAGE)


if __name__ == "__main__":
    main()
