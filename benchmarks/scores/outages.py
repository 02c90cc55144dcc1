"""`python -m benchmarks.scores.outages FOLDER...`: forecast rain after an outage over that without one, at +60 min.

From each folder of radar frames it takes contexts spread evenly over the wet hours, and forecasts each as it is, and
again without its first one, two or three frames: as missing data or sent as dry, in the whole domain or in one half.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.command_line import argument_parser
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
    """Yield `count` contexts of the frames of a folder, spread evenly over the frames with rain."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".nc", ".gz", ".grib2"))
    starts = [first for first in range(0, len(files) - CONTEXT + 1) if _wet(read([files[first + CONTEXT - 1]]))]
    for index in np.linspace(0, len(starts) - 1, count).round().astype(int):
        yield read(files[starts[index] : starts[index] + CONTEXT])


def _wet(frame: FrameSequence) -> bool:
    return float((frame.rain_rate >= 0.1).mean()) >= WET_SHARE


class AutoForecasts:
    """Forecasts with the model that the service would choose."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self._predictors: dict[str, Predictor] = {}

    def last_frame(self, sequence: FrameSequence) -> tuple[FloatArray, ModelInfo]:
        """Return the rain rate (mm h-1) [y, x] at `LEAD_MINUTES`, and the model that ran."""
        info, context, note = select_model(sequence, AUTO, self.catalog)
        predictor = self._predictors.setdefault(info.reference, load_predictor(info))
        steps = round(LEAD_MINUTES / context.time_step_minutes())
        return nowcast(context, predictor, steps, note=note).rain_rate[-1], info


def with_outage(sequence: FrameSequence, frames: int, fill: float, columns: int) -> FrameSequence:
    """Return the sequence with the first columns of its first frames replaced by `fill`."""
    rain = sequence.rain_rate.copy()
    part = rain[:frames, :, :columns]
    part[np.isfinite(part)] = fill
    return replace(sequence, rain_rate=rain)


def rows_of(folder: Path, count: int, forecasts: AutoForecasts) -> Iterator[list[str]]:
    """Yield a row for each kind of outage: rain over that of the undisturbed forecast, where both are known."""
    contexts = list(wet_contexts(folder, count))
    whole = [forecasts.last_frame(each)[0] for each in contexts]
    for frames, (name, fill), half_domain in product((1, 2, 3), LOSSES.items(), (False, True)):
        ratios, ran = [], set()
        for sequence, undisturbed in zip(contexts, whole, strict=True):
            columns = sequence.grid.shape[1] // (2 if half_domain else 1)
            frame, info = forecasts.last_frame(with_outage(sequence, frames, fill, columns))
            both = np.isfinite(frame) & np.isfinite(undisturbed)
            ratios.append(float(frame[both].sum() / undisturbed[both].sum()))
            ran.add(info.name)
        lost = f"first {frames} {name}, {'half' if half_domain else 'whole'}"
        within = f"{sum(0.8 <= ratio <= 1.25 for ratio in ratios)} of {len(ratios)}"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        yield [folder.name, lost, f"{np.median(ratios):.2f}", spread, within, ", ".join(sorted(ran))]


def main() -> None:
    """Measure, print, and rewrite the part of docs/verification.md."""
    parser = argument_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--contexts", type=int, default=5, help="Contexts for each folder.")
    args = parser.parse_args()
    forecasts, rows = AutoForecasts(), []
    for folder in args.folders:
        for row in rows_of(folder, args.contexts, forecasts):
            print(" | ".join(row), flush=True)
            rows.append(row)
    columns = ["radar", "lost of 4 frames", "median", "range", "0.8 to 1.25", "ran"]
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')}: rain at +{LEAD_MINUTES} min over that of the undisturbed forecast "
        f"by {forecasts.catalog.find(AUTO).reference}, {args.contexts} contexts of each radar.\n\n"
        + table(columns, rows)
    )
    replace_part("outages", text, VERIFICATION_PAGE)


if __name__ == "__main__":
    main()
