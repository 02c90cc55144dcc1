"""`python -m benchmarks.scores.neighbourhood ARCHIVE...`: Brier scores of neighbourhood probabilities.

Each archive is scored on the part that training does not read (`--part whole`: on all of it), the start times and
pixels as in the calibration: 0 or 1 as the forecast is, the share of the neighbourhood, and that share calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.command_line import argument_parser
from model.core.catalog import Catalog
from model.core.probability_calibration import ProbabilityCalibration, read_calibration
from model.data.archive import Archive
from model.runtime.load import load_predictor
from model.runtime.neighbourhood import neighbourhood_px, neighbourhood_shares
from model.runtime.predictor import BasePredictor
from model.verify.calibration import Part, forecast_pairs, thinned

THRESHOLDS_MM_H: Final = (0.5, 2.0, 5.0)
METHODS: Final = ("as it is", "neighbourhood", "calibrated")


def brier_scores(
    predictor: BasePredictor, calibration: ProbabilityCalibration | None, archive: Archive, part: Part
) -> tuple[int, NDArray[np.float64]]:
    """Return the number of start times, and Brier scores [method, threshold]: the mean over leads and starts."""
    errors = np.zeros((len(METHODS), len(THRESHOLDS_MM_H)))
    starts, weight = set(), 0.0
    for pair in forecast_pairs(predictor, archive, part):
        index = thinned(pair.scored)
        if not index[0].size:
            continue
        size = neighbourhood_px(archive.grid, pair.lead_minutes)
        shares = np.stack([share[index] for share in neighbourhood_shares(pair.forecast, THRESHOLDS_MM_H, size)])
        certain = np.stack([pair.forecast[index] >= threshold for threshold in THRESHOLDS_MM_H]).astype(np.float32)
        truth = np.stack([pair.truth[index] >= threshold for threshold in THRESHOLDS_MM_H]).astype(np.float32)
        calibrated = calibration.calibrate(shares, THRESHOLDS_MM_H, pair.lead_minutes) if calibration else shares
        for row, probability in enumerate((certain, shares, calibrated)):
            errors[row] += pair.weight * np.square(probability - truth).mean(axis=1, dtype=np.float64)
        starts.add(pair.start)
        weight += pair.weight
    return len(starts), errors / weight if weight else np.full_like(errors, np.nan)


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--model", default="extrapolation")
    parser.add_argument("--part", choices=("train", "held-out", "whole"), default="held-out")
    parser.add_argument("--calibration", type=Path, help="A file of `echocast models calibrate`; else the model's own.")
    arguments = parser.parse_args(words)
    predictor = load_predictor(Catalog().find(arguments.model))
    assert isinstance(predictor, BasePredictor)
    calibration = read_calibration(arguments.calibration) if arguments.calibration else predictor.calibration
    columns = [f"{method} {threshold:g}" for threshold in THRESHOLDS_MM_H for method in METHODS]
    print(f"| archive | starts | {' | '.join(columns)} |")
    print("|---|" + "---|" * (1 + len(columns)))
    scores = []
    for path in arguments.archives:
        starts, brier = brier_scores(predictor, calibration, Archive(path), arguments.part)
        if not starts:
            continue
        scores.append(brier)
        print(f"| {path.name} | {starts} | {' | '.join(f'{value:.4f}' for value in brier.T.ravel())} |", flush=True)
    if len(scores) > 1:
        print(f"| mean | | {' | '.join(f'{value:.4f}' for value in np.mean(scores, axis=0).T.ravel())} |")


if __name__ == "__main__":
    main()
