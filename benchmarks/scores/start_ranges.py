"""`python -m benchmarks.scores.start_ranges ARCHIVE...`: whether the stated ranges of start times and totals are right.

At each start time of an archive, and at places drawn at random, the summary of the members of a nowcast is compared
with what was seen until +60 min: where it was dry and rain did start, whether it started within the 10 to 90 % range;
everywhere, whether the total lies in its range.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import replace_part, table
from benchmarks.paths import VERIFICATION_PAGE
from model.core.catalog import Catalog
from model.core.forecast_output import ForecastOutput
from model.core.members_summary import summarize_members
from model.core.point_summary import WET_MM_H, first_spell
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.archive import Archive
from model.runtime.load import load_predictor
from model.runtime.predictor import Predictor
from model.runtime.request import ForecastRequest
from model.verify.cases import RegularStarts

LEAD_MINUTES = 60
MEMBERS = 20
SEED = 0


def members_at(predictor: Predictor, context: FrameSequence, leads: int, places: NDArray[np.intp]) -> FloatArray:
    """Return the members of a nowcast at places [place, realization, lead] (mm h-1)."""
    output = ForecastOutput(members=MEMBERS, seed=SEED)
    request = ForecastRequest.for_context(context, predictor.info, leads, output=output)
    found = []
    for event in predictor.forecast([request]):
        if event.error is not None:
            raise event.error
        if event.members is not None:
            found.append(event.members[:, places[0], places[1]])
    return np.stack(found, axis=-1).transpose(1, 0, 2)


def count(archive: Archive, model: str, places: int, stride_minutes: float) -> Counter[str]:
    """Return how often the ranges held the truth, began after it, or ended before it."""
    info = Catalog().find(model)
    predictor, rng = load_predictor(info), np.random.default_rng(SEED)
    starts = RegularStarts(horizon_minutes=LEAD_MINUTES, stride_minutes=stride_minutes)
    hours = archive.step_minutes / 60
    counts: Counter[str] = Counter()
    for case in starts.cases(archive.times, archive.step_minutes, info.input_frames):
        context = FrameSequence(
            np.stack([archive.read(each) for each in case.context_times]), case.context_times, archive.grid
        )
        truth = np.stack([archive.read(each) for each in case.valid_times])
        at = np.stack([rng.integers(0, side, places) for side in archive.grid.shape])
        valid = [each.replace(tzinfo=UTC) for each in case.valid_times.astype("datetime64[us]").tolist()]
        counts["starts"] += 1
        for members, row, column in zip(members_at(predictor, context, case.steps, at), *at, strict=True):
            seen, now = truth[:, row, column], float(context.rain_rate[-1, row, column])
            if not np.isfinite(seen).all() or not np.isfinite(now):
                continue
            summary = summarize_members(members, valid, case.lead_minutes, now_mm_h=now)
            total, low, high = seen.sum() * hours, summary.total_mm.p10, summary.total_mm.p90
            if low is not None and high is not None:
                counts["totals"] += 1
                counts["total held"] += bool(low - 1e-3 <= total <= high + 1e-3)
            start, _ = first_spell(seen >= WET_MM_H, np.isfinite(seen), raining=False)
            first, last = summary.start.p10, summary.start.p90
            if now >= WET_MM_H or start is None or first is None or last is None:
                continue
            counts["ranges"] += 1
            counts["before" if valid[start] < first else "after" if valid[start] > last else "held"] += 1
    return counts


def row_of(name: str, model: str, counts: Counter[str]) -> list[str]:
    """Return the row of an archive in the table."""
    ranges, totals = max(counts["ranges"], 1), max(counts["totals"], 1)
    shares = [f"{100 * counts[each] / ranges:.1f} %" for each in ("held", "before", "after")]
    held = f"{100 * counts['total held'] / totals:.1f} %"
    return [name, model, str(counts["starts"]), str(counts["ranges"]), *shares, held]


def main() -> None:
    """Measure, print, and rewrite the part of docs/verification.md."""
    parser = argument_parser(__doc__)
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--model", action="append", help="Name or NAME@VERSION; by default auto and extrapolation.")
    parser.add_argument("--places", type=int, default=200, help="Places at each start time.")
    parser.add_argument("--stride", type=float, default=10.0, metavar="MINUTES", help="Between start times, at least.")
    args = parser.parse_args()
    rows = []
    for folder in args.archives:
        for model in args.model or ("auto", "extrapolation"):
            reference = Catalog().find(model).reference
            rows.append(row_of(folder.name, reference, count(Archive(folder), model, args.places, args.stride)))
            print(" | ".join(rows[-1]), flush=True)
    columns = ["archive", "model", "start times", "ranges", "held the start", "before it", "after it", "held the total"]
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')}: {MEMBERS} members, seed {SEED}, {args.places} places at each start "
        f"time, until +{LEAD_MINUTES} min.\n\n" + table(columns, rows)
    )
    replace_part("start ranges", text, VERIFICATION_PAGE)


if __name__ == "__main__":
    main()
