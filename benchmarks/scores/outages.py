"""`python -m benchmarks.scores.outages FOLDER...`: forecast rain after an outage over that without one, at +60 min.

Of each folder of radar frames, contexts spread evenly over its wet hours are forecast as they are, and again with their
first one, two or three frames gone: without data, or sent as dry; in whole, or in one half of the domain.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import VERIFICATION_PAGE
from model.core.catalog import AUTO, Catalog
from model.core.model_info import ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.readers import read
from model.runtime.load import load_predictor
from model.runtime.model_selection import select_model
from model.runtime.nowcast import nowcast
from model.runtime.predictor import Predictor

LEAD_MINUTES = 60
CONTEXT = 4
WET_SHARE = 0.02
LOSSES = {"without data": np.nan, "sent as dry": 0.0}


def wet_contexts(folder: Path, count: int) -> Iterator[FrameSequence]:
    """`count` contexts of the folder's frames in order of time, spread over those in which it rains."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".nc", ".gz", ".grib2"))
    starts = [first for first in range(0, len(files) - CONTEXT + 1) if _wet(read([files[first + CONTEXT - 1]]))]
    for index in np.linspace(0, len(starts) - 1, count).round().astype(int):
        yield read(files[starts[index] : starts[index] + CONTEXT])


def _wet(frame: FrameSequence) -> bool:
    return float((frame.rain_rate >= 0.1).mean()) >= WET_SHARE


class Forecaster:
    """Forecasts as the service would make them."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self._ready: dict[str, Predictor] = {}

    def last_frame(self, sequence: FrameSequence) -> tuple[FloatArray, ModelInfo]:
        """Rain rate (mm h-1) [y, x] at `LEAD_MINUTES`, and the model that ran."""
        info, context, note = select_model(sequence, AUTO, self.catalog)
        predictor = self._ready.setdefault(info.reference, load_predictor(info))
        steps = round(LEAD_MINUTES / context.time_step_minutes())
        return nowcast(context, predictor, steps, note=note).rain_rate[-1], info


def cut(sequence: FrameSequence, frames: int, fill: float, columns: int) -> FrameSequence:
    """The sequence with its first `frames` frames gone in the first `columns` columns."""
    rain = sequence.rain_rate.copy()
    part = rain[:frames, :, :columns]
    part[np.isfinite(part)] = fill
    return replace(sequence, rain_rate=rain)


def rows_of(folder: Path, count: int, forecaster: Forecaster) -> Iterator[list[str]]:
    """A row for each way to lose frames: the ratio of rain to the undisturbed forecast's where both are known."""
    contexts = list(wet_contexts(folder, count))
    whole = [forecaster.last_frame(each)[0] for each in contexts]
    for frames in (1, 2, 3):
        for name, fill in LOSSES.items():
            for half in (False, True):
                ratios, ran = [], set()
                for sequence, undisturbed in zip(contexts, whole, strict=True):
                    columns = sequence.grid.shape[1] // (2 if half else 1)
                    found, info = forecaster.last_frame(cut(sequence, frames, fill, columns))
                    both = np.isfinite(found) & np.isfinite(undisturbed)
                    ratios.append(float(found[both].sum() / undisturbed[both].sum()))
                    ran.add(info.name)
                within = sum(0.8 <= ratio <= 1.25 for ratio in ratios)
                yield [
                    folder.name,
                    f"first {frames} {name}, {'half' if half else 'whole'}",
                    f"{np.median(ratios):.2f}",
                    f"{min(ratios):.2f} to {max(ratios):.2f}",
                    f"{within} of {len(ratios)}",
                    ", ".join(sorted(ran)),
                ]


def main() -> None:
    """Measure, print, and rewrite the part of the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--contexts", type=int, default=5, help="Contexts of each folder.")
    asked = parser.parse_args()
    forecaster, rows = Forecaster(), []
    for folder in asked.folders:
        for row in rows_of(folder, asked.contexts, forecaster):
            print(" | ".join(row), flush=True)
            rows.append(row)
    columns = ["radar", "lost of 4 frames", "median", "range", "0.8 to 1.25", "ran"]
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')}: rain at +{LEAD_MINUTES} min over that of the undisturbed forecast "
        f"by {forecaster.catalog.find(AUTO).reference}, {asked.contexts} contexts of each radar.\n\n"
        + table(columns, rows)
    )
    replace_part("outages", text, VERIFICATION_PAGE)


if __name__ == "__main__":
    main()
